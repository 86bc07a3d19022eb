/**
 * `node-x stream verify`: judges what a stream put out, and names the first violation.
 *
 * Exit code 0: valid; 1: not.
 */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import type { OutputPart } from "../validate/verify.ts";
import { ruleArgs, rulesOf, verdictLines } from "./rules.ts";

export const verifyVerb = defineVerb({
  name: "verify",
  summary: "Judge the windows that a verified stream wrote, and name the first violation",
  description:
    "FILE holds frames as a sink wrote them, or is the directory of a two-phase sink, of which only what was committed is " +
    "read. Within a window each value is the one before plus 1; each key begins with --first, goes on without a gap or a " +
    "repetition, and ends with --expect.",
  args: {
    ...ruleArgs,
    input: {
      type: "string",
      alias: "i",
      valueHint: "FILE",
      description: "The file, as the original's validator takes it",
    },
    json: { type: "boolean", description: "Print JSON" },
  },
  variadic: "FILE",
  examples: [
    {
      command: "node-x stream verify received.txt -e 2000 -k 11",
      shows: "Each of 11 keys must show 1 to 2000, once each, in order",
    },
    { command: "node-x stream verify out/ -e 2000 --json", shows: "What a two-phase sink committed" },
  ],
  async run({ args, rest, workingDirectory, stdout }) {
    const rules = rulesOf(args);
    const files = args.input === undefined ? rest : [args.input, ...rest];
    const [{ realWorld }, { verifyParts }, { committedParts }, { fileChunks }] = await Promise.all([
      import("../../core/seams/world-real.ts"),
      import("../validate/verify.ts"),
      import("../receiver/committed.ts"),
      import("../read-file.ts"),
    ]);
    const { disk } = realWorld();
    const parts: OutputPart[] = [];
    for (const file of files.length === 0 ? ["received.txt"] : files) {
      const path = resolve(workingDirectory, file);
      if (!(await disk.exists(path))) throw new NxError("NX_INPUT_INVALID", `${path} is not there`);
      const isDirectory = await disk.list(path).then(
        () => true,
        () => false,
      );
      parts.push(
        ...(isDirectory
          ? await committedParts(disk, path)
          : [{ source: path, chunks: fileChunks(disk, path) }]),
      );
    }
    const verdict = await verifyParts(parts, rules);
    if (args.json === true) printJson(stdout, verdict);
    else stdout.write(`${verdictLines(verdict).join("\n")}\n`);
    return verdict.isValid ? Exit.ok : Exit.failed;
  },
});
