/**
 * JSON configuration files of an original program: what their keys mean for a role of ours.
 *
 * A role that replaces such a program carries one dialect. It is applied when the file has one of the program's own keys.
 * Invariant: a value that moves to a key of ours keeps its place in the file, so later checks point at the line that the
 * operator wrote.
 */
import { nearest } from "./nearest.ts";
import { keyName, type KeyPath } from "./origin.ts";
import type { JsonObject, ParsedText } from "./parse.ts";
import type { Notice } from "./problem.ts";

/** One key of the original: where its value goes (as `convert` makes it), or why it means nothing here. */
export type JsonRule = { from: KeyPath } & (
  { to: readonly string[]; convert?(value: unknown, read: FileReader): unknown } | { note: string }
);

/** The value that the original's file has at a path. */
export type FileReader = (path: KeyPath) => unknown;

export interface JsonDialect {
  /** The original program, for messages. */
  program: string;
  /** Which of our roles the file is for; undefined when it is not a file of this program. */
  roleOf(value: JsonObject): string | undefined;
  rules: readonly JsonRule[];
  /** Keys of ours that may stand in such a file beside the program's own. */
  ownKeys: readonly string[];
  /** Our keys where the original's default is not ours; each applies when nothing sets the key. */
  defaults(read: FileReader, instance: string): Record<string, unknown>;
}

export interface JsonMapping {
  claim: { role: string; instance: string };
  notices: Notice[];
  defaults: Record<string, unknown>;
}

/** Replaces `parsed.value` by one with our keys. Unknown keys are warnings, as the program ignored them. */
export function mapJson(parsed: ParsedText, dialect: JsonDialect, role: string): JsonMapping {
  const original = parsed.value;
  const read: FileReader = (path) => valueAt(original, path);
  const notices: Notice[] = [];
  const mapped: JsonObject = {};
  const known = new Set<string>();
  parsed.value = mapped;
  for (const rule of dialect.rules) {
    known.add(keyName(rule.from));
    const value = read(rule.from);
    if (value === undefined) continue;
    if ("note" in rule) {
      const text = `${keyName(rule.from)} has no effect: ${rule.note}`;
      notices.push({ level: "info", origin: parsed.originAt(parsed.keyOffset(rule.from)), text });
      continue;
    }
    set(mapped, rule.to, rule.convert === undefined ? value : rule.convert(value, read));
    for (let length = 1; length <= rule.to.length; length++)
      parsed.copyPlace(rule.from, rule.to.slice(0, length));
  }
  for (const path of leavesOf(original)) {
    if ([...path.keys()].some((length) => known.has(keyName(path.slice(0, length + 1))))) continue;
    const [top] = path;
    if (typeof top === "string" && dialect.ownKeys.includes(top)) {
      mapped[top] = original[top];
      continue;
    }
    const suggestion = nearest(keyName(path), [...known, ...dialect.ownKeys]);
    const hint = suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`;
    const text = `${keyName(path)} is unknown to ${dialect.program} and ignored${hint}`;
    notices.push({ level: "warn", origin: parsed.originAt(parsed.keyOffset(path)), text });
  }
  const instance = instanceOf(parsed.file) ?? role;
  return { claim: { role, instance }, notices, defaults: dialect.defaults(read, instance) };
}

/** Keys of the original contain dots (`server.socket_port`), so a path has one part for each level. */
function* leavesOf(object: JsonObject, parent: KeyPath = []): Generator<KeyPath> {
  for (const [key, value] of Object.entries(object)) {
    const path = [...parent, key];
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isObject) yield* leavesOf(value as JsonObject, path);
    else yield path;
  }
}

function valueAt(object: JsonObject, path: KeyPath): unknown {
  let value: unknown = object;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as JsonObject)[part];
  }
  return value;
}

function set(target: JsonObject, path: readonly string[], value: unknown): void {
  if (value === undefined) return;
  let object = target;
  for (const part of path.slice(0, -1)) object = (object[part] ??= {}) as JsonObject;
  object[path.at(-1) as string] = value;
}

/** `etc/regserver.cfg` is the instance `regserver`. */
function instanceOf(file: string): string | undefined {
  const stem = file.slice(file.lastIndexOf("/") + 1).replace(/\.[A-Za-z]+$/, "");
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(stem) ? stem : undefined;
}
