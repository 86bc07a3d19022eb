/** What the hub tells its page about each instance. Plain data: it crosses the network as JSON. */

export type Condition = "ready" | "not ready" | "unreachable";

/** One instance as of the latest scrape. Figures are absent while nobody answers. */
export interface InstanceSnapshot {
  /** The data directory or address from the configuration; stable, so the page can use it as a key. */
  target: string;
  condition: Condition;
  /** Why it is not ready. */
  reasons: string[];
  name: string;
  role: string | undefined;
  state: string | undefined;
  version: string | undefined;
  uptimeSeconds: number | undefined;
  ports: Record<string, number>;
  keyFigure: string;
  rssBytes: number | undefined;
  /** Percent of one core since the scrape before. */
  cpuPercent: number | undefined;
  throughput: { perSecond: number; unit: string } | undefined;
}

/** The figure of the sparkline, one per scrape, oldest first; null where there was none. */
export type History = (number | null)[];

/** Samples kept per instance: a minute and more at the default scrape period. */
export const HISTORY_LENGTH = 90;

/** The figure that the sparkline shows: throughput where the role has one, else CPU. */
export function sparkFigure(snapshot: InstanceSnapshot): number | null {
  return snapshot.throughput?.perSecond ?? snapshot.cpuPercent ?? null;
}

/** Sent when a page connects. */
export interface FullMessage {
  hub: { name: string; version: string; scrapePeriodMs: number };
  instances: { snapshot: InstanceSnapshot; history: History }[];
}

/** Sent after each scrape. */
export interface TickMessage {
  instances: InstanceSnapshot[];
}
