/**
 * `node-x stream send`: what the sender role does, without a file and with a report at its end.
 *
 * Exit code 0: everything was sent (and acknowledged); 1: interrupted or out of time before that.
 */
import { parseAddress } from "../../core/config/group-file.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { milliseconds, thousands } from "../../core/load/table.ts";
import { wholeOption } from "../../core/option-values.ts";
import { printJson } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { defineVerb } from "../../core/verb.ts";
import type { SendingConfig } from "../sender/config.ts";
import type { SendOnceResult } from "../sender/once.ts";
import { interruptible } from "./interruption.ts";

const COUNT_MAX = 1e15;

export const sendVerb = defineVerb({
  name: "send",
  summary: "Send counters, made-up orders and quotes, or files to a stream",
  description:
    "Acknowledged by default: a record is sent until a checkpoint holds it. --raw sends plain frames, as the original's " +
    "tools do. The rate is an open loop: a slow worker does not slow the schedule down, and latencies count from when a " +
    "batch was due until it was acknowledged (raw: until the kernel had it).",
  args: {
    to: { type: "positional", required: true, description: "The sources, HOST:PORT with commas between" },
    feed: {
      type: "enum",
      options: ["counters", "numbers", "market", "file"],
      default: "counters",
      description: "What is sent; `node-x config explain sender.feed` says more",
    },
    raw: { type: "boolean", description: "Plain frames, never acknowledged" },
    keys: { type: "string", valueHint: "N", default: "11", description: "Keys of the counters" },
    from: {
      type: "string",
      valueHint: "N",
      default: "0",
      description: "The first value is the one behind this",
    },
    until: { type: "string", valueHint: "N", default: "1000", description: "The last value" },
    orders: {
      type: "string",
      valueHint: "N",
      default: "0",
      description: "Orders of the market; 0: without end",
    },
    quotes: {
      type: "string",
      valueHint: "N",
      default: "0",
      description: "Quotes of the market; 0: without end",
    },
    symbols: { type: "string", valueHint: "N", default: "350", description: "Symbols of the market" },
    "rejected-one-in": {
      type: "string",
      valueHint: "N",
      default: "70000",
      description: "One order in so many is rejected",
    },
    seed: {
      type: "string",
      valueHint: "N",
      default: "1",
      description: "The same seed makes the same market",
    },
    file: { type: "string", valueHint: "FILE", description: "A file to send; may be repeated" },
    form: {
      type: "enum",
      options: ["lines", "frames", "chunks"],
      default: "lines",
      description: "What a record of the file is",
    },
    records: {
      type: "string",
      valueHint: "N",
      default: "0",
      description: "Records of each file; 0: all, once",
    },
    batch: { type: "string", valueHint: "N", default: "100", description: "Records that are sent in one go" },
    "interval-ms": {
      type: "string",
      valueHint: "MS",
      default: "50",
      description: "Between two batches of a connection; 0: as fast as it goes",
    },
    cookie: {
      type: "string",
      valueHint: "TEXT",
      default: "cookie",
      description: "What the source wants to hear",
    },
    "stream-prefix": {
      type: "string",
      valueHint: "TEXT",
      default: "",
      description: "Another prefix is another acknowledged stream",
    },
    "timeout-ms": {
      type: "string",
      valueHint: "MS",
      default: "0",
      description: "Give up after this; 0: never",
    },
    json: { type: "boolean", description: "Print the report as JSON" },
  },
  repeatable: ["file"],
  examples: [
    {
      command: "node-x stream send 127.0.0.1:7000 --keys 11 --until 1000",
      shows: "The values 1 to 1000 of 11 keys",
    },
    {
      command:
        "node-x stream send 127.0.0.1:7000,127.0.0.1:7001 --feed market --orders 100000 --quotes 100000 --raw",
      shows: "Orders to the first source, quotes to the second",
    },
    {
      command: "node-x stream send 127.0.0.1:7000 --feed file --file words.txt --interval-ms 0",
      shows: "The lines of a file, as fast as the worker takes them",
    },
  ],
  async run({ args, all, stdout, stderr }) {
    const [{ sendOnce }, { realWorld }] = await Promise.all([
      import("../sender/once.ts"),
      import("../../core/seams/world-real.ts"),
    ]);
    const config = await sendingConfig(args, all("file"));
    const timeoutMs = wholeOption("--timeout-ms", args["timeout-ms"], 0, COUNT_MAX);
    const world = realWorld();
    const line = progressLine(stderr, world.clock);
    let warned = "";
    const result = await interruptible((interrupted) =>
      sendOnce({
        ...{ world, config, timeoutMs, interrupted },
        onProgress({ figures, records, troubles: [trouble = ""] }) {
          const total = records === undefined ? "" : ` of ${thousands(records)}`;
          line.show(`${thousands(figures.settled)}${total} records ${trouble}`);
          if (trouble !== "" && trouble !== warned && !stderr.isTty) stderr.write(`warning: ${trouble}\n`);
          warned = trouble;
        },
      }),
    );
    line.end();
    if (args.json === true) printJson(stdout, result);
    else stdout.write(`${reportLines(result).join("\n")}\n`);
    return result.isDone ? Exit.ok : Exit.failed;
  },
});

/** The options as keys of the sender role. Throws NX_USAGE. */
async function sendingConfig(args: Record<string, unknown>, files: string[]): Promise<SendingConfig> {
  const { senderConfig } = await import("../sender/config.ts");
  const to = String(args.to).split(",");
  for (const text of to) {
    const address = parseAddress(text);
    if (typeof address === "string")
      throw new NxError("NX_USAGE", `TO: wanted ${address}, got ${JSON.stringify(text)}`);
  }
  const intervalMs = Number(args["interval-ms"]);
  if (!(intervalMs >= 0))
    throw new NxError("NX_USAGE", `--interval-ms: wanted a number from 0, got "${args["interval-ms"]}"`);
  const count = (name: string, min = 0) => wholeOption(`--${name}`, String(args[name]), min, COUNT_MAX);
  const parsed = senderConfig.safeParse({
    ...{ role: "sender", instance: "stream-send", dataDir: "." },
    protocol: args.raw === true ? "raw" : "acked",
    to,
    feed: args.feed,
    counters: { keys: count("keys", 1), from: count("from"), until: count("until", 1) },
    market: {
      orders: count("orders"),
      quotes: count("quotes"),
      symbols: count("symbols", 1),
      rejectingSymbols: Math.ceil(count("symbols", 1) * REJECTING_SHARE),
      rejectedOneIn: count("rejected-one-in", 1),
      seed: count("seed"),
    },
    file: { paths: files, form: args.form, records: count("records") },
    batch: count("batch", 1),
    intervalMs,
    cookie: args.cookie,
    streamPrefix: args["stream-prefix"],
  });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new NxError("NX_USAGE", problems.join("\n"));
}

/** Of 350 symbols the original's files have 15 whose orders are rejected. */
const REJECTING_SHARE = 15 / 350;

function reportLines(result: SendOnceResult): string[] {
  const { settled, sent, sentAgain, seconds, recordsPerSecond, latency, throttled, isDone } = result;
  const { p50Ms, p99Ms, p999Ms, maxMs } = latency;
  return [
    `${isDone ? "done" : "NOT done"}: ${thousands(settled)} of ${thousands(sent)} records that were sent, in ${seconds.toFixed(1)} s, ${thousands(recordsPerSecond)} records/s`,
    `latency of batches in ms: p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}, p99.9 ${milliseconds(p999Ms)}, max ${milliseconds(maxMs)}`,
    ...(sentAgain === 0 ? [] : [`${thousands(sentAgain)} records were sent again`]),
    ...(throttled === 0 ? [] : [`waited ${thousands(throttled)} times for the worker`]),
  ];
}
