/**
 * The judge of a verified stream: each key must have shown the values 1 … n, in order, once each, in windows of
 * consecutive values. Strict V(n) is this with `expected` = n, `keys` = those that were sent and `isExactlyOnce`.
 *
 * Rules, in the order in which they are applied; the first violation is the verdict:
 *   key         the key is one of those that were sent
 *   window      within a window each value is the one before plus 1; zeros only in front (not full yet), not all zeros; a
 *               window of one value is [first]
 *   first       the first value of a key is `first`: so a lost beginning is noticed
 *   sequence    the last value of a window is that of the key's previous window plus 1; at-least-once: or not above it
 *   keys, final at the end: every key was seen, and its last value is `expected`
 *
 * Invariant: a stream without violation holds every value of every key from `first` to `expected`.
 */
import type { KeyedWindow } from "./window-text.ts";

export type Rule = "record" | "key" | "window" | "first" | "sequence" | "keys" | "final";

/** Where a record stands: the file (or connection) and the byte of its frame's header. */
export interface Place {
  source: string;
  offset: number;
}

export interface Violation {
  rule: Rule;
  /** A sentence. */
  text: string;
  key?: string;
  previous?: number;
  found?: number[];
  place?: Place;
}

export interface SequenceRules {
  /** Keys that were sent; undefined: any. */
  keys?: readonly string[];
  /** The last value of each key; 0: not checked. */
  expected: number;
  first: number;
  isExactlyOnce: boolean;
}

export const strictRules = { expected: 0, first: 1, isExactlyOnce: true } satisfies SequenceRules;

export class SequenceJudge {
  readonly #rules: SequenceRules;
  readonly #keys: ReadonlySet<string> | undefined;
  readonly #last = new Map<string, number>();
  #records = 0;
  #rewinds = 0;

  constructor(rules: SequenceRules) {
    this.#rules = rules;
    this.#keys = rules.keys === undefined ? undefined : new Set(rules.keys);
  }

  get records(): number {
    return this.#records;
  }

  /** Times that a key went back to an earlier value (at-least-once). */
  get rewinds(): number {
    return this.#rewinds;
  }

  get keys(): number {
    return this.#last.size;
  }

  /** The lowest last value of all keys that were sent: what has certainly come. */
  get reached(): number {
    const keys = this.#rules.keys ?? [...this.#last.keys()];
    return keys.length === 0 ? 0 : Math.min(...keys.map((key) => this.#last.get(key) ?? 0));
  }

  /** Judges the next window; undefined: nothing is wrong so far. */
  judge({ key, values }: KeyedWindow, place: Place): Violation | undefined {
    this.#records++;
    const previous = this.#last.get(key);
    const broken = this.#broken(key, values, previous);
    if (broken !== undefined) {
      const [rule, text] = broken;
      return { rule, text, key, ...(previous !== undefined && { previous }), found: values, place };
    }
    const value = values.at(-1) as number;
    if (previous !== undefined && value <= previous) this.#rewinds++;
    this.#last.set(key, value);
    return undefined;
  }

  #broken(key: string, values: readonly number[], previous: number | undefined): [Rule, string] | undefined {
    const { first, isExactlyOnce } = this.#rules;
    if (this.#keys !== undefined && !this.#keys.has(key))
      return ["key", `nobody sent the key ${JSON.stringify(key)}`];
    const within = windowFault(values, first);
    if (within !== undefined) return ["window", `${key} shows [${values}]: ${within}`];
    const value = values.at(-1) as number;
    if (previous === undefined)
      return value === first ? undefined : ["first", `${key} begins with ${value} and not with ${first}`];
    if (value === previous + 1 || (!isExactlyOnce && value <= previous)) return undefined;
    const what = value > previous ? `${value - previous - 1} values are missing` : "a value comes again";
    return ["sequence", `${key} goes from ${previous} to ${value}: ${what}`];
  }

  /** Judges what is there when nothing more comes. */
  end(): Violation | undefined {
    const { keys, expected } = this.#rules;
    const missing = keys?.find((key) => !this.#last.has(key));
    if (missing !== undefined) return { rule: "keys", text: `${missing} never came`, key: missing };
    if (expected === 0) return undefined;
    for (const [key, value] of this.#last)
      if (value !== expected)
        return {
          rule: "final",
          text: `${key} ends with ${value} and not with ${expected}`,
          key,
          previous: value,
        };
    if (this.#last.size === 0) return { rule: "keys", text: "there is no record" };
    return undefined;
  }
}

/** What is wrong within a window, if anything. */
export function windowFault(values: readonly number[], first = 1): string | undefined {
  if (values.length === 0) return "it is empty";
  if (values.length === 1 && values[0] !== first) return `a window of one value is [${first}]`;
  if (values.every((value) => value === 0)) return "it holds zeros only";
  for (let index = 1; index < values.length; index++) {
    const [before, value] = [values[index - 1] as number, values[index] as number];
    const isFilling = before === 0 && (value === 0 || value === first);
    if (value !== before + 1 && !isFilling) return `${value} follows ${before}`;
    if (before === 0 && value !== 0 && value !== first) return `it begins with ${value}`;
  }
  return undefined;
}
