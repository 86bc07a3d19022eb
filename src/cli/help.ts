/**
 * `--help`: what a verb does, its usage line, options and examples, as plain text for the terminal.
 */
import type { ArgDef } from "citty";
import { alignColumns, wrap, type Colors } from "./print.ts";
import { spellingsOf, type Verb } from "./verb.ts";

const COLUMNS_MAX = 100;

/** The words of an option in help and man page: `-c, --config=FILE`. */
export function optionWords(name: string, definition: ArgDef): string {
  if (definition.type === "boolean" && definition.default === true) return `--no-${name}`;
  return spellingsOf(name, definition).join(", ") + valueWord(definition);
}

function valueWord(definition: ArgDef): string {
  if (definition.type === "string") return `=${definition.valueHint ?? "VALUE"}`;
  if (definition.type === "enum") return `=${(definition.options ?? []).join("|")}`;
  return "";
}

/** `node-x run ROLE --config=FILE [--set=KEY=VALUE]…` */
export function usageLine(verb: Verb, path: readonly string[]): string {
  const words = path.length === 0 ? [verb.name] : ["node-x", ...path];
  if (Object.keys(verb.subVerbs).length > 0) return [...words, "VERB …"].join(" ");
  for (const [name, definition] of Object.entries(verb.args)) {
    if (definition.type === "positional") {
      words.push(definition.required === false ? `[${name.toUpperCase()}]` : name.toUpperCase());
      continue;
    }
    const negation = definition.type === "boolean" && definition.default === true ? "no-" : "";
    const option = `--${negation}${name}${valueWord(definition)}`;
    const isRequired = "required" in definition && definition.required === true;
    words.push((isRequired ? option : `[${option}]`) + (verb.repeatable.includes(name) ? "…" : ""));
  }
  if (verb.variadic !== undefined) words.push(`[${verb.variadic}…]`);
  if (verb.passesOptions) words.push("[ARGUMENT…]");
  return words.join(" ");
}

export async function helpText(
  verb: Verb,
  path: readonly string[],
  colors: Colors,
  columns: number | undefined,
): Promise<string> {
  const width = Math.min(columns ?? COLUMNS_MAX, COLUMNS_MAX);
  const title = (text: string) => colors.bold(text);
  const lines = [verb.summary, "", title("Usage"), `  ${usageLine(verb, path)}`];
  if (verb.description !== "")
    lines.push(
      "",
      ...verb.description
        .split("\n\n")
        .flatMap((paragraph, index) => [...(index > 0 ? [""] : []), ...wrap(paragraph, width)]),
    );
  const subVerbs = await Promise.all(Object.values(verb.subVerbs).map((load) => load()));
  if (subVerbs.length > 0)
    lines.push("", title("Verbs"), ...describe(subVerbs.map((sub) => [sub.name, sub.summary])));
  const positionals = Object.entries(verb.args).filter(([, definition]) => definition.type === "positional");
  if (positionals.length > 0) {
    lines.push(
      "",
      title("Arguments"),
      ...describe(
        positionals.map(([name, definition]) => [name.toUpperCase(), definition.description ?? ""]),
      ),
    );
  }
  const options = Object.entries(verb.args).filter(([, definition]) => definition.type !== "positional");
  const optionRows = options.map(([name, definition]): [string, string] => [
    optionWords(name, definition),
    optionText(definition),
  ]);
  const builtIn: [string, string][] = [["-h, --help", "Show this help"]];
  if (path.length === 0 && verb.args.version === undefined)
    builtIn.push(["--version", "Show the version (`node-x version` shows more)"]);
  lines.push("", title("Options"), ...describe([...optionRows, ...builtIn]));
  lines.push("", title("Examples"));
  for (const example of verb.examples)
    lines.push(`  ${example.command}`, colors.dim(`      ${example.shows}`));
  return `${lines.join("\n")}\n`;
}

function optionText(definition: ArgDef): string {
  const hasDefault = definition.default !== undefined && typeof definition.default !== "boolean";
  return `${definition.description ?? ""}${hasDefault ? ` (default ${definition.default})` : ""}`;
}

function describe(rows: readonly [string, string][]): string[] {
  return alignColumns(rows).map((line) => `  ${line}`);
}
