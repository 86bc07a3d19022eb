/**
 * What is asked, while it runs, of what an application's functions give back: types are not looked at then, and many mistakes
 * would show only behind a crash or on another worker.
 *
 * Invariant: what is wrong costs the record that shows it, by a TypeError; each look costs nanoseconds.
 */
import { isJson } from "../api/codecs.ts";
import type { StateNode } from "../plan/nodes.ts";
import { messageOf } from "../thrown.ts";

/**
 * What types cannot say of a state, and authors without an editor do not hear: it is an object of its own for each key, and
 * JSON can hold it where nothing else is asked for. JSON is tried with the first key: later checkpoints look at all.
 */
export function initOf({ name, options: { init, codec } }: StateNode): StateNode["options"]["init"] {
  let before: unknown;
  const refusal = (value: unknown): string | undefined => {
    if (typeof value !== "object" || value === null)
      return `begins as ${String(value)}: it is an object, which its step changes`;
    if (value === before) return "begins as the same object for every key: init makes a new one";
    if (before === undefined && codec === undefined && !isJson(value))
      return "begins with what JSON cannot hold (a Map, NaN …): give it a codec";
    return undefined;
  };
  return (key) => {
    const value = init(key);
    const why = refusal(value);
    if (why !== undefined) throw new TypeError(`the state "${name}" ${why}`);
    before = value;
    return value;
  };
}

/**
 * Types are not looked at when an application runs: another key than a text would be one here and another one after a crash.
 * So would half a character, as a cut text ends with one: UTF-8 has none.
 */
export function checkedKey(key: unknown): string {
  if (typeof key !== "string") throw new TypeError(`keyBy gave ${String(key)} (${typeof key}), not a text`);
  return key.isWellFormed() ? key : key.toWellFormed();
}

/** What a step returned. A promise means that it waits: what it does then is in no checkpoint. */
export function ofPlain(returned: unknown, what: string): unknown {
  if (returned instanceof Promise) {
    returned.catch(() => undefined);
    throw new TypeError(`${what} returned a promise: steps do not wait`);
  }
  return returned;
}

/** The last time that a Date can hold. */
const TIME_MS_MAX = 8.64e15;

/** One time far ahead, nanoseconds for one, would make every later record late, for good. */
export function checkedTime(timeMs: unknown): number {
  if (typeof timeMs === "number" && Math.abs(timeMs) <= TIME_MS_MAX) return timeMs;
  throw new TypeError(`eventTime gave ${String(timeMs)}, not milliseconds since 1970`);
}

/** A value that was never bytes, for people. */
export function shown(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return messageOf(value);
  }
}
