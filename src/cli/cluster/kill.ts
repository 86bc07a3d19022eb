/** `kill`: SIGKILL, now. No plan, no lock, no order: it must work when everything else hangs. */
import type { OperatorPlace } from "../../cluster/operator/place.ts";
import type { Operator } from "../../cluster/rollout/session.ts";
import type { Cluster } from "../../cluster/topology/types.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../print.ts";
import { defineVerb } from "../verb.ts";
import { hostsOf, jsonArg, openCluster, prefixArg, selectionArgs, withAgents } from "./context.ts";

export const killVerb = defineVerb({
  name: "kill",
  summary: "Kill a cluster's instances at once (SIGKILL)",
  description:
    "Every process of the chosen instances ends, whether it answers or not, and is not restarted. Other prefixes on the same hosts are not touched. Acknowledged writes are on disk all the same. Mistakes in the files are told, and what can be read is killed.",
  args: {
    prefix: prefixArg,
    ...selectionArgs,
    json: jsonArg,
  },
  repeatable: ["only"],
  examples: [
    { command: "node-x kill ../platform/test/myconfig", shows: "Kill all servers" },
    { command: "node-x kill configs/local --only dht1", shows: "Kill one" },
  ],
  async run(call) {
    const { args, stdout } = call;
    const { cluster, selected, isWhole, place, operator } = await openCluster(
      "kill",
      args.prefix,
      args,
      call.all("only"),
      call,
      {
        acceptsMistakes: true,
      },
    );
    const killed: string[] = [];
    const failed: string[] = [];
    // Hosts one by one in their own connections: one that is down must not protect the others.
    await Promise.all(
      hostsOf(cluster, selected).map(async (host) => {
        const names = selected.filter((instance) => instance.host === host.name).map(({ name }) => name);
        try {
          await withAgents({ cluster, place }, [host], call, "any version will do", async (agents) => {
            const { operation, name: who } = operator;
            const question = { operation, operator: who, ...(!isWhole && { instances: names }) };
            const { result } = await (
              agents.get(host.name) as NonNullable<ReturnType<typeof agents.get>>
            ).call("kill", question);
            killed.push(...result.instances);
          });
        } catch (error) {
          failed.push(`${host.name}: ${(error as Error).message}`);
        }
      }),
    );
    killed.sort();
    await noteHere(place, cluster, operator, failed);
    if (args.json === true) printJson(stdout, { killed, failed });
    else stdout.write(`killed ${killed.join(" ") || "nothing: nothing of it ran"}\n`);
    if (failed.length > 0 && args.json !== true)
      throw new NxError("NX_HOST_UNREACHABLE", failed.join("\n"), { hint: "the other hosts were told" });
    return failed.length > 0 ? Exit.unavailable : Exit.ok;
  },
});

/** Hosts wrote it down themselves. A disk that is full here must not make a kill fail that has happened. */
async function noteHere(
  place: OperatorPlace,
  cluster: Cluster,
  { operation, name, why }: Operator,
  failed: readonly string[],
): Promise<void> {
  const { ownAudit } = await import("../../cluster/operator/place.ts");
  const result = failed.join("; ").slice(0, 4000) || "ok";
  await ownAudit(place, cluster)
    .append({ operation, operator: name, action: why.slice(0, 200), result })
    .catch(() => undefined);
}
