/** The verbs of `node-x stream` that ask a running worker, or tell it something. */
import { join, resolve } from "node:path";
import { adminGet, adminPost, type AdminAnswer, type AdminTarget } from "../../core/admin-client.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { defineVerb, type Verb } from "../../core/verb.ts";

const TIMEOUT_MS = 5000;

const common = {
  at: {
    type: "positional",
    required: true,
    description: "The worker: its data directory, or HOST:PORT of its adminPort",
  },
} as const;

function targetOf(at: string, workingDirectory: string): AdminTarget {
  return /:\d{1,5}$/.test(at)
    ? { url: `http://${at}` }
    : { socket: join(resolve(workingDirectory, at), "admin.sock") };
}

/** Prints what was answered. Throws NX_STREAM_REFUSED with the worker's reason. */
function show({ status, body }: AdminAnswer, write: (text: string) => void): number {
  const answer = JSON.parse(body) as { error?: string; eligible?: string[] };
  if (status >= 400) {
    throw new NxError("NX_STREAM_REFUSED", answer.error ?? body, {
      ...(answer.eligible !== undefined && {
        hint: `these can leave: ${answer.eligible.join(", ") || "none"}`,
      }),
    });
  }
  write(`${JSON.stringify(answer, null, 2)}\n`);
  return Exit.ok;
}

function asking(name: string, summary: string, path: string): Verb {
  return defineVerb({
    name,
    summary,
    args: common,
    examples: [{ command: `node-x stream ${name} .node-x/local/worker0`, shows: summary }],
    async run({ args, workingDirectory, stdout }) {
      const answer = await adminGet(targetOf(args.at, workingDirectory), path, TIMEOUT_MS);
      return show(answer, (text) => stdout.write(text));
    },
  });
}

function telling(name: string, summary: string, path: string): Verb {
  return defineVerb({
    name,
    summary,
    args: common,
    examples: [{ command: `node-x stream ${name} .node-x/local/worker0`, shows: summary }],
    async run({ args, workingDirectory, stdout }) {
      const answer = await adminPost(targetOf(args.at, workingDirectory), path, {}, TIMEOUT_MS);
      return show(answer, (text) => stdout.write(text));
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
  async run({ args, workingDirectory, stdout }) {
    if ((args.workers === undefined) === (args.count === undefined))
      throw new NxError("NX_USAGE", "say either --workers or --count");
    const body =
      args.workers === undefined ? { count: Number(args.count) } : { names: args.workers.split(",") };
    const answer = await adminPost(targetOf(args.at, workingDirectory), "/stream/shrink", body, TIMEOUT_MS);
    return show(answer, (text) => stdout.write(text));
  },
});
