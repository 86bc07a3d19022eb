/** `destroy`: a cluster's deployment off its hosts; its data only when asked for. */
import { Exit, NxError } from "../../core/errors.ts";
import { defineVerb } from "../verb.ts";
import { confirm } from "./confirm.ts";
import { printJson } from "../print.ts";
import { jsonArg, openCluster, prefixArg, withAgents } from "./context.ts";

export const destroyVerb = defineVerb({
  name: "destroy",
  summary: "Remove a cluster from its hosts",
  description:
    "Stops every instance and removes releases, services, logs of the deployment and its audit log on the hosts. Data directories stay unless --data is given. The files of the prefix here stay.",
  args: {
    prefix: prefixArg,
    data: { type: "boolean", description: "Remove the data directories, too. There is no way back" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
    json: jsonArg,
  },
  examples: [{ command: "node-x destroy configs/test --data", shows: "Leave nothing behind" }],
  async run(call) {
    const { args, stdout, stderr } = call;
    const context = await openCluster("destroy", args.prefix, {}, [], call);
    const { cluster, place, operator } = context;
    const [{ underLock }, { witnessEachOther }, { ownAudit }] = await Promise.all([
      import("../../cluster/operator/perform.ts"),
      import("../../cluster/rollout/session.ts"),
      import("../../cluster/operator/place.ts"),
    ]);
    return await withAgents(context, cluster.hosts, call, undefined, async (agents) => {
      const what = args.data === true ? "its deployment AND ALL ITS DATA" : "its deployment (data stays)";
      if (args.yes !== true) {
        stderr.write(`${cluster.prefix} on ${[...agents.keys()].join(", ")}: ${what} will be removed\n`);
        if (!(await confirm("Remove it?", call)))
          throw new NxError("NX_USAGE", "nothing was removed", { hint: "-y does it without asking" });
      }
      const removed: { host: string; path: string }[] = [];
      await underLock(place, agents, operator, async ({ fence }) => {
        for (const [host, agent] of agents) {
          const { result } = await agent.call("destroy", { ...fence, withData: args.data === true });
          for (const path of result.removed) {
            removed.push({ host, path });
            if (args.json !== true) stdout.write(`${host}: removed ${path}\n`);
          }
          // The lock went with the rest; giving it back would begin a deployment again.
          agent.close();
        }
      });
      const action = `${operator.why}${args.data === true ? " --data" : ""}`;
      await witnessEachOther(new Map(), ownAudit(place, cluster), { ...operator, why: action }, "ok");
      if (args.json === true) printJson(stdout, { removed });
      return Exit.ok;
    });
  },
});
