/**
 * How carefully each instance is replaced: what `prefix.cluster.json` says of the cluster, then of the host, then of the
 * role; the later wins, key by key.
 *
 * A replicated group never has more members down than its quorum can spare, whatever the file says: a group of three can
 * spare one, a group of two none; its members are then replaced one at a time all the same, because standing still is no
 * rollout, and the plan says so.
 */
import type { ClusterFile, RolloutKeys } from "./cluster-file.ts";
import type { Instance, RolloutPolicy } from "./types.ts";

const DEFAULT_SHARE = "25%";
const defaults = { healthyForMs: 1000, readyTimeoutMs: 60_000, shutdownTimeoutMs: 30_000 };
/** Killed only after its own deadline has had its chance. */
const STOP_SLACK_MS = 5000;

export interface Replaceable extends Pick<Instance, "role" | "host" | "group"> {
  /** From its configuration. */
  shutdownTimeoutMs?: number;
}

/** The policy of each of these instances, in their order; shares are counted over them. */
export function rolloutOf(file: ClusterFile, instances: readonly Replaceable[]): RolloutPolicy[] {
  const counts = new Map<string, number>();
  for (const { role } of instances) counts.set(role, (counts.get(role) ?? 0) + 1);
  return instances.map(({ role, host, group, shutdownTimeoutMs = defaults.shutdownTimeoutMs }) => {
    const hostRollout = Object.hasOwn(file.hosts, host) ? file.hosts[host]?.rollout : undefined;
    const roleRollout = Object.hasOwn(file.roles, role) ? file.roles[role]?.rollout : undefined;
    const keys: RolloutKeys = { ...file.rollout, ...hostRollout, ...roleRollout };
    const asked = instancesOf(keys.unavailableMax ?? DEFAULT_SHARE, counts.get(role) ?? 1);
    const spare = group === undefined ? asked : Math.max(1, group.size - group.quorum);
    return {
      unavailableMax: Math.min(asked, spare),
      healthyForMs: keys.healthyForMs ?? defaults.healthyForMs,
      readyTimeoutMs: keys.readyTimeoutMs ?? defaults.readyTimeoutMs,
      stopTimeoutMs: keys.stopTimeoutMs ?? shutdownTimeoutMs + STOP_SLACK_MS,
    };
  });
}

/** `"25%"` of ten is three: rounded up, and at least one. */
function instancesOf(value: number | string, count: number): number {
  if (typeof value === "number") return value;
  return Math.max(1, Math.ceil((count * Number(value.slice(0, -1))) / 100));
}
