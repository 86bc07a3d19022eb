/**
 * Values from the environment and from `--set`, laid over those of the file.
 *
 * A text becomes a value by the key's type: `NODE_X_DHT_RESP_PORT=7000` is a number, `--set log.level=warn` a
 * string, lists and objects are JSON. Invariant: only keys of the schema can be set, so no text can reach a
 * prototype; a text that does not fit stays a text and is then refused with its origin like any other wrong
 * value.
 */
import { z } from "zod";
import { configKeys, schemaAt, unwrap, type ConfigKey } from "./keys.ts";
import { nearest } from "./nearest.ts";
import type { Origin, Origins } from "./origin.ts";
import type { JsonObject } from "./parse.ts";
import { excerpt, type Problem } from "./problem.ts";

/** `adminPort` of role `dht` → `NODE_X_DHT_ADMIN_PORT`; nested keys are joined by `_`. */
export function environmentName(role: string, path: readonly string[]): string {
  const words = [role, ...path].map((part) => part.replace(/([a-z0-9])([A-Z])/g, "$1_$2"));
  return `NODE_X_${words.join("_")}`.toUpperCase().replaceAll("-", "_");
}

/** What is being built: the value so far, where its parts came from, what is wrong. */
export interface Draft {
  role: string;
  schema: z.ZodObject;
  value: JsonObject;
  origins: Origins;
  problems: Problem[];
}

/**
 * Keys that can be set from outside the file; the role decides which schema applies and cannot change under
 * it.
 */
function settableKeys(schema: z.ZodObject): ConfigKey[] {
  return configKeys(schema).filter((key) => key.name !== "role");
}

/**
 * Lays every `NODE_X_<ROLE>_…` variable over the draft. An unknown one is a problem: a typo must not be
 * silent.
 */
export function applyEnvironment(draft: Draft, environment: Record<string, string | undefined>): void {
  const byVariable = new Map(
    settableKeys(draft.schema).map((key) => [environmentName(draft.role, key.path), key]),
  );
  const prefix = environmentName(draft.role, [""]);
  for (const variable of Object.keys(environment).sort()) {
    const text = environment[variable];
    if (text === undefined || !variable.startsWith(prefix)) continue;
    const key = byVariable.get(variable);
    const origin: Origin = { kind: "environment", variable };
    if (key === undefined) {
      const suggestion = nearest(variable, byVariable.keys());
      draft.problems.push({
        origin,
        path: [],
        wanted: "a variable of a known key",
        got: excerpt(variable),
        ...(suggestion && { nearest: suggestion }),
      });
      continue;
    }
    assign(draft, key.path, textValue(key.schema, text), origin);
  }
}

/** Lays each `key=value` of `--set` over the draft, the last one winning. */
export function applySets(draft: Draft, sets: readonly string[]): void {
  const known = settableKeys(draft.schema).map((key) => key.name);
  for (const set of sets) {
    const origin: Origin = { kind: "flag", flag: `--set ${excerpt(set)}` };
    const equals = set.indexOf("=");
    if (equals < 1) {
      draft.problems.push({ origin, path: [], wanted: "key=value", got: JSON.stringify(excerpt(set)) });
      continue;
    }
    const name = set.slice(0, equals);
    const path = name.split(".");
    const schema = name === "role" ? undefined : schemaAt(draft.schema, path);
    if (schema === undefined) {
      const suggestion = nearestKey(name, known);
      draft.problems.push({
        origin,
        path: [],
        wanted: "a known key",
        got: JSON.stringify(excerpt(name)),
        ...(suggestion && { nearest: suggestion }),
      });
      continue;
    }
    assign(draft, path, textValue(schema, set.slice(equals + 1)), origin);
  }
}

/** The known key that `name` probably means: a slip of it, or its last part at another place. */
export function nearestKey(name: string, known: readonly string[]): string | undefined {
  const last = name.slice(name.lastIndexOf(".") + 1);
  return (
    nearest(name, known) ??
    known.find((other) => other.endsWith(`.${last}`) || other === last) ??
    nearestByLastPart(last, known)
  );
}

function nearestByLastPart(last: string, known: readonly string[]): string | undefined {
  const byLast = new Map(known.map((name) => [name.slice(name.lastIndexOf(".") + 1), name]));
  const match = nearest(last, byLast.keys());
  return match === undefined ? undefined : byLast.get(match);
}

/** The value that `text` means for a key of this type; the text itself when it is none. */
function textValue(schema: z.ZodType, text: string): unknown {
  if (text === "null" && schema.safeParse(null).success) return null;
  const inner = unwrap(schema);
  if (inner instanceof z.ZodString || inner instanceof z.ZodEnum) return text;
  if (inner instanceof z.ZodNumber) return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
  try {
    const value: unknown = JSON.parse(text, (key, member: unknown) =>
      key === "__proto__" ? undefined : member,
    );
    return value;
  } catch {
    return text;
  }
}

/** Sets a value at a path of schema keys; what is not an object on the way is replaced by one. */
function assign(draft: Draft, path: readonly string[], value: unknown, origin: Origin): void {
  let object = draft.value;
  for (const part of path.slice(0, -1)) {
    const inner = Object.hasOwn(object, part) ? object[part] : undefined;
    const next: JsonObject =
      typeof inner === "object" && inner !== null && !Array.isArray(inner) ? (inner as JsonObject) : {};
    object[part] = next;
    object = next;
  }
  object[path.at(-1) ?? ""] = value;
  draft.origins.forget(path);
  draft.origins.setAll(path, value, () => origin);
}
