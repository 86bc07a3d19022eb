/**
 * The strict front of citty: words → a verb and its arguments, or a usage error that names the nearest thing.
 *
 * citty accepts unknown flags, `--no-anything`, options without value and silently keeps the last of a
 * repeated option. An operator's tool must not: every word is accounted for here before citty sees it.
 * Invariant: a verb only runs when each word on the line has exactly one meaning.
 */
import { runCommand, type ArgsDef } from "citty";
import { nearest } from "../core/config/nearest.ts";
import { NxError } from "../core/errors.ts";

import { spellingsOf, type CallData, type Surroundings, type Verb, type VerbTable } from "./verb.ts";

/** A word that is an option: starts with a dash and is not `-` alone or a number. */
function isOption(word: string): boolean {
  return /^-{1,2}[^-\d\s]/.test(word);
}

export function usageError(message: string, verbPath: readonly string[]): NxError {
  return new NxError("NX_USAGE", message, {
    hint: `\`${["node-x", ...verbPath].join(" ")} --help\` shows what is accepted`,
  });
}

export function didYouMean(word: string, known: Iterable<string>): string {
  const suggestion = nearest(word, known);
  return suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`;
}

export interface Resolved {
  verb: Verb;
  /** The verb's words, `["config", "show"]`. */
  path: string[];
  words: string[];
  wantsHelp: boolean;
}

/** Follows the words down the tree of verbs. Throws NX_USAGE for an unknown one. */
export async function resolveVerb(root: Verb, words: readonly string[]): Promise<Resolved> {
  let verb = root;
  let rest = [...words];
  const path: string[] = [];
  while (Object.keys(verb.subVerbs).length > 0) {
    const [word] = rest;
    if (word === undefined || word === "--help" || word === "-h")
      return { verb, path, words: rest, wantsHelp: true };
    verb = await subVerb(verb.subVerbs, word, path);
    path.push(word);
    rest = rest.slice(1);
  }
  return { verb, path, words: rest, wantsHelp: asksForHelp(verb, rest) };
}

async function subVerb(table: VerbTable, word: string, path: readonly string[]): Promise<Verb> {
  const names = Object.keys(table);
  const load = Object.hasOwn(table, word) ? table[word] : undefined;
  if (load !== undefined) return await load();
  const kind = isOption(word) ? "option" : "verb";
  const known = kind === "option" ? ["--help", "--version"] : names;
  throw usageError(
    `unknown ${kind} "${word}"${path.length > 0 ? ` of \`${path.join(" ")}\`` : ""}${didYouMean(word, known)}`,
    path,
  );
}

/**
 * `--help` anywhere before `--`, unless it is the value of an option or belongs to a program behind the verb.
 */
function asksForHelp(verb: Verb, words: readonly string[]): boolean {
  const options = optionsOf(verb.args);
  const positionals = positionalsOf(verb.args).length;
  let filled = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") return false;
    if (!isOption(word)) filled += 1;
    if (verb.passesOptions && filled >= positionals && filled > 0) return false;
    if (word === "--help" || word === "-h") return true;
    if (options.get(word)?.takesValue === true) index += 1;
  }
  return false;
}

interface Option {
  /** The name under which citty knows it. */
  name: string;
  takesValue: boolean;
  /** `--no-name` of a boolean that is on by default. */
  isNegation: boolean;
}

/** Every accepted spelling of an option. */
function optionsOf(args: ArgsDef): Map<string, Option> {
  const options = new Map<string, Option>();
  for (const [name, definition] of Object.entries(args)) {
    if (definition.type === "positional") continue;
    const takesValue = definition.type === "string" || definition.type === "enum";
    for (const spelling of spellingsOf(name, definition))
      options.set(spelling, { name, takesValue, isNegation: false });
    if (definition.type === "boolean" && definition.default === true)
      options.set(`--no-${name}`, { name, takesValue: false, isNegation: true });
  }
  return options;
}

function positionalsOf(args: ArgsDef): [string, ArgsDef[string]][] {
  return Object.entries(args).filter(([, definition]) => definition.type === "positional");
}

interface Parsed {
  values: Map<string, (string | boolean)[]>;
  positionals: string[];
  rest: string[];
}

/** Gives every word its meaning. Throws NX_USAGE for the first that has none. */
function parseWords({ verb, path, words }: Resolved): Parsed {
  const options = optionsOf(verb.args);
  const slots = positionalsOf(verb.args).length;
  const parsed: Parsed = { values: new Map(), positionals: [], rest: [] };
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (verb.passesOptions && parsed.positionals.length >= slots) {
      parsed.rest.push(...words.slice(index));
      break;
    }
    if (word === "--") {
      parsed.rest.push(...words.slice(index + 1));
      break;
    }
    if (!isOption(word)) {
      parsed.positionals.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const spelling = equals === -1 ? word : word.slice(0, equals);
    const option = options.get(spelling);
    if (option === undefined) {
      const known = [...options.keys(), "--help"];
      throw usageError(`unknown option "${spelling}"${didYouMean(spelling, known)}`, path);
    }
    if (!option.takesValue) {
      if (equals !== -1)
        throw usageError(`${spelling} takes no value, got "${word.slice(equals + 1)}"`, path);
      addValue(parsed, verb, option.name, !option.isNegation, path);
      continue;
    }
    let value: string | undefined = equals === -1 ? undefined : word.slice(equals + 1);
    if (equals === -1) {
      index += 1;
      value = words[index];
      const isMissing = value === undefined || value === "--" || isOption(value);
      if (isMissing)
        throw usageError(
          `${spelling} needs a value (write ${spelling}=VALUE if the value starts with a dash)`,
          path,
        );
    }
    addValue(parsed, verb, option.name, value ?? "", path);
  }
  return parsed;
}

function addValue(
  parsed: Parsed,
  verb: Verb,
  name: string,
  value: string | boolean,
  path: readonly string[],
): void {
  const known = parsed.values.get(name) ?? [];
  if (known.length > 0 && !verb.repeatable.includes(name))
    throw usageError(`--${name} is given more than once`, path);
  const definition = verb.args[name];
  if (definition?.type === "enum" && !(definition.options ?? []).includes(String(value))) {
    const wanted = (definition.options ?? []).join(", ");
    throw usageError(
      `--${name}: wanted one of ${wanted}, got "${value}"${didYouMean(String(value), definition.options ?? [])}`,
      path,
    );
  }
  parsed.values.set(name, [...known, value]);
}

function checkPositionals(resolved: Resolved, parsed: Parsed): void {
  const { verb, path } = resolved;
  const slots = positionalsOf(verb.args);
  const missing = slots.find(
    ([, definition], index) => definition.required !== false && parsed.positionals[index] === undefined,
  );
  if (missing !== undefined) throw usageError(`${missing[0].toUpperCase()} is missing`, path);
  const surplus = parsed.positionals.slice(slots.length);
  if (surplus.length === 0) return;
  if (verb.variadic === undefined) throw usageError(`unexpected word "${surplus[0]}"`, path);
  parsed.rest = [...surplus, ...parsed.rest];
}

function checkRequired({ verb, path }: Resolved, parsed: Parsed): void {
  for (const [name, definition] of Object.entries(verb.args)) {
    if (definition.type !== "positional" && definition.required === true && !parsed.values.has(name)) {
      throw usageError(`--${name} is missing`, path);
    }
  }
}

/** Runs the verb that `resolved` names; returns its exit code. */
export async function runVerb(resolved: Resolved, surroundings: Surroundings): Promise<number> {
  const { verb, path } = resolved;
  const parsed = parseWords(resolved);
  checkPositionals(resolved, parsed);
  checkRequired(resolved, parsed);
  if (parsed.rest.length > 0 && verb.variadic === undefined && !verb.passesOptions) {
    throw usageError(`unexpected word "${parsed.rest[0]}"`, path);
  }
  const repeated: Record<string, string[]> = {};
  const rawArgs: string[] = [];
  for (const [name, values] of parsed.values) {
    repeated[name] = values.map(String);
    const last = values.at(-1);
    if (typeof last === "string") rawArgs.push(`--${name}=${last}`);
    else rawArgs.push(last === true ? `--${name}` : `--no-${name}`);
  }
  const declared = parsed.positionals.slice(0, positionalsOf(verb.args).length);
  const data: CallData = { ...surroundings, repeated, rest: parsed.rest };
  const { result } = await runCommand(verb.command, { rawArgs: [...rawArgs, "--", ...declared], data });
  return typeof result === "number" ? result : 0;
}
