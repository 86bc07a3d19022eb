/**
 * `node-x stream receive`: a sink for workers. Prints, keeps and judges what comes.
 *
 * Exit code 0: everything expected came, or nothing was expected and it was interrupted; 1: a violation or a time-out.
 */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { listenOption, wholeOption } from "../../core/option-values.ts";
import { printJson } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { defineVerb } from "../../core/verb.ts";
import type { SessionReport } from "../receiver/session.ts";
import { interruptible } from "./interruption.ts";
import { ruleArgs, rulesOf, verdictLines } from "./rules.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const BODY_BYTES_MAX = 64 * 1024 * 1024;

export const receiveVerb = defineVerb({
  name: "receive",
  summary: "Be the sink of a stream: print, keep and judge what comes",
  description:
    "framed takes what any worker sends over TCP and keeps the frames as they are. two-phase keeps what workers send in " +
    "--out, one file for each worker, promises it when a checkpoint wants to be complete and commits it when it is: exactly " +
    "once, also when the worker or this process dies. Without --out each body is printed on a line of its own.",
  args: {
    listen: { type: "string", alias: "l", valueHint: "ADDRESS", default: "127.0.0.1:5555", description: "Where workers connect; port 0 takes a free one" },
    protocol: { type: "enum", options: ["framed", "two-phase"], default: "framed", description: "What workers speak" },
    out: { type: "string", alias: "o", valueHint: "PATH", description: "framed: the file that gets the frames; two-phase: the directory" },
    ...ruleArgs,
    "timeout-ms": { type: "string", valueHint: "MS", default: "0", description: "Give up after this; 0: never" },
    "no-write": { type: "boolean", alias: "n", description: "Only count: print and keep nothing" },
    framed: { type: "boolean", alias: "f", description: "What is done anyway; the original's sink has the option" },
    "frame-bytes-max": { type: "string", valueHint: "N", default: "1048576", description: "The longest body that is taken" },
    "bytes-per-second": { type: "string", valueHint: "N", default: "0", description: "Read no faster than this, so that workers feel a slow sink; 0: no limit" },
    json: { type: "boolean", description: "Print the report as JSON" },
  },
  examples: [
    { command: "node-x stream receive --listen 127.0.0.1:5555", shows: "Print what comes" },
    {
      command: "node-x stream receive -o received.txt -e 2000 -k 11 --timeout-ms 600000",
      shows: "Keep it until each of 11 keys has shown 2000, and judge it",
    },
    {
      command: "node-x stream receive --protocol two-phase -o out -e 2000 -k 11",
      shows: "The same exactly once",
    },
  ],
  async run({ args, workingDirectory, stdout, stderr }) {
    const isTwoPhase = args.protocol === "two-phase";
    if (isTwoPhase && args.out === undefined)
      throw new NxError("NX_USAGE", "--protocol two-phase needs --out: what is promised must be kept");
    const isJudged = args.expect !== undefined || args.keys !== undefined || args["at-least-once"] === true;
    const isPrinting = args.out === undefined && args["no-write"] !== true && args.json !== true;
    const address = listenOption("--listen", args.listen);
    const [{ realWorld }, { receive }] = await Promise.all([
      import("../../core/seams/world-real.ts"),
      import("../receiver/session.ts"),
    ]);
    const world = realWorld();
    const line = progressLine(stderr, world.clock);
    let bodies = 0;
    const report = await interruptible((interrupted) =>
      receive({
        ...{ world, address, interrupted },
        protocol: isTwoPhase ? "two-phase" : "framed",
        out: args.out === undefined || args["no-write"] === true ? undefined : resolve(workingDirectory, args.out),
        rules: isJudged ? rulesOf(args) : undefined,
        timeoutMs: wholeOption("--timeout-ms", args["timeout-ms"], 0, DAY_MS),
        bodyBytesMax: wholeOption("--frame-bytes-max", args["frame-bytes-max"], 1, BODY_BYTES_MAX),
        bytesPerSecondMax: wholeOption("--bytes-per-second", args["bytes-per-second"], 0, 1e12),
        onBody(body) {
          bodies++;
          if (isPrinting) stdout.write(`${Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()}\n`);
          else line.show(`${bodies} records`);
        },
        onListening: (port) => void stderr.write(`listening on ${address.host}:${port}\n`),
        onProblem: (text) => void stderr.write(`warning: ${text}\n`),
      }),
    );
    line.end();
    if (args.json === true) printJson(stdout, report);
    else stderr.write(`${reportLines(report).join("\n")}\n`);
    if (report.verdict !== null) return report.verdict.isValid ? Exit.ok : Exit.failed;
    return report.end === "timeout" ? Exit.failed : Exit.ok;
  },
}); // prettier-ignore

function reportLines({
  end,
  seconds,
  frames,
  bytes,
  connects,
  torn,
  commits,
  rollbacks,
  verdict,
}: SessionReport) {
  const perSecond = Math.round(frames / Math.max(0.001, seconds));
  return [
    `${end} after ${seconds.toFixed(1)} s: ${frames} records, ${bytes} bytes from ${connects} connections, ${perSecond} records/s`,
    ...(torn === 0 ? [] : [`${torn} connections ended within a record`]),
    ...(commits + rollbacks === 0 ? [] : [`${commits} commits, ${rollbacks} rollbacks`]),
    ...(verdict === null ? [] : verdictLines(verdict)),
  ];
}
