/**
 * `node-x stream demo`: the original's demonstrations, on hosts 127.0.1.1 to 127.0.1.4, beside what `node-x up` runs on 127.0.0.1.
 *
 * Exit code 0: the validator found nothing wrong; 1: it did, or a step failed.
 */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { wholeOption } from "../../core/option-values.ts";
import { colorsFor, printJson, printTable } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import type { MarketVerdict } from "../demo/market.ts";
import { interruptible } from "./interruption.ts";
import { verdictLines } from "./rules.ts";

const MINUTE_MS = 60_000;

export const demoVerb = defineVerb({
  name: "demo",
  summary: "Crash, move and restart workers of a running stream, and judge what comes out",
  description:
    "Every host is a loopback address with a directory of its own, every worker and replica a process. Without a name the " +
    "demos are listed. Steps go to standard error, the verdict with the first violation, if any, to standard output.",
  args: {
    name: { type: "positional", required: false, description: "Which one" },
    dir: { type: "string", valueHint: "DIR", description: "Where hosts keep their files; it is emptied first" },
    network: { type: "string", valueHint: "A.B.C", default: "127.0.1", description: "The first numbers of the hosts' addresses; not those of `node-x up`, which may be running" },
    "pause-ms": { type: "string", valueHint: "MS", default: "3000", description: "Between steps, where senders go on" },
    "checkpoint-ms": { type: "string", valueHint: "MS", default: "1000", description: "Between checkpoints" },
    hub: { type: "string", valueHint: "ADDRESS", description: "A hub's metricsPort: its page then shows the demo, as with `node-x up` running --hub 127.0.0.1:5001" },
    until: { type: "string", valueHint: "N", description: "The last value of each key, for demos whose senders never pause; about 1000 a second" },
    json: { type: "boolean", description: "Print JSON" },
  },
  examples: [
    { command: "node-x stream demo", shows: "List them" },
    { command: "node-x stream demo restart", shows: "Kill a worker, start it again, judge 22,000 windows" },
    { command: "node-x stream demo chain2-4-2-3 --pause-ms 500", shows: "Move a worker over three machines under load" },
  ],
  async run({ args, stdout, stderr, environment, workingDirectory }) {
    const { demos } = await import("../demo/scenarios.ts");
    if (args.name === undefined) {
      const rows = demos.map(({ name, shows }) => [name, shows]);
      printTable(stdout, ["demo", "what it shows"], rows, colorsFor(stdout, environment));
      return Exit.ok;
    }
    const demo = demos.find(({ name }) => name === args.name);
    if (demo === undefined)
      throw new NxError("NX_USAGE", `there is no demo "${args.name}"`, { hint: `they are ${demos.map(({ name }) => name).join(", ")}` });
    if (!/^127(\.\d{1,3}){2}$/.test(args.network))
      throw new NxError("NX_USAGE", "--network: wanted three numbers that begin with 127, such as 127.0.1");
    const [{ DemoRun }, { realWorld }] = await Promise.all([
      import("../demo/run.ts"),
      import("../../core/seams/world-real.ts"),
    ]);
    const root = args.dir === undefined ? join(tmpdir(), `node-x-demo-${process.pid}`) : resolve(workingDirectory, args.dir);
    const isFlowing = demo.setting.protocol === "acked";
    if (args.until !== undefined && !isFlowing)
      throw new NxError("NX_USAGE", `--until: ${demo.name} sends what the original's script sends`);
    const setting =
      args.until === undefined ? demo.setting : { ...demo.setting, until: wholeOption("--until", args.until, 1, 1e9) };
    const demoOptions = {
      world: realWorld(),
      ...{ root, network: args.network, metricsHub: args.hub },
      pauseMs: wholeOption("--pause-ms", args["pause-ms"], 0, MINUTE_MS),
      checkpointMs: wholeOption("--checkpoint-ms", args["checkpoint-ms"], 10, MINUTE_MS),
      say: (text: string) => void stderr.write(`${text}\n`),
    };
    const { isValid, failure, report, market } = await interruptible(async (interrupted) => {
      const run = new DemoRun({ ...demoOptions, interrupted }, setting);
      const result = await run.play(demo.workers, demo.steps);
      // Files are kept where somebody asked for them, or may want to know what went wrong.
      if (result.isValid && args.dir === undefined) await run.cluster.clear();
      return result;
    });
    if (args.json === true) printJson(stdout, { demo: demo.name, isValid, failure: failure ?? null, report: report ?? null, market: market ?? null });
    else {
      if (failure !== undefined) stdout.write(`failed: ${failure}\n`);
      if (market !== undefined) stdout.write(`${marketLine(market)}\n`);
      if (report?.verdict != null) stdout.write(`${verdictLines(report.verdict).join("\n")}\n`);
      if (!isValid || args.dir !== undefined) stderr.write(`files and logs are in ${root}\n`);
    }
    return isValid ? Exit.ok : Exit.failed;
  },
}); // prettier-ignore

function marketLine({ isValid, results, difference }: MarketVerdict): string {
  if (isValid) return `Validation successful: the ${results} rejected orders are those of the oracle`;
  return `Validation failed: ${difference} (of ${results} results)`;
}
