/** `logs`: what instances said last, of all hosts together. */
import { Exit, NxError } from "../../core/errors.ts";
import { colorsFor, type Colors } from "../print.ts";
import { defineVerb } from "../verb.ts";
import { connectEach } from "./each-host.ts";
import { hostsOf, numberOf, onInterrupt, openCluster, prefixArg, selectionArgs } from "./context.ts";

export const logsVerb = defineVerb({
  name: "logs",
  summary: "Show what a cluster's instances say",
  description:
    "The last lines of standard output and error of each instance, from the journal or, without systemd, from its output.*.txt. With -f it goes on until Ctrl-C.",
  args: {
    prefix: prefixArg,
    ...selectionArgs,
    follow: { type: "boolean", alias: "f", description: "Go on until Ctrl-C" },
    lines: {
      type: "string",
      alias: "n",
      valueHint: "N",
      default: "20",
      description: "How many of each instance",
    },
    json: { type: "boolean", description: "Print one JSON object per line" },
  },
  repeatable: ["only"],
  examples: [
    { command: "node-x logs configs/local -f", shows: "Follow all" },
    { command: "node-x logs configs/local --only dht0 -n 200", shows: "More of one" },
  ],
  async run(call) {
    const { args, stdout, stderr, environment } = call;
    const context = await openCluster("logs", args.prefix, args, call.all("only"), call);
    const { cluster, selected } = context;
    const lines = numberOf(args.lines, "--lines", "logs", 0) ?? 20;
    const { agents, failures, close } = await connectEach(context, hostsOf(cluster, selected), call);
    const paint = painter(
      selected.map(({ name }) => name),
      colorsFor(stdout, environment),
    );
    const interrupt = onInterrupt(() => undefined);
    try {
      for (const [host, reason] of failures) stderr.write(`${host}: ${reason}\n`);
      await Promise.all(
        [...agents].map(async ([host, agent]) => {
          const instances = selected.filter((instance) => instance.host === host).map(({ name }) => name);
          const question = { instances, lines, isFollowing: args.follow === true };
          await agent.call("logs", question, {
            signal: interrupt.signal,
            onEvent: ({ instance, line }) =>
              stdout.write(
                args.json === true
                  ? `${JSON.stringify({ instance, host, line })}\n`
                  : `${paint(instance)} ${line}\n`,
              ),
          });
        }),
      );
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
    } finally {
      interrupt.close();
      close();
    }
    if (agents.size === 0)
      throw new NxError("NX_HOST_UNREACHABLE", "no host could be reached", {
        hint: "their reasons are above",
      });
    return failures.size > 0 ? Exit.unavailable : Exit.ok;
  },
});

function painter(names: readonly string[], colors: Colors): (name: string) => string {
  const palette = [colors.cyan, colors.magenta, colors.yellow, colors.blue, colors.green];
  const width = Math.max(0, ...names.map(({ length }) => length));
  return (name) =>
    (palette[Math.max(0, names.indexOf(name)) % palette.length] as Colors["cyan"])(`${name.padEnd(width)} |`);
}
