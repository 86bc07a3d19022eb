/** What the load generators of all roles say in the same way: their help, and where a report goes. */
import { z } from "zod";
import type { Terminal } from "../terminal.ts";
import { chartSvg } from "./chart.ts";
import { flagHelp, valueFlag } from "./flags.ts";
import { writeOutput } from "./output.ts";
import type { LoadReport } from "./report.ts";
import { reportLines } from "./table.ts";

export const text = z.string().refine((value) => value !== "", "a text that is not empty");

/** Where the figures go beside the table. */
export const reportFlags = {
  json: valueFlag(text, "FILE", "Write the figures as JSON; - is standard output"),
  chart: valueFlag(text, "FILE", "Write a chart as SVG: latency by percentile, throughput over time"),
};

export interface LoadCommand {
  /** As typed: `node-x bench dht`. */
  command: string;
  summary: string;
  flags: z.ZodObject;
  /** Command lines and what they do. */
  examples: readonly (readonly [command: string, shows: string])[];
}

export function helpText({ command, summary, flags, examples }: LoadCommand): string {
  return [
    summary,
    "",
    "Usage",
    `  ${command} [OPTION…]`,
    "",
    "Options",
    ...flagHelp(flags),
    "",
    "Examples",
    ...examples.flatMap(([line, shows]) => [`  ${line}`, `      ${shows}`]),
    "",
  ].join("\n");
}

/** A table for people, or JSON on standard output; files as asked for. Throws NX_OUTPUT_FAILED. */
export function publishReport(
  report: LoadReport,
  { json, chart }: { json?: string | undefined; chart?: string | undefined },
  terminal: Terminal,
): void {
  const figures = `${JSON.stringify(report, null, 2)}\n`;
  if (json === "-") terminal.stdout.write(figures);
  else terminal.stdout.write(`${reportLines(report).join("\n")}\n`);
  if (json !== undefined && json !== "-") writeOutput(json, figures);
  if (chart !== undefined) writeOutput(chart, chartSvg(report));
}
