/** `stop` and `restart`: what is deployed, in order and in waves. */
import { defineVerb, type Call } from "../verb.ts";
import { assentArgs, hostsOf, openCluster, prefixArg, selectionArgs, withAgents } from "./context.ts";
import { roll } from "./roll.ts";

const args = { prefix: prefixArg, ...selectionArgs, ...assentArgs } as const;

export const stopVerb = defineVerb({
  name: "stop",
  summary: "Stop a cluster's instances, the last started first",
  description:
    "Each instance gets SIGTERM, finishes what it began and ends; one that takes longer than its deadline is killed. They stay down, also after a reboot, until they " +
    "are started again.",
  args,
  repeatable: ["only"],
  examples: [
    { command: "node-x stop configs/local", shows: "Stop everything" },
    { command: "node-x stop configs/local --role hub", shows: "Stop one role" },
  ],
  run: (call) => change("stop", call),
});

export const restartVerb = defineVerb({
  name: "restart",
  summary: "Restart a cluster's instances in waves, leaders last",
  description:
    "One instance alone first, then as many at a time as the policy of prefix.cluster.json allows, never two replicas of one group; each must be ready for a while before " +
    "the next. What is down is started.",
  args,
  repeatable: ["only"],
  examples: [
    { command: "node-x restart configs/prod --only @rack1", shows: "Restart what runs on some hosts" },
  ],
  run: (call) => change("restart", call),
});

async function change(verb: "stop" | "restart", call: Call<typeof args>): Promise<number> {
  const context = await openCluster(verb, call.args.prefix, call.args, call.all("only"), call);
  const { cluster, selected, operator, isWhole } = context;
  const [{ inventories }, { planRun }, { planSteps }] = await Promise.all([
    import("../../cluster/rollout/session.ts"),
    import("../../cluster/plan/run-plan.ts"),
    import("../../cluster/rollout/steps.ts"),
  ]);
  return await withAgents(context, hostsOf(cluster, selected), call, undefined, async (agents) => {
    const makePlan = async () => {
      const instances = planRun(verb, selected, await inventories(agents));
      const { operation } = operator;
      return { plan: planSteps({ operation, prefix: cluster.prefix, hosts: [], instances, isWhole }) };
    };
    const done = verb === "stop" ? "stopped" : "restarted";
    return await roll({ context, agents, makePlan, assent: call.args, isHarmless: true, done }, call);
  });
}
