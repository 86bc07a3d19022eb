/**
 * The flags of a load generator: one zod object gives names, defaults, limits and the help text.
 *
 * The words after `node-x bench <role>` belong to the role, so they are read here and as strictly as those of the
 * command line: an unknown, repeated or surplus word and a missing or impossible value are NX_USAGE, with the nearest
 * name. Key `valueBytes` is the flag `--value-bytes`.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { nearest } from "../config/nearest.ts";
import { NxError } from "../errors.ts";
import { alignColumns } from "../text-table.ts";

/** An integer written in decimal digits. */
export function integerFlag(min: number, max: number): z.ZodType<number> {
  const wanted = `an integer from ${min} to ${max}`;
  return z
    .string()
    .refine((text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max, wanted)
    .transform(Number);
}

/** A number above `min`, fractions allowed. */
export function numberFlag(min: number, max: number): z.ZodType<number> {
  const wanted = `a number from ${min} to ${max}`;
  return z
    .string()
    .refine((text) => /^\d+(\.\d+)?$/.test(text) && Number(text) >= min && Number(text) <= max, wanted)
    .transform(Number);
}

export function switchFlag(description: string) {
  return z.boolean().default(false).meta({ description });
}

/** A flag with a value: its type, the word for the value, a sentence, and the default as it would be typed. */
export function valueFlag<Value>(type: z.ZodType<Value>, hint: string, description: string) {
  return z
    .string()
    .pipe(type as z.ZodType<Value, string>)
    .optional()
    .meta({ description, hint });
}

/** The same with a default. */
export function defaultFlag<Value>(type: z.ZodType<Value>, hint: string, description: string, typed: string) {
  return z
    .string()
    .default(typed)
    .pipe(type as z.ZodType<Value, string>)
    .meta({ description: `${description} (default ${typed})`, hint });
}

interface FlagMeta {
  description?: string;
  hint?: string;
}

function metaOf(type: unknown): FlagMeta {
  return ((type as z.ZodType).meta() ?? {}) as FlagMeta;
}

function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function usage(message: string, path: string): NxError {
  return new NxError("NX_USAGE", message, { hint: `\`${path} --help\` shows what is accepted` });
}

export function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes("--help") || argv.includes("-h");
}

/** Reads `argv`. `path` is the command as typed, such as `node-x bench dht`. Throws NX_USAGE. */
export function parseFlags<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  argv: readonly string[],
  path: string,
): z.output<z.ZodObject<Shape>> {
  const keys = new Map(Object.keys(schema.shape).map((key) => [flagName(key), key]));
  const takesValue = (key: string) => metaOf(schema.shape[key]).hint !== undefined;
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      [...keys].map(([name, key]) => [
        name,
        { type: takesValue(key) ? ("string" as const) : ("boolean" as const) },
      ]),
    ),
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const given: Record<string, string | boolean> = {};
  for (const token of tokens) {
    if (token.kind === "positional") throw usage(`unexpected word "${token.value}"`, path);
    if (token.kind !== "option") continue;
    const key = keys.get(token.name);
    if (key === undefined || !token.rawName.startsWith("--")) {
      const suggestion = nearest(token.name, keys.keys());
      const hint = suggestion === undefined ? "" : ` (did you mean "--${suggestion}"?)`;
      throw usage(`unknown option "${token.rawName}"${hint}`, path);
    }
    if (key in given) throw usage(`${token.rawName} is given more than once`, path);
    if (!takesValue(key)) {
      if (token.value !== undefined)
        throw usage(`${token.rawName} takes no value, got "${token.value}"`, path);
      given[key] = true;
      continue;
    }
    // A value that looks like an option is a forgotten value, unless it was tied on with `=`.
    const isMissing = token.value === undefined || (token.value.startsWith("--") && !token.inlineValue);
    if (isMissing) throw usage(`${token.rawName} needs a value`, path);
    given[key] = token.value as string;
  }
  return validate(schema, given, path);
}

function validate<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  given: Record<string, string | boolean>,
  path: string,
): z.output<z.ZodObject<Shape>> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const key = String(issue.path[0] ?? "");
    return key === ""
      ? issue.message
      : `--${flagName(key)}: wanted ${issue.message}, got "${given[key] ?? ""}"`;
  });
  throw usage(problems.join("\n"), path);
}

/** The lines of `--help` for the flags. */
export function flagHelp(schema: z.ZodObject): string[] {
  const rows = Object.entries(schema.shape).map(([key, type]) => {
    const { description = "", hint } = metaOf(type);
    return [`--${flagName(key)}${hint === undefined ? "" : `=${hint}`}`, description];
  });
  return alignColumns([...rows, ["-h, --help", "Show this help"]]).map((line) => `  ${line}`);
}
