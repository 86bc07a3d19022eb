/** Texts of an INI file → values of our keys. What does not fit says what was wanted. */
import { resolve } from "node:path";
import type { Converted, ConvertContext } from "./dialect.ts";

export const text = (value: string): Converted => ({ value });

/** A text that is not a number stays one, so that the key's own check says what was wanted. */
export function integer(value: string): Converted {
  return { value: /^\d{1,15}$/.test(value) ? Number(value) : value };
}

export function secondsAsMs(value: string): Converted {
  return /^\d{1,12}$/.test(value) ? { value: Number(value) * 1000 } : { wanted: "a whole number of seconds" };
}

/** `1.1` is 110. */
export function factorAsPercent(value: string): Converted {
  return /^\d{1,6}(\.\d{1,6})?$/.test(value)
    ? { value: Math.round(Number(value) * 100) }
    : { wanted: "a factor such as 1.1" };
}

/** `true` or `false`, each with the value it stands for; undefined sets nothing. */
export function boolean(whenTrue: unknown, whenFalse: unknown) {
  return (value: string): Converted => {
    if (value !== "true" && value !== "false") return { wanted: "true or false" };
    const chosen = value === "true" ? whenTrue : whenFalse;
    return chosen === undefined ? undefined : { value: chosen };
  };
}

/** One of several words, each with the value it stands for. */
export function oneOf(words: Record<string, unknown>) {
  return (value: string): Converted =>
    Object.hasOwn(words, value)
      ? { value: words[value] }
      : { wanted: `one of ${Object.keys(words).join(", ")}` };
}

/** Exactly 16 hex digits, with or without `0x`. */
export function hash(value: string): Converted {
  const digits = /^(?:0x)?([0-9a-fA-F]{16})$/.exec(value)?.[1];
  return digits === undefined
    ? { wanted: "exactly 16 hex digits, with or without 0x" }
    : { value: digits.toLowerCase() };
}

/** A path, relative to the working directory. */
export function absolutePath(value: string, { workingDirectory }: ConvertContext): Converted {
  return value === "" ? { wanted: "a path" } : { value: resolve(workingDirectory, value) };
}
