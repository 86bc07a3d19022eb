/** `exec`: one program on every host of a cluster, words and all, without a shell in between. */
import type { AgentClient } from "../../cluster/agent/client.ts";
import type { Params } from "../../cluster/agent/messages.ts";
import { Exit } from "../../core/errors.ts";
import { printJson } from "../print.ts";
import { usageError } from "../strict.ts";
import { defineVerb, type Call, type Output } from "../verb.ts";
import {
  hostsOf,
  noteAtBothEnds,
  numberOf,
  onInterrupt,
  openCluster,
  prefixArg,
  selectionArgs,
  withAgents,
} from "./context.ts";

const args = {
  prefix: prefixArg,
  ...selectionArgs,
  "timeout-ms": {
    type: "string",
    valueHint: "MS",
    default: "60000",
    description: "It is ended after this time",
  },
  json: { type: "boolean", description: "Print JSON at the end: each host's exit code and output" },
} as const;

export const execVerb = defineVerb({
  name: "exec",
  summary: "Run a program on the hosts of a cluster",
  description:
    "The words after -- are the program and its arguments, exactly; there is no shell. It runs in the working directory of each host; its output comes with the host's name. Exit code: the first one that is not 0.",
  args,
  repeatable: ["only"],
  variadic: "-- WORD",
  examples: [{ command: "node-x exec configs/prod -- df -h .", shows: "How full the disks are" }],
  async run(call) {
    const { rest, stdout } = call;
    if (rest.length === 0) throw usageError("nothing to run: write it after --", ["exec"]);
    const context = await openCluster("exec", call.args.prefix, call.args, call.all("only"), call);
    const { cluster, selected, operator } = context;
    const timeoutMs = numberOf(call.args["timeout-ms"], "--timeout-ms", "exec") ?? 60_000;
    const interrupt = onInterrupt(() => undefined);
    try {
      return await withAgents(context, hostsOf(cluster, selected), call, undefined, async (agents) => {
        const { operation, name } = operator;
        const question = { words: rest, timeoutMs, operation, operator: name };
        const runs = await Promise.all(
          [...agents.values()].map((agent) => runOn(agent, question, call, interrupt.signal)),
        );
        await noteAtBothEnds(context, agents, `${operator.why} -- ${rest.join(" ")}`);
        if (call.args.json === true) printJson(stdout, runs);
        return runs.map(({ code }) => code ?? Exit.failed).find((code) => code !== 0) ?? Exit.ok;
      });
    } finally {
      interrupt.close();
    }
  },
});

interface Run {
  host: string;
  /** Missing when a signal ended it. */
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs it on one host. Lines are passed on as they come, but for JSON, which wants them at the end. */
async function runOn(
  agent: AgentClient,
  question: Params<"exec">,
  { args: { json: isJson }, stdout, stderr }: Call<typeof args>,
  signal: AbortSignal,
): Promise<Run> {
  const { host } = agent;
  const said = { stdout: "", stderr: "" };
  const passOn = (stream: "stdout" | "stderr", output: Output) =>
    byLine((line) => {
      if (isJson === true) said[stream] += `${line}\n`;
      else output.write(`${host} | ${line}\n`);
    });
  const lines = { stdout: passOn("stdout", stdout), stderr: passOn("stderr", stderr) };
  const { result } = await agent.call("exec", question, {
    signal,
    onEvent: ({ stream, base64 }) => lines[stream].add(Buffer.from(base64, "base64")),
  });
  lines.stdout.end();
  lines.stderr.end();
  if (result.signal !== undefined && isJson !== true) stderr.write(`${host} | ended by ${result.signal}\n`);
  return { host, code: result.code ?? null, signal: result.signal ?? null, ...said };
}

/** Whole lines of pieces. */
function byLine(emit: (line: string) => void): { add(bytes: Uint8Array): void; end(): void } {
  const decoder = new TextDecoder();
  let pending = "";
  return {
    add(bytes) {
      pending += decoder.decode(bytes, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      lines.forEach(emit);
    },
    end() {
      pending += decoder.decode();
      if (pending !== "") emit(pending);
    },
  };
}
