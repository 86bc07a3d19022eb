/** Options that say what a stream of windows must look like, shared by the tools that judge one. */
import { wholeOption } from "../../core/option-values.ts";
import type { SequenceRules, Violation } from "../validate/sequence.ts";
import type { Verdict } from "../validate/verify.ts";

export const ruleArgs = {
  expect: {
    type: "string",
    alias: "e",
    valueHint: "N",
    description: "The last value of each key; 0: the end is not judged",
  },
  keys: {
    type: "string",
    alias: "k",
    valueHint: "LIST",
    description: "Keys with commas between, or a number N for key_0 … key_N-1; any when absent",
  },
  first: { type: "string", valueHint: "N", default: "1", description: "The first value of each key" },
  "at-least-once": {
    type: "boolean",
    alias: "a",
    description: "A key may go back to an earlier value, but never skip one",
  },
} as const;

export interface RuleOptions {
  expect?: string | undefined;
  keys?: string | undefined;
  first: string;
  "at-least-once"?: boolean | undefined;
}

const VALUE_MAX = 1e15;
const KEYS_MAX = 1_000_000;

/** Throws NX_USAGE. */
export function rulesOf(args: RuleOptions): SequenceRules {
  const keys = args.keys === undefined ? undefined : keysOf(args.keys);
  return {
    ...(keys !== undefined && { keys }),
    expected: args.expect === undefined ? 0 : wholeOption("--expect", args.expect, 0, VALUE_MAX),
    first: wholeOption("--first", args.first, 1, VALUE_MAX),
    isExactlyOnce: args["at-least-once"] !== true,
  };
}

function keysOf(text: string): string[] {
  if (!/^\d+$/.test(text)) return text.split(",");
  return Array.from({ length: wholeOption("--keys", text, 1, KEYS_MAX) }, (_, index) => `key_${index}`);
}

/** Lines for people. */
export function verdictLines({ isValid, records, keys, reached, rewinds, violation }: Verdict): string[] {
  const what = `${records} records of ${keys} keys, each up to ${reached}`;
  const again = rewinds === 0 ? "" : `, went back ${rewinds} times`;
  if (isValid) return [`Validation successful: ${what}${again}`];
  return [`Validation failed: ${violationText(violation)}`, `before that: ${what}${again}`];
}

export function violationText(violation: Violation | null): string {
  if (violation === null) return "no verdict";
  const { rule, text, place } = violation;
  return `${text} (rule ${rule}${place === undefined ? "" : `, ${place.source}, byte ${place.offset}`})`;
}
