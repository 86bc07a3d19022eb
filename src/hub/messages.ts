/** What the hub tells its page. Plain data: it crosses the network as JSON. */
import type { History, InstanceSnapshot } from "../core/watch/snapshot.ts";

/** The pages beside the overview, each for roles that belong together. */
export const families = ["channels", "store", "backup", "presence", "stream"] as const;
export type Family = (typeof families)[number];

export const familyOfRole: Readonly<Record<string, Family>> = {
  ...{ dht: "channels", queue: "channels", logfiles: "channels", dhtdump: "channels" },
  ...{ tss: "store", shard: "store", frontend: "store", store: "store" },
  ...{ storage: "backup", proxy: "backup", archive: "backup" },
  ...{ regserver: "presence", lookup: "presence" },
  ...{ worker: "stream", sender: "stream", replica: "stream" },
};

/** An instance and what its role says of itself. */
export interface Detail {
  instance: string;
  role: string;
  /** As its `/stats` has it; long lists are cut. */
  own: Record<string, unknown>;
}

/** What somebody on call should look at. */
export interface Concern {
  severity: "bad" | "warn";
  /** The instance or group it is about. */
  subject: string;
  text: string;
  /** The instance to open, if it is about one. */
  instance?: string;
}

export interface Happening {
  atMs: number;
  instance: string;
  kind: "silent" | "answers" | "restarted" | "ready" | "not ready" | "version" | "action";
  text: string;
}

export interface ShownInstance extends InstanceSnapshot {
  /** Starts that the hub saw in the last day. */
  restarts: number;
  /** Its version differs from the others'. */
  isOdd: boolean;
  /** How far it is behind what it follows, where that is too far: `1,204 entries behind`. */
  lag: string | undefined;
}

export interface HubFacts {
  name: string;
  prefix: string | undefined;
  version: string;
  scrapePeriodMs: number;
  allowsActions: boolean;
  /** Stream applications told something in the last five minutes. */
  streamCount: number;
  /** Its clock when it wrote this. */
  nowMs: number;
}

/** Sent when a page connects. */
export interface FullMessage extends TickMessage {
  histories: Record<string, History>;
}

/** Sent after each round. */
export interface TickMessage {
  hub: HubFacts;
  instances: ShownInstance[];
  concerns: Concern[];
  /** Of the family that the page asked for. */
  details?: Detail[];
  stream?: StreamApplication[];
}

/** A figure over time. `max` is the largest value within each step. */
export interface Line {
  atMs: number[];
  mean: (number | null)[];
  max: (number | null)[];
}

export interface HistoryAnswer {
  fromMs: number;
  toMs: number;
  lines: { instance: string; figure: string; line: Line }[];
}

/** Messages per second over the last five minutes. */
export interface Throughput {
  min: number;
  median: number;
  max: number;
}

/** Latency and throughput of one thing over the last five minutes. */
export interface StreamRow {
  name: string;
  /** For a part of rows: their names, to find it by. */
  of?: string[];
  /** Upper limits of the bins in which 50, 95, 99, 99.9 and 99.99 % end, in nanoseconds; null without samples. */
  percentilesNs: (number | null)[];
  /** Percent of messages in each of the groups of latencyGroups. */
  groups: number[];
  throughput: Throughput;
  /** Of a pipeline: what it took in. */
  incoming?: Throughput;
  /** Messages in each second, oldest first, up to `untilMs`. */
  history: number[];
  untilMs: number;
}

export interface StreamApplication {
  name: string;
  workers: string[];
  tables: {
    pipelines: StreamRow[];
    workers: StreamRow[];
    computations: StreamRow[];
    sources: StreamRow[];
    sinks: StreamRow[];
    /** Of the rows above, by worker and by pipeline. */
    parts: StreamRow[];
  };
}

/** Where the history has what a pipeline did. */
export const streamInstance = (application: string) => `stream ${application}`;
/** Names of figures have no slash. */
export const streamFigure = (pipeline: string) => encodeURIComponent(pipeline);
