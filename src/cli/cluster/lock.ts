/** `lock` and `unlock`: keep others from changing a cluster, and end that. */
import { Exit, NxError } from "../../core/errors.ts";
import { usageError } from "../strict.ts";
import { defineVerb } from "../verb.ts";
import { printJson } from "../print.ts";
import { jsonArg, noteAtBothEnds, openCluster, prefixArg, withAgents } from "./context.ts";

const UNITS_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const lockVerb = defineVerb({
  name: "lock",
  summary: "Keep everybody from changing a cluster for a while",
  description:
    "Takes the lock that deploy, start, stop and their kin take, on all hosts, and keeps it until `unlock` or until the time is over. Whoever meets it is told who has it and why. " +
    "`kill` works all the same.",
  args: {
    prefix: prefixArg,
    why: { type: "string", valueHint: "TEXT", required: true, description: "What others are told" },
    for: { type: "string", valueHint: "TIME", default: "1h", description: "How long: 30m, 8h, 2d" },
    json: jsonArg,
  },
  examples: [
    {
      command: 'node-x lock configs/prod --why "disks are being replaced" --for 8h',
      shows: "For a working day",
    },
  ],
  async run(call) {
    const { args, stdout } = call;
    const [, count, unit] = /^(\d{1,5})([smhd])$/.exec(args.for) ?? [];
    if (count === undefined || unit === undefined)
      throw usageError(`--for: wanted a time such as 30m, 8h or 2d, got "${args.for}"`, ["lock"]);
    const context = await openCluster("lock", args.prefix, {}, [], call);
    const { cluster, operator } = context;
    const { takeLocks } = await import("../../cluster/operator/locks.ts");
    const ttlMs = Number(count) * (UNITS_MS[unit] ?? 0);
    return await withAgents(context, cluster.hosts, call, undefined, async (agents) => {
      await takeLocks(agents, { owner: operator.name, why: args.why, ttlMs });
      await noteAtBothEnds(context, agents, `${operator.why}: ${args.why}`);
      const untilMs = context.place.clock.nowMs() + ttlMs;
      if (args.json === true)
        printJson(stdout, { hosts: [...agents.keys()], owner: operator.name, why: args.why, untilMs });
      else stdout.write(`${cluster.prefix} is locked for ${args.for} on ${[...agents.keys()].join(", ")}\n`);
      return Exit.ok;
    });
  },
});

export const unlockVerb = defineVerb({
  name: "unlock",
  summary: "Give a cluster's lock back",
  description: "Your own lock is given back at once; somebody else's, while it lasts, only with --force.",
  args: {
    prefix: prefixArg,
    force: { type: "boolean", description: "Also a lock of somebody else; a rollout of theirs then stops" },
    json: jsonArg,
  },
  examples: [
    { command: "node-x unlock configs/prod", shows: "After `lock`, or after a rollout that was killed" },
  ],
  async run(call) {
    const { args, stdout } = call;
    const context = await openCluster("unlock", args.prefix, {}, [], call);
    const { giveLocksBack } = await import("../../cluster/operator/locks.ts");
    return await withAgents(context, context.cluster.hosts, call, undefined, async (agents) => {
      const { name } = context.operator;
      const { given, foreign } = await giveLocksBack(agents, { owner: name, isForced: args.force === true });
      if (given.length > 0) await noteAtBothEnds(context, agents, context.operator.why);
      if (args.json === true) {
        printJson(stdout, { given, foreign });
        return foreign.length > 0 ? Exit.temporary : Exit.ok;
      }
      for (const { host, holder } of given) stdout.write(`${host}: ${holder}'s lock is given back\n`);
      if (foreign.length > 0)
        throw new NxError(
          "NX_LOCK_HELD",
          foreign.map(({ host, holder, why }) => `${host}: ${holder} holds it: ${why}`).join("\n"),
          {
            hint: "ask them, or take it from them with --force",
          },
        );
      if (given.length === 0) stdout.write(`${context.cluster.prefix} was not locked\n`);
      return Exit.ok;
    });
  },
});
