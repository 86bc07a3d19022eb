/**
 * What a verb of the command line is: its words for people, its arguments, what it does.
 *
 * A verb parses, calls and prints; the work is done elsewhere. Everything it may touch of the outside
 * (environment, working directory, output) comes with the call, so tests run verbs in-process.
 */
import { defineCommand, type ArgDef, type ArgsDef, type CommandDef, type ParsedArgs } from "citty";

/** Where a verb writes, and what it may know about that place. */
export interface Output {
  write(text: string): void;
  /** Writes bytes as they are; missing where there is no place for them. Resolves when they were taken. */
  writeBytes?(bytes: Uint8Array): Promise<void>;
  isTty: boolean;
  /** Width of the terminal in cells; undefined when there is none. */
  columns: number | undefined;
  /** Its height in lines. */
  rows?: number | undefined;
}

/** The outside of one call of the command line. */
export interface Surroundings {
  environment: Record<string, string | undefined>;
  /** Absolute. */
  workingDirectory: string;
  stdout: Output;
  stderr: Output;
  /** Standard input, for the verbs that read it; nothing when missing. */
  stdin?: () => AsyncIterable<Uint8Array>;
}

export interface Call<Args extends ArgsDef = ArgsDef> extends Surroundings {
  args: ParsedArgs<Args>;
  /** All values of a repeatable option, in order. */
  all(option: keyof Args & string): string[];
  /** Positional words beyond the declared ones (verbs with `variadic`), then everything after `--`. */
  rest: string[];
}

export interface Example {
  command: string;
  /** What it shows, a sentence without full stop. */
  shows: string;
}

export interface VerbDefinition<Args extends ArgsDef> {
  name: string;
  /** One line for the list of verbs. */
  summary: string;
  /** More for `--help` and the man page. */
  description?: string;
  args?: Args;
  /** Options that may be given more than once. */
  repeatable?: (keyof Args & string)[];
  /** Accepts further words after the declared positionals: their name in the usage line, such as `FILE`. */
  variadic?: string;
  /** Hands words through uninterpreted once the declared positionals are filled. */
  passesOptions?: boolean;
  examples: Example[];
  subVerbs?: VerbTable;
  /** Returns the exit code. Verbs with sub-verbs have none. */
  run?(call: Call<Args>): Promise<number> | number;
}

/** A verb, with the argument types forgotten. */
export interface Verb {
  name: string;
  summary: string;
  description: string;
  args: ArgsDef;
  repeatable: readonly string[];
  variadic: string | undefined;
  passesOptions: boolean;
  examples: Example[];
  subVerbs: VerbTable;
  command: CommandDef;
}

/** Verbs by name, each loaded when it is asked for. */
export type VerbTable = Record<string, () => Promise<Verb>>;

/** What the strict wrapper hands to citty's context as `data`. */
export interface CallData extends Surroundings {
  repeated: Record<string, string[]>;
  rest: string[];
}

export function defineVerb<const Args extends ArgsDef = Record<never, never>>(
  definition: VerbDefinition<Args>,
): Verb {
  const { run } = definition;
  const command = defineCommand({
    meta: { name: definition.name, description: definition.summary },
    args: definition.args ?? ({} as Args),
    ...(run !== undefined && {
      run: (context) => {
        const data = context.data as CallData;
        return run({
          ...data,
          args: context.args as ParsedArgs<Args>,
          all: (option) => data.repeated[option] ?? [],
        });
      },
    }),
  });
  return {
    name: definition.name,
    summary: definition.summary,
    description: definition.description ?? "",
    args: definition.args ?? {},
    repeatable: definition.repeatable ?? [],
    variadic: definition.variadic,
    passesOptions: definition.passesOptions ?? false,
    examples: definition.examples,
    subVerbs: definition.subVerbs ?? {},
    command: command as CommandDef,
  };
}

/** Every way to write an option: `["-c", "--config"]`. */
export function spellingsOf(name: string, definition: ArgDef): string[] {
  const aliases = "alias" in definition && definition.alias !== undefined ? [definition.alias].flat() : [];
  return [...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`)), `--${name}`];
}
