/** What somebody who watches a cluster knows of each instance. Plain data: it crosses the network as JSON. */

export type Condition = "ready" | "not ready" | "unreachable";

/** One instance as of the latest answer. Figures are absent while nobody answers. */
export interface InstanceSnapshot {
  /** Unique and stable: the instance's name in its cluster, else its data directory or address. */
  target: string;
  condition: Condition;
  /** Why it is not ready. */
  reasons: string[];
  name: string;
  role: string | undefined;
  /** Where it runs, as the cluster's files name it. */
  host: string | undefined;
  /** Its replicated group, `shard0`, if it belongs to one. */
  group: string | undefined;
  state: string | undefined;
  version: string | undefined;
  commit: string | undefined;
  uptimeSeconds: number | undefined;
  ports: Record<string, number>;
  keyFigure: string;
  rssBytes: number | undefined;
  /** Percent of one core since the answer before. */
  cpuPercent: number | undefined;
  throughput: { perSecond: number; unit: string } | undefined;
}

/** The figure of the sparkline, one per answer, oldest first; null where there was none. */
export type History = (number | null)[];

/** Samples kept per instance: a minute and more at a period of one second. */
export const HISTORY_LENGTH = 90;

/** The figure that the sparkline shows: throughput where the role has one, else CPU. */
export function sparkFigure(snapshot: InstanceSnapshot): number | null {
  return snapshot.throughput?.perSecond ?? snapshot.cpuPercent ?? null;
}
