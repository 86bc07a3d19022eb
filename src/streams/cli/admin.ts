/** The verbs of `node-x stream` that ask a running worker, or tell it something. */
import { join, resolve } from "node:path";
import { adminGet, adminPost, type AdminAnswer, type AdminTarget } from "../../core/admin-client.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { wholeOption } from "../../core/option-values.ts";
import { colorsFor, printJson, printTable } from "../../core/print.ts";
import { defineVerb, type Surroundings, type Verb } from "../../core/verb.ts";
import { answerRows } from "./answer-text.ts";

const TIMEOUT_MS = 5000;
const WORKERS_MAX = 256;

const common = {
  at: {
    type: "positional",
    required: true,
    description: "The worker: its data directory, or HOST:PORT of its adminPort",
  },
  json: { type: "boolean", description: "Print JSON" },
} as const;

/** A call of one of these verbs, as far as its answer is concerned. */
interface Asked extends Pick<Surroundings, "stdout" | "environment"> {
  args: { json?: boolean };
}

function targetOf(at: string, workingDirectory: string): AdminTarget {
  return /:\d{1,5}$/.test(at)
    ? { url: `http://${at}` }
    : { socket: join(resolve(workingDirectory, at), "admin.sock") };
}

interface Answer {
  error?: string;
  eligible?: string[];
}

/** Throws NX_STREAM_REFUSED when this is no worker's answer. */
function parsed(body: string): Answer {
  try {
    return JSON.parse(body) as Answer;
  } catch {
    throw new NxError("NX_STREAM_REFUSED", body.trim(), { hint: "is it a worker?" });
  }
}

/** Prints what was answered. Throws NX_STREAM_REFUSED with the worker's reason. */
function show({ status, body }: AdminAnswer, { args, stdout, environment }: Asked): number {
  const answer = parsed(body);
  const { error, eligible } = answer;
  if (status >= 400) {
    throw new NxError("NX_STREAM_REFUSED", error ?? body, {
      ...(eligible !== undefined && { hint: `these can leave: ${eligible.join(", ") || "none"}` }),
    });
  }
  if (args.json === true) printJson(stdout, answer);
  else printTable(stdout, ["figure", "value"], answerRows({ ...answer }), colorsFor(stdout, environment));
  return Exit.ok;
}

function asking(name: string, summary: string, path: string): Verb {
  return defineVerb({
    name,
    summary,
    args: common,
    examples: [{ command: `node-x stream ${name} .node-x/local/worker0`, shows: summary }],
    async run(call) {
      const target = targetOf(call.args.at, call.workingDirectory);
      return show(await adminGet(target, path, TIMEOUT_MS), call);
    },
  });
}

function telling(name: string, summary: string, path: string): Verb {
  return defineVerb({
    name,
    summary,
    args: common,
    examples: [{ command: `node-x stream ${name} .node-x/local/worker0`, shows: summary }],
    async run(call) {
      const target = targetOf(call.args.at, call.workingDirectory);
      return show(await adminPost(target, path, {}, TIMEOUT_MS), call);
    },
  });
}

export const statusVerb = asking(
  "status",
  "Show a worker's cluster: phase, epoch, checkpoint, members",
  "/stream/status",
);
export const keysVerb = asking("keys", "Show the keys that a worker has, by step", "/stream/keys");
export const sourcesVerb = asking("sources", "Show a worker's sources and their figures", "/stream/sources");
export const checkpointVerb = telling("checkpoint", "Take a checkpoint now", "/stream/checkpoint");
export const rotateVerb = telling(
  "rotate",
  "Rewrite a worker's state log as a snapshot now",
  "/stream/rotate",
);
export const stopVerb = telling("stop", "Stop the whole cluster behind a last checkpoint", "/stream/stop");

export const shrinkVerb = defineVerb({
  name: "shrink",
  summary: "Let workers leave a running cluster; their keys go to the others",
  description:
    "Asks the initializer. The workers that leave end by themselves; their names may join again later.",
  args: {
    ...common,
    workers: {
      type: "string",
      alias: "w",
      valueHint: "LIST",
      description: "Their names, with commas between",
    },
    count: { type: "string", valueHint: "N", description: "How many, the last ones by name" },
  },
  examples: [
    { command: "node-x stream shrink data/initializer --workers worker3", shows: "Let worker3 leave" },
    { command: "node-x stream shrink data/initializer --count 2", shows: "Let two workers leave" },
  ],
  async run(call) {
    const { args } = call;
    if ((args.workers === undefined) === (args.count === undefined))
      throw new NxError("NX_USAGE", "say either --workers or --count");
    const body =
      args.workers === undefined
        ? { count: wholeOption("--count", String(args.count), 1, WORKERS_MAX) }
        : { names: args.workers.split(",") };
    const target = targetOf(args.at, call.workingDirectory);
    return show(await adminPost(target, "/stream/shrink", body, TIMEOUT_MS), call);
  },
});
