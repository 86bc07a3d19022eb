/** Connections to hosts for verbs that look: one that cannot be reached is told, and keeps nobody from seeing the others. */
import type { AgentClient } from "../../cluster/agent/client.ts";
import type { Host } from "../../cluster/topology/types.ts";
import type { Surroundings } from "../verb.ts";
import { connectTo, type Agents, type ClusterContext } from "./context.ts";

export interface Reached {
  agents: Agents;
  /** By host: why it was not reached. */
  failures: ReadonlyMap<string, string>;
  close(): void;
}

export async function connectEach(
  { cluster, place }: Pick<ClusterContext, "cluster" | "place">,
  hosts: readonly Host[],
  surroundings: Surroundings,
): Promise<Reached> {
  const agents = new Map<string, AgentClient>();
  const failures = new Map<string, string>();
  await Promise.all(
    hosts.map(async (host) => {
      try {
        const session = await connectTo(cluster, place, [host], surroundings, "any version will do");
        for (const [name, agent] of session.agents) agents.set(name, agent);
      } catch (error) {
        failures.set(host.name, (error as Error).message);
      }
    }),
  );
  return { agents, failures, close: () => agents.forEach((agent) => agent.close()) };
}
