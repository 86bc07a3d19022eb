/**
 * How verbs write: colours, tables, errors.
 *
 * A person at a terminal gets aligned tables and colours; a pipe gets tab-separated lines without colours,
 * which `cut` and `awk` read; `--json` gets JSON. NO_COLOR, FORCE_COLOR and TERM=dumb are respected.
 */
import { createColors } from "picocolors";
import { NxError, type ErrorCode } from "./errors.ts";
import { alignColumns, fitColumns, wrap } from "./text-table.ts";
import type { Output, Surroundings } from "./verb.ts";

export { alignColumns, wrap };

export type Colors = ReturnType<typeof createColors>;

/** Colours for this output, or none. */
export function colorsFor(output: Output, environment: Surroundings["environment"]): Colors {
  const isForced = (environment.FORCE_COLOR ?? "") !== "" && environment.FORCE_COLOR !== "0";
  const isOff = (environment.NO_COLOR ?? "") !== "" || environment.TERM === "dumb";
  return createColors(!isOff && (isForced || output.isTty));
}

export function printJson(output: Output, value: unknown): void {
  output.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** A table: aligned with a header on a terminal, tab-separated without one on a pipe. */
export function printTable(
  output: Output,
  header: readonly string[],
  rows: readonly (readonly string[])[],
  colors: Colors,
): void {
  if (!output.isTty) {
    for (const row of rows) output.write(`${row.map((cell) => cell.replace(/[\t\n]/g, " ")).join("\t")}\n`);
    return;
  }
  const lines = fitColumns(header, rows, output.columns ?? Number.POSITIVE_INFINITY);
  lines.forEach((line, index) => output.write(`${index === 0 ? colors.bold(line) : line}\n`));
}

/** What an error says to people and programs. */
export interface ErrorReport {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/** Any thrown value as an operating error; what is not one is an error of ours. */
export function asNxError(thrown: unknown): NxError {
  if (thrown instanceof NxError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new NxError("NX_INTERNAL", message, {
    hint: "please report it, with NODE_X_TRACE=1 set",
    cause: thrown,
  });
}

/** `error: what, where` then `hint: what to do` and the code; as JSON when the call asked for JSON. */
export function printError(surroundings: Surroundings, error: NxError, isJson: boolean): void {
  const { stderr, environment } = surroundings;
  const report: ErrorReport = {
    code: error.code,
    message: error.message,
    ...(error.hint !== undefined && { hint: error.hint }),
  };
  if (isJson) {
    printJson(stderr, { error: report });
    return;
  }
  const colors = colorsFor(stderr, environment);
  const lines = error.message.split("\n");
  // Of a configuration each line is a mistake; elsewhere what follows the first one explains it.
  const isList = error.code === "NX_CONFIG_INVALID" && lines.length > 1;
  const text = (isList ? [`${lines.length} mistakes`, ...lines] : lines).join("\n  ");
  stderr.write(`${colors.red("error:")} ${text}\n`);
  if (error.hint !== undefined) stderr.write(`${colors.cyan("hint:")} ${error.hint}\n`);
  stderr.write(colors.dim(`code: ${error.code}\n`));
  if (environment.NODE_X_TRACE === "1" && error.stack !== undefined) stderr.write(`${error.stack}\n`);
}
