/**
 * Command lines as the original programs take them: `-name`, `-name VALUE`, `-name WORD…`, mixed with other words.
 *
 * `--name` is the same as `-name`. Every option is known or refused, with the nearest one named.
 */
import { nearest } from "../../core/config/nearest.ts";
import { NxError } from "../../core/errors.ts";
import { parseSize } from "../formats/units.ts";

/** What an option takes: nothing, one value, or all words up to the next option. */
export type OptionKind = "flag" | "value" | "list";

export class Options {
  readonly #values: Map<string, string[]>;
  /** Words that belong to no option. */
  readonly words: string[];

  constructor(values: Map<string, string[]>, words: string[]) {
    this.#values = values;
    this.words = words;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  list(name: string): string[] {
    return this.#values.get(name) ?? [];
  }

  text(name: string): string | undefined;
  text(name: string, absent: string): string;
  text(name: string, absent?: string): string | undefined {
    return this.#values.get(name)?.at(-1) ?? absent;
  }

  /** A size with an optional suffix. */
  size(name: string, absent: number): number {
    const text = this.text(name);
    return text === undefined ? absent : sizeOf(text, `-${name}`);
  }

  /** An unsigned number of 64 bits. */
  big(name: string, absent: bigint): bigint {
    const text = this.text(name);
    if (text === undefined) return absent;
    const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw wanted(`-${name}`, "a number up to 2^64-1", text);
    return value;
  }

  number(name: string, absent: number): number {
    const value = Number(this.big(name, BigInt(absent)));
    if (!Number.isSafeInteger(value)) throw wanted(`-${name}`, "a smaller number", String(value));
    return value;
  }

  /** The words, of which there must be at least `least` and at most `most`. */
  positionals(names: readonly string[], least = names.length): (string | undefined)[] {
    const missing = names[this.words.length];
    if (this.words.length < least) throw new NxError("NX_USAGE", `${missing} is missing`);
    const surplus = this.words[names.length];
    if (surplus !== undefined) throw new NxError("NX_USAGE", `unexpected word "${surplus}"`);
    return names.map((_, index) => this.words[index]);
  }
}

/** A word by which the originals say what they take. */
export const asksForHelp = (word: string): boolean => /^--?h(elp)?$/.test(word);

export function wanted(what: string, wish: string, got: string): NxError {
  return new NxError("NX_USAGE", `${what}: wanted ${wish}, got "${got}"`);
}

export function sizeOf(text: string, what: string): number {
  const size = parseSize(text);
  if (size === undefined) throw wanted(what, "a size such as 4096, 64K or 1G", text);
  return size;
}

/** Options that every tool takes: `-v` and `-debug` say no more than without, `--json` is for programs. */
const common: Record<string, OptionKind> = { v: "flag", debug: "flag", json: "flag" };

export function parseOptions(words: readonly string[], kinds: Record<string, OptionKind>): Options {
  const known: Record<string, OptionKind> = { ...common, ...kinds };
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  const isOption = (word: string | undefined) => word !== undefined && /^--?[A-Za-z]/.test(word);
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    if (!isOption(word)) {
      rest.push(word);
      continue;
    }
    const name = word.replace(/^--?/, "");
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      const suggestion = nearest(name, Object.keys(known));
      const hint = suggestion === undefined ? "" : ` (did you mean "-${suggestion}"?)`;
      throw new NxError("NX_USAGE", `unknown option "${word}"${hint}`);
    }
    const taken = values.get(name) ?? [];
    values.set(name, taken);
    if (kind === "flag") continue;
    if (kind === "value") {
      const value = words[++index];
      if (value === undefined || isOption(value)) throw new NxError("NX_USAGE", `${word} needs a value`);
      taken.push(value);
      continue;
    }
    while (index + 1 < words.length && !isOption(words[index + 1])) taken.push(words[++index] as string);
    if (taken.length === 0) throw new NxError("NX_USAGE", `${word} needs at least one word`);
  }
  return new Options(values, rest);
}
