/** The cluster's lock as a thing of its own: taken to be kept, given back by hand. */
import type { AgentClient } from "../agent/client.ts";
import { inventories } from "../rollout/session.ts";

export interface LockWish {
  owner: string;
  why: string;
  ttlMs: number;
}

type Agents = ReadonlyMap<string, AgentClient>;

/** On all hosts, in the order of their names, or on none. Throws NX_LOCK_HELD. */
export async function takeLocks(agents: Agents, wish: LockWish): Promise<void> {
  const known = await inventories(agents);
  const generation = 1 + Math.max(0, ...[...known.values()].map(({ lock }) => lock.generation));
  const held: AgentClient[] = [];
  try {
    for (const agent of [...agents.values()].sort((a, b) => (a.host < b.host ? -1 : 1))) {
      await agent.call("lock-acquire", { ...wish, generation, isForced: false });
      held.push(agent);
    }
  } catch (error) {
    await Promise.allSettled(held.map((agent) => agent.call("lock-release", { generation })));
    throw error;
  }
}

export interface HeldBy {
  host: string;
  holder: string;
  why: string;
}

/** Gives back what `owner` holds and what has expired; what others hold only when forced. */
export async function giveLocksBack(
  agents: Agents,
  { owner, isForced }: { owner: string; isForced: boolean },
): Promise<{ given: HeldBy[]; foreign: HeldBy[] }> {
  const given: HeldBy[] = [];
  const foreign: HeldBy[] = [];
  for (const [host, { lock }] of await inventories(agents)) {
    const { holder, generation, isExpired } = lock;
    if (holder === undefined) continue;
    const held = { host, holder: holder.owner, why: holder.why };
    if (holder.owner !== owner && !isExpired && !isForced) {
      foreign.push(held);
      continue;
    }
    await agents.get(host)?.call("lock-release", { generation });
    given.push(held);
  }
  return { given, foreign };
}
