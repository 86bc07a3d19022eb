/** Values as JSON: the codec of whoever names none. */
import type * as contract from "./contract.ts";
import type { Codec, Frame, Writer } from "./contract.ts";

export const json: typeof contract.json = <T>(): Codec<T> => ({
  encode(value: T, out: Writer) {
    out.utf8(JSON.stringify(value));
  },
  decode: (frame: Frame) => JSON.parse(frame.text(0)) as T,
});

/**
 * Whether JSON gives a value back as it was. A field that is undefined may be missing then. Asked for every state of a
 * checkpoint: a loop over the names is half of what a list of the values costs.
 */
export function isJson(value: unknown): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) {
    // Not `every`, which passes over what is missing.
    for (const each of value as unknown[]) if (!isJson(each)) return false;
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const name in value) {
    const each = (value as Record<string, unknown>)[name];
    if (each !== undefined && !isJson(each)) return false;
  }
  return true;
}

/** What JSON would change must not come back as something else: such a value is refused. */
const checkedJson = (complaint: string): Codec<unknown> => ({
  ...json<unknown>(),
  encode(value, out) {
    if (!isJson(value)) throw new TypeError(complaint);
    out.utf8(JSON.stringify(value));
  },
});

/** For records that go to another worker. */
export const recordJson = checkedJson(
  "JSON, as which records go to other workers, would change this one: give its keyBy a codec",
);

/** For states, as checkpoints keep them. */
export const stateJson = checkedJson("JSON would change it (a Date, a Map, NaN, a bigint …)");
