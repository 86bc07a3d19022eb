/** Values as JSON: the codec of whoever names none. */
import type * as contract from "./contract.ts";
import type { Codec, Frame, Writer } from "./contract.ts";

export const json: typeof contract.json = <T>(): Codec<T> => ({
  encode(value: T, out: Writer) {
    out.utf8(JSON.stringify(value));
  },
  decode: (frame: Frame) => JSON.parse(frame.text(0)) as T,
});

/** Whether JSON gives a value back as it was. A field that is undefined may be missing then. */
export function isJson(value: unknown): boolean {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) return value.every(isJson);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.values(value).every((each) => each === undefined || isJson(each));
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
