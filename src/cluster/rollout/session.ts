/**
 * A command's conversation with all hosts of a cluster: connected, locked, kept alive, written down.
 *
 * Invariant: a host is changed only while every host's lock is held with one generation, which is above all
 * that any of them has seen. Hosts are locked in the order of their names, so of two operators one gets all
 * locks and the other none. When a lock is lost or a host falls silent, `lost` is aborted and nothing more
 * begins.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { Inventory } from "../agent/messages.ts";
import type { AuditLog } from "../audit/chain.ts";
import type { Fence } from "../release/upload.ts";

/** How long a lock lasts without a renewal. */
export const LOCK_TTL_MS = 60_000;
const RENEW_MS = 5000;

export interface Operator {
  /** `user@machine`. */
  name: string;
  /** The command line, for those who meet the lock. */
  why: string;
  /** Unique: the same in all audit entries of this command. */
  operation: string;
}

export interface ClusterSession {
  agents: ReadonlyMap<string, AgentClient>;
  close(): void;
}

/**
 * Connects to all hosts at once. Throws the first failure, with how many others failed, and keeps no
 * connection then.
 */
export async function connectAll<Host extends { name: string }>(
  hosts: readonly Host[],
  connect: (host: Host) => Promise<AgentClient>,
): Promise<ClusterSession> {
  const outcomes = await Promise.allSettled(hosts.map(connect));
  const clients = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const close = () => clients.forEach((client) => client.close());
  const failures = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason as Error] : [],
  );
  if (failures.length > 0) {
    close();
    throw together(failures);
  }
  return { agents: new Map(clients.map((client) => [client.host, client])), close };
}

/** One error for several: the first one's code and hint, everybody's words. */
function together(failures: readonly Error[]): Error {
  const [first] = failures;
  if (failures.length === 1 || !(first instanceof NxError)) return first as Error;
  return new NxError(first.code, failures.map(({ message }) => message).join("\n"), {
    ...(first.hint !== undefined && { hint: first.hint }),
    cause: first,
  });
}

export async function inventories(agents: ReadonlyMap<string, AgentClient>): Promise<Map<string, Inventory>> {
  const entries = [...agents].map(
    async ([host, agent]) => [host, (await agent.call("inventory", {})).result] as const,
  );
  return new Map(await Promise.all(entries));
}

export interface HeldLock {
  fence: Fence;
  /** Aborted with the reason when the lock is lost. */
  lost: AbortSignal;
  /** Stops the renewals and gives the locks back, where hosts still answer. */
  release(): Promise<void>;
}

export interface LockOptions {
  clock: Clock;
  operator: Operator;
  isForced?: boolean;
  ttlMs?: number;
}

/** Takes the locks of all hosts. Throws NX_LOCK_HELD with the holder; then none is kept. */
export async function lockAll(
  agents: ReadonlyMap<string, AgentClient>,
  options: LockOptions,
): Promise<HeldLock> {
  const { clock, operator, isForced = false, ttlMs = LOCK_TTL_MS } = options;
  const ordered = [...agents.values()].sort((a, b) => (a.host < b.host ? -1 : 1));
  const known = await Promise.all(ordered.map((agent) => agent.call("inventory", {})));
  const generation = 1 + Math.max(0, ...known.map(({ result }) => result.lock.generation));
  const claim = { generation, owner: operator.name, why: operator.why, ttlMs, isForced };
  const held: AgentClient[] = [];
  const giveBack = () =>
    Promise.allSettled(
      held.filter(({ isOpen }) => isOpen).map((agent) => agent.call("lock-release", { generation })),
    );
  try {
    for (const agent of ordered) {
      await agent.call("lock-acquire", claim);
      held.push(agent);
    }
  } catch (error) {
    await giveBack();
    throw error;
  }
  const lost = new AbortController();
  const renewal = keepAlive(ordered, { clock, generation, ttlMs, lost });
  return {
    fence: { generation, operation: operator.operation, operator: operator.name },
    lost: lost.signal,
    async release() {
      renewal.cancel();
      await giveBack();
    },
  };
}

interface KeepAlive {
  clock: Clock;
  generation: number;
  ttlMs: number;
  lost: AbortController;
}

/** Renews locks and guards of all hosts; one that does not take it ends the whole. */
function keepAlive(agents: readonly AgentClient[], { clock, generation, ttlMs, lost }: KeepAlive): Timer {
  return clock.every(RENEW_MS, () => {
    for (const agent of agents) {
      Promise.all([
        agent.call("lock-renew", { generation, ttlMs }),
        agent.call("guard-renew", { generation }),
      ]).catch((error: unknown) => lost.abort(error));
    }
  });
}

/**
 * Ends a command in the audit logs of both ends: each host's log gets the operator's head, the operator's log
 * gets the heads of all hosts, so that neither can be cut short unnoticed.
 */
export async function witnessEachOther(
  agents: ReadonlyMap<string, AgentClient>,
  own: AuditLog,
  { name, operation, why }: Operator,
  result: string,
): Promise<void> {
  const common = { operation, operator: name, result: result.slice(0, 4000) };
  const witnesses: Record<string, string> = {};
  const ownHead = await own.head();
  for (const [host, agent] of agents) {
    if (!agent.isOpen) continue;
    const action = { ...common, action: `end: ${why}`.slice(0, 200), witnesses: { [name]: ownHead.hash } };
    const answer = await agent.call("audit-append", { action }).catch(() => undefined);
    if (answer !== undefined) witnesses[host] = answer.result.hash;
  }
  await own.append({ ...common, action: why.slice(0, 200), witnesses });
}
