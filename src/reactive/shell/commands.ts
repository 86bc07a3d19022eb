/**
 * The commands of `node-x reactive shell`: how each is written, and what it does in a transaction.
 *
 *   get KEY …               put KEY TEXT            delete KEY
 *   add KEY NUMBER          append KEY TEXT         insert KEY TEXT      remove KEY TEXT     set KEY FIELD TEXT
 *
 * Words are separated by blanks; one that has blanks or is empty stands in "quotes", where \" \\ \n \t and the like are as in
 * JSON. The last TEXT of a line needs no quotes.
 */
import type { Reader, Writer } from "../client.ts";
import { asText, toUtf8 } from "../client.ts";
import { type Value, wholePart } from "../shard/operations.ts";

/** What the user typed is none of the commands, or lacks a word. */
export class CommandError extends Error {}

export type Result = { key: string; value: Value } | { key: string; done: string };

export interface Command {
  name: string;
  usage: string;
  summary: string;
  /** Undefined: only reads. */
  write?(transaction: Writer, words: string[]): Result;
  read?(transaction: Reader, words: string[]): Promise<Result[]>;
}

const wanted = (words: string[], index: number, what: string): string => {
  const word = words[index];
  if (word === undefined) throw new CommandError(`${what} is missing`);
  return word;
};

/** From one word on, to the end of the line. */
const rest = (words: string[], index: number, what: string) => {
  wanted(words, index, what);
  return words.slice(index).join(" ");
};

/** A command that does one operation on one key. */
function change(
  name: string,
  usage: string,
  summary: string,
  operation: (words: string[]) => Parameters<Writer["apply"]>[1],
): Command {
  return {
    ...{ name, usage: `${name} ${usage}`, summary },
    write(transaction, words) {
      const key = wanted(words, 0, "the key");
      transaction.apply(key, operation(words));
      return { key, done: name };
    },
  };
}

const element = (words: string[]) => asText.encode(rest(words, 1, "the element"));

export const commands: readonly Command[] = [
  {
    ...{ name: "get", usage: "get KEY …", summary: "The values of keys, all of one moment" },
    async read(transaction, words) {
      wanted(words, 0, "the key");
      const values = await Promise.all(words.map((key) => transaction.read(key, wholePart)));
      return words.map((key, index) => ({ key, value: values[index] as Value }));
    },
  },
  change("put", "KEY TEXT", "Sets a text", (words) => ({
    kind: "put",
    value: { type: "bytes", bytes: asText.encode(rest(words, 1, "the text")) },
  })),
  change("delete", "KEY", "Removes a key", () => ({ kind: "delete" })),
  change("add", "KEY NUMBER", "Adds to a counter", (words) => ({
    kind: "add",
    amount: integer(wanted(words, 1, "the number")),
  })),
  change("append", "KEY TEXT", "Appends to a list", (words) => ({ kind: "append", element: element(words) })),
  change("insert", "KEY TEXT", "Adds to a set", (words) => ({ kind: "insert", element: element(words) })),
  change("remove", "KEY TEXT", "Removes from a set", (words) => ({
    kind: "remove",
    element: element(words),
  })),
  change("set", "KEY FIELD TEXT", "Sets a field of a map", (words) => ({
    kind: "mapSet",
    field: toUtf8(wanted(words, 1, "the field")),
    value: asText.encode(rest(words, 2, "the text")),
  })),
];

function integer(text: string): bigint {
  if (!/^[-+]?\d{1,19}$/.test(text)) throw new CommandError(`"${text}" is no whole number`);
  return BigInt(text);
}

const word = /"(?:[^"\\]|\\.)*"|[^\s"]+/y;

/** Throws CommandError for quotes that do not end. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  const rest = line.trimEnd();
  word.lastIndex = line.length - line.trimStart().length;
  while (word.lastIndex < rest.length) {
    const at = word.lastIndex;
    const [found] = word.exec(rest) ?? [];
    if (found === undefined) throw new CommandError(`quotes that do not end at column ${at + 1}`);
    words.push(found.startsWith('"') ? unquoted(found) : found);
    word.lastIndex += rest.slice(word.lastIndex).match(/^\s*/)?.[0].length ?? 0;
  }
  return words;
}

function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    throw new CommandError(`${text} is not written as in JSON`);
  }
}
