/** `rollback`: every host back to an earlier release. */
import { Exit } from "../../core/errors.ts";
import { colorsFor, printJson, printTable } from "../print.ts";
import { defineVerb } from "../verb.ts";
import { assentArgs, hostsOf, openCluster, prefixArg, selectionArgs, withAgents } from "./context.ts";
import { roll } from "./roll.ts";

export const rollbackVerb = defineVerb({
  name: "rollback",
  summary: "Go back to an earlier release on all hosts",
  description:
    "Without a name it is the newest good release before the current one that every host has. Nothing is sent: hosts keep their last five releases. Executable, files and services " +
    "go back together, in waves like a deploy; the files of the prefix here stay as they are, so a later `deploy` brings them again.",
  args: {
    prefix: prefixArg,
    release: { type: "positional", required: false, description: "The release; --list shows them" },
    list: { type: "boolean", description: "Show the releases there are" },
    ...selectionArgs,
    ...assentArgs,
  },
  repeatable: ["only"],
  examples: [
    { command: "node-x rollback configs/prod", shows: "Back to the release before" },
    { command: "node-x rollback configs/prod --list", shows: "Which releases there are" },
  ],
  async run(call) {
    const { args, stdout, environment } = call;
    const context = await openCluster("rollback", args.prefix, args, call.all("only"), call);
    const { cluster, selected, operator, isWhole } = context;
    const [{ inventories }, { candidatesOf, planRollback, rollbackTarget }, { planSteps }] =
      await Promise.all([
        import("../../cluster/rollout/session.ts"),
        import("../../cluster/plan/run-plan.ts"),
        import("../../cluster/rollout/steps.ts"),
      ]);
    return await withAgents(context, hostsOf(cluster, selected), call, undefined, async (agents) => {
      if (args.list === true) {
        const candidates = candidatesOf(await inventories(agents));
        if (args.json === true) printJson(stdout, candidates);
        else
          printTable(
            stdout,
            ["release", "made", "by", "version", "hosts", ""],
            candidates.map(({ release, createdAtMs, madeBy, version, hosts, isBad, isCurrent }) => [
              release,
              new Date(createdAtMs).toISOString(),
              madeBy,
              version,
              `${hosts.length} of ${agents.size}`,
              [isCurrent ? "current" : "", isBad ? "bad" : ""].filter(Boolean).join(", "),
            ]),
            colorsFor(stdout, environment),
          );
        return Exit.ok;
      }
      const makePlan = async () => {
        const known = await inventories(agents);
        const { release } = rollbackTarget(known, args.release);
        const instances = planRollback(release, selected, known);
        const { operation } = operator;
        const hosts = [...agents.keys()];
        const plan = planSteps({ operation, prefix: cluster.prefix, release, hosts, instances, isWhole });
        // The release is there already, and nothing is cleared away: the way forward stays open.
        const stages = plan.stages
          .filter(({ title }) => title !== "upload")
          .map((stage) => ({
            ...stage,
            lanes: stage.lanes.map((lane) => ({
              ...lane,
              steps: lane.steps.filter(({ kind }) => kind !== "prune"),
            })),
          }));
        return { plan: { ...plan, stages } };
      };
      return await roll({ context, agents, makePlan, assent: args, done: "back" }, call);
    });
  },
});
