/** `exec`: one program on every host of a cluster, words and all, without a shell in between. */
import { Exit } from "../../core/errors.ts";
import { usageError } from "../strict.ts";
import { defineVerb } from "../verb.ts";
import {
  hostsOf,
  numberOf,
  onInterrupt,
  openCluster,
  prefixArg,
  selectionArgs,
  withAgents,
} from "./context.ts";

export const execVerb = defineVerb({
  name: "exec",
  summary: "Run a program on the hosts of a cluster",
  description:
    "The words after -- are the program and its arguments, exactly; there is no shell. It runs in the working directory of each host; its output comes with the host's name. Exit code: the first one that is not 0.",
  args: {
    prefix: prefixArg,
    ...selectionArgs,
    "timeout-ms": {
      type: "string",
      valueHint: "MS",
      default: "60000",
      description: "It is ended after this time",
    },
  },
  repeatable: ["only"],
  variadic: "-- WORD",
  examples: [{ command: "node-x exec configs/prod -- df -h .", shows: "How full the disks are" }],
  async run(call) {
    const { args, rest, stdout, stderr } = call;
    if (rest.length === 0) throw usageError("nothing to run: write it after --", ["exec"]);
    const context = await openCluster("exec", args.prefix, args, call.all("only"), call);
    const { cluster, selected, operator } = context;
    const timeoutMs = numberOf(args["timeout-ms"], "--timeout-ms", "exec") ?? 60_000;
    const interrupt = onInterrupt(() => undefined);
    try {
      return await withAgents(context, hostsOf(cluster, selected), call, undefined, async (agents) => {
        const codes = await Promise.all(
          [...agents].map(async ([host, agent]) => {
            const out = byLine((line) => stdout.write(`${host} | ${line}\n`));
            const error = byLine((line) => stderr.write(`${host} | ${line}\n`));
            const question = {
              words: rest,
              timeoutMs,
              operation: operator.operation,
              operator: operator.name,
            };
            const { result } = await agent.call("exec", question, {
              signal: interrupt.signal,
              onEvent: ({ stream, base64 }) =>
                (stream === "stdout" ? out : error).add(Buffer.from(base64, "base64")),
            });
            out.end();
            error.end();
            if (result.signal !== undefined) stderr.write(`${host} | ended by ${result.signal}\n`);
            return result.code ?? Exit.failed;
          }),
        );
        return codes.find((code) => code !== 0) ?? Exit.ok;
      });
    } finally {
      interrupt.close();
    }
  },
});

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
