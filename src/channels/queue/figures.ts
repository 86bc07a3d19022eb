/**
 * What the queue node says of itself: the line of figures in stats.log, the live console line, the metrics.
 *
 * Names and layout are those of the originals (swarm.md 10.1, 10.3), so that their graphs keep working. A channel's bytes
 * and records in stats.log are the largest of the period.
 */
import type { Metrics } from "../../core/metrics.ts";
import type { QueueChannel, QueueFigures } from "../../native/queues.ts";
import { binaryGroups, percent, thousands } from "../dht/figures.ts";
import { foremost } from "../foremost.ts";
import { RequestLines, type RequestSource } from "../request-figures.ts";

export interface NodeFigures extends QueueFigures {
  bytesSent: number;
  bytesReceived: number;
  requests: number;
  connections: number;
  neoConnections: number;
  connectionsMax: number;
}

const counters = [
  "bytesSent",
  "bytesReceived",
  "requests",
  "pushed",
  "pushedBytes",
  "popped",
  "poppedBytes",
] as const;
type Counters = Record<(typeof counters)[number], number>;

/** Turns totals into the figures of a period: each call reports what came since the one before. */
export class StatsLine {
  readonly #requests: RequestLines;
  #before: Partial<Counters> = {};

  constructor(requests: readonly RequestSource[] = []) {
    this.#requests = new RequestLines(requests, {});
  }

  next(figures: NodeFigures, all: readonly QueueChannel[]): string {
    const channels = foremost(all, ({ usedBytesMax }) => usedBytesMax);
    const since = (name: keyof Counters) => figures[name] - (this.#before[name] ?? 0);
    const pairs: [string, number][] = [
      ["bytes_sent", since("bytesSent")],
      ["bytes_received", since("bytesReceived")],
      ["handling_connections", figures.connections],
      ["handling_connections_pcnt", percent(figures.connections, figures.connectionsMax)],
      ["handling_neo_connections", figures.neoConnections],
      ["handling_neo_connections_pcnt", percent(figures.neoConnections, figures.connectionsMax)],
      ["records_handled", since("requests")],
      ["total_bytes", figures.usedBytes],
      ["total_records", figures.records + figures.entries],
    ];
    for (const { name, usedBytesMax, recordsMax } of channels)
      pairs.push([`${name}_bytes`, usedBytesMax], [`${name}_records`, recordsMax]);
    for (const { name, usedBytes, usedBytesMax, records, recordsMax, ...rest } of channels)
      pairs.push(
        [`channel/${name}/bytes`, usedBytesMax],
        [`channel/${name}/records`, recordsMax],
        [`channel/${name}/bytes_memory`, usedBytes - rest.overflowBytes],
        [`channel/${name}/bytes_overflow`, rest.overflowBytes],
        [`channel/${name}/records_memory`, records - rest.overflowRecords],
        [`channel/${name}/records_overflow`, rest.overflowRecords],
        [`channel/${name}/percent_memory`, percent(usedBytes - rest.overflowBytes, rest.ringBytes)],
      );
    pairs.push(...this.#requests.next());
    for (const kind of ["pushed", "popped"] as const)
      pairs.push([`action/${kind}/records`, since(kind)], [`action/${kind}/bytes`, since(`${kind}Bytes`)]);
    this.#before = Object.fromEntries(counters.map((name) => [name, figures[name]]));
    // A name may hold what would end the pair.
    return pairs.map(([name, value]) => `${name.replace(/[\s:]/g, "_")}:${value}`).join(" ");
  }
}

/** At most so many channels are named on the console line. */
const SHOWN_CHANNELS_MAX = 8;

/** `  Ring queue (Used 12.50Mb): 14 conns, 812.40 rec/s, 99,357 recs (14Mb 231Kb 96b) [orders 12%, clicks 3%]` */
export function consoleLine(
  figures: NodeFigures,
  channels: readonly QueueChannel[],
  recordsPerSecond: number,
): string {
  const fullness = [...channels]
    .sort((left, right) => right.usedBytes / right.capacityBytes - left.usedBytes / left.capacityBytes)
    .slice(0, SHOWN_CHANNELS_MAX)
    .map(({ name, usedBytes, capacityBytes }) => `${name} ${Math.round(percent(usedBytes, capacityBytes))}%`);
  const more = channels.length > SHOWN_CHANNELS_MAX ? ", …" : "";
  const used = `${(figures.memoryBytes / 2 ** 20).toFixed(2)}Mb`;
  const records = figures.records + figures.entries;
  const load = `${figures.connections} conns, ${recordsPerSecond.toFixed(2)} rec/s, ${thousands(records)} recs (${binaryGroups(figures.usedBytes)})`;
  return `  Ring queue (Used ${used}): ${load}${fullness.length === 0 ? "" : ` [${fullness.join(", ")}${more}]`}`;
}

/** What the metrics read at a scrape. */
export interface MetricSources {
  figures(): NodeFigures;
  channels(): QueueChannel[];
  logBytes(): number;
  unsyncedBytes(): number;
  refusedConnections(): number;
  isRefusingWrites(): boolean;
  errors(): number;
}

export function addMetrics(metrics: Metrics, sources: MetricSources): void {
  const { figures } = sources;
  metrics.gauge("node_x_queue_channels", "Channels.", () => figures().channels);
  metrics.gauge("node_x_queue_records", "Records in all lists.", () => figures().records);
  metrics.gauge("node_x_queue_entries", "Entries in all streams.", () => figures().entries);
  metrics.gauge("node_x_queue_used_bytes", "Bytes that rings use.", () => figures().usedBytes);
  metrics.gauge("node_x_queue_memory_bytes", "Memory behind all channels.", () => figures().memoryBytes);
  metrics.gauge("node_x_queue_fullness_ratio", "How full the fullest channel is, from 0 to 1.", () =>
    sources
      .channels()
      .reduce((fullest, { usedBytes, capacityBytes }) => Math.max(fullest, usedBytes / capacityBytes), 0),
  );
  metrics.gauge("node_x_queue_connections", "Open client connections.", () => figures().connections);
  metrics.gauge("node_x_queue_log_bytes", "Log behind the newest snapshot.", sources.logBytes);
  metrics.gauge(
    "node_x_queue_unsynced_bytes",
    "Effects that wait for the disk; their replies are held.",
    sources.unsyncedBytes,
  );
  metrics.gauge("node_x_queue_writes_refused", "1 while the disk is full.", () =>
    sources.isRefusingWrites() ? 1 : 0,
  );
  metrics.counterFrom("node_x_queue_pushed_total", "Records and entries stored.", () => figures().pushed);
  metrics.counterFrom("node_x_queue_popped_total", "Records and entries taken away.", () => figures().popped);
  metrics.counterFrom("node_x_queue_refused_total", "Pushes that found no room.", () => figures().refused);
  metrics.counterFrom(
    "node_x_queue_dropped_total",
    "Oldest records that went because their channel was full.",
    () => figures().dropped,
  );
  metrics.counterFrom("node_x_queue_commands_total", "Requests executed.", () => figures().requests);
  metrics.counterFrom(
    "node_x_queue_command_errors_total",
    "Requests answered with an error.",
    sources.errors,
  );
  metrics.counterFrom(
    "node_x_queue_refused_connections_total",
    "Connections over the limit.",
    sources.refusedConnections,
  );
  metrics.counterFrom(
    "node_x_queue_bytes_received_total",
    "Bytes from clients.",
    () => figures().bytesReceived,
  );
  metrics.counterFrom("node_x_queue_bytes_sent_total", "Bytes to clients.", () => figures().bytesSent);
}
