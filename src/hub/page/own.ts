/** Reading what a role says of itself, whatever its version: what is not there or of another kind is simply absent. */
import { isRecord } from "../../core/watch/answer-shape.ts";
import { numberAt } from "../figures.ts";

export type Own = Record<string, unknown>;

export { numberAt };

function valueAt(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((at, part) => (isRecord(at) ? at[part] : undefined), value);
}

export function textAt(value: unknown, path: string): string | undefined {
  const found = valueAt(value, path);
  return typeof found === "string" ? found : undefined;
}

/** A node has a follower as long as it mirrors another one: until it is promoted. */
export function isMirror(own: unknown): boolean {
  return isRecord(valueAt(own, "mirror.follower"));
}

export function listAt(value: unknown, path: string): Own[] {
  const found = valueAt(value, path);
  return Array.isArray(found) ? found.filter(isRecord) : [];
}

/** The numbers of an object, largest first. */
export function numbersAt(value: unknown, path: string): [name: string, value: number][] {
  const found = path === "" ? value : valueAt(value, path);
  if (!isRecord(found)) return [];
  return Object.entries(found)
    .filter((pair): pair is [string, number] => typeof pair[1] === "number")
    .sort(([, a], [, b]) => b - a);
}
