/**
 * The frame of a benchmark: its flags and help, the executable that is measured, and the verdict over all its figures.
 *
 * Invariant: the exit code is 1 when any figure that was reported does not hold its floor.
 */
import type { z } from "zod";
import { ensureExecutable } from "../../build.ts";
import { asksForHelp, flagHelp, parseFlags } from "../../src/core/load/flags.ts";
import { judge, verdictText, type Limit } from "./verdict.ts";

/** Says a figure and judges it. `line` is what was measured, `text` the figures behind the value. */
export type Report = (limit: Limit, line: string, value: number, text: string) => void;

export interface Bench<Shape extends z.ZodRawShape> {
  /** As in `bun run bench NAME`. */
  name: string;
  /** One line for the help. */
  summary: string;
  flags: z.ZodObject<Shape>;
  run(options: z.output<z.ZodObject<Shape>>, report: Report): Promise<void>;
}

/** Where figures begin, so that they stand below each other. */
const LINE_WIDTH = 44;

const figure = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(2);

export function benchCommand<Shape extends z.ZodRawShape>(bench: Bench<Shape>) {
  return async (argv: string[]): Promise<number> => {
    if (asksForHelp(argv)) {
      console.log([bench.summary, "", "Options", ...flagHelp(bench.flags)].join("\n"));
      return 0;
    }
    const options = parseFlags(bench.flags, argv, `bun run bench ${bench.name}`);
    await ensureExecutable();
    let isHeld = true;
    await bench.run(options, (limit, line, value, text) => {
      const verdict = judge(limit, value);
      isHeld &&= verdict.outcome !== "FLOOR FAILED";
      console.log(
        `${line.padEnd(LINE_WIDTH)} ${figure(value).padStart(10)}  (${text})  ${verdictText(verdict)}`,
      );
    });
    return isHeld ? 0 : 1;
  };
}
