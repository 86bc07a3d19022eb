/**
 * What the dht node says of itself: the line of figures in stats.log, the live console line, the metrics.
 *
 * Names and layout are those of the originals (swarm.md 10.1, 10.3), so that their graphs keep working.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { Metrics } from "../../core/metrics.ts";
import { readProcessFigures } from "../../core/metrics.ts";
import { foremost } from "../foremost.ts";
import { type Actions, RequestLines, type RequestSource } from "../request-figures.ts";
import type { DumpFigures } from "./dump.ts";

export interface ChannelFigures {
  name: string;
  records: number;
  bytes: number;
}

/** Totals since the start, and what is current. */
export interface DhtFigures {
  bytesSent: number;
  bytesReceived: number;
  recordsHandled: number;
  connections: number;
  neoConnections: number;
  connectionsMax: number;
  records: number;
  bytes: number;
  channels: ChannelFigures[];
}

/** With two digits behind the point. */
export const percent = (part: number, whole: number) => Math.round((part / whole) * 10_000) / 100;

/** Turns totals into the figures of a period: each call reports what came since the one before. */
export class StatsLine {
  readonly #requests: RequestLines;
  #sent = 0;
  #received = 0;
  #handled = 0;

  constructor(requests: readonly RequestSource[] = [], actions?: Actions) {
    this.#requests = new RequestLines(requests, actions);
  }

  next(figures: DhtFigures): string {
    const pairs: [string, number][] = [
      ["bytes_sent", figures.bytesSent - this.#sent],
      ["bytes_received", figures.bytesReceived - this.#received],
      ["handling_connections", figures.connections],
      ["handling_connections_pcnt", percent(figures.connections, figures.connectionsMax)],
      ["handling_neo_connections", figures.neoConnections],
      ["handling_neo_connections_pcnt", percent(figures.neoConnections, figures.connectionsMax)],
      ["records_handled", figures.recordsHandled - this.#handled],
      ["total_bytes", figures.bytes],
      ["total_records", figures.records],
    ];
    const channels = foremost(figures.channels, ({ bytes }) => bytes);
    for (const channel of channels)
      pairs.push([`${channel.name}_bytes`, channel.bytes], [`${channel.name}_records`, channel.records]);
    // The later generation of the originals names them so; a graph of either finds its figures.
    for (const channel of channels)
      pairs.push(
        [`channel/${channel.name}/bytes`, channel.bytes],
        [`channel/${channel.name}/records`, channel.records],
      );
    pairs.push(...this.#requests.next());
    this.#sent = figures.bytesSent;
    this.#received = figures.bytesReceived;
    this.#handled = figures.recordsHandled;
    return pairs.map(([name, value]) => `${name}:${value}`).join(" ");
  }
}

/** Records per second as a sliding average over the last five seconds. */
export class SlidingRate {
  readonly #clock: Clock;
  readonly #windowMs = 5000;
  #samples: { atMs: number; total: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  perSecond(total: number): number {
    const atMs = this.#clock.monotonicMs();
    this.#samples.push({ atMs, total });
    while (this.#samples.length > 2 && (this.#samples[1] as { atMs: number }).atMs <= atMs - this.#windowMs)
      this.#samples.shift();
    const first = this.#samples[0] as { atMs: number; total: number };
    return atMs === first.atMs ? 0 : ((total - first.total) * 1000) / (atMs - first.atMs);
  }
}

/** `1Gb 23Mb 456Kb 12b`: binary groups, largest first. */
export function binaryGroups(bytes: number): string {
  const units = ["Tb", "Gb", "Mb", "Kb", "b"];
  const parts: string[] = [];
  for (const [index, unit] of units.entries()) {
    const size = 1024 ** (units.length - 1 - index);
    const count = Math.floor(bytes / size);
    bytes -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.length === 0 ? "0b" : parts.join(" ");
}

export const thousands = (value: number) => Math.round(value).toLocaleString("en-US");

export interface ConsoleFacts {
  /** What the store is made of. */
  storage: "Memory" | "LogFiles";
  hashRange: { min: string; max: string };
  memoryBytesMax: number;
  memoryBytes: number;
  connections: number;
  recordsPerSecond: number;
  records: number;
  bytes: number;
  suffix: string;
}

/** `  Memory dht 0x…..0x… (Used 12.50Mb/Free 3.25Mb): 14 conns, 812.40 rec/s, 99,357 recs (14Mb 231Kb 96b)` */
export function consoleLine(facts: ConsoleFacts): string {
  const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)}Mb`;
  const free =
    facts.memoryBytesMax === 0
      ? "no limit"
      : megabytes(Math.max(0, facts.memoryBytesMax - facts.memoryBytes));
  const range = `0x${facts.hashRange.min.toUpperCase()}..0x${facts.hashRange.max.toUpperCase()}`;
  const load = `${facts.connections} conns, ${facts.recordsPerSecond.toFixed(2)} rec/s, ${thousands(facts.records)} recs (${binaryGroups(facts.bytes)})`;
  return `  ${facts.storage} dht ${range} (Used ${megabytes(facts.memoryBytes)}/Free ${free}): ${load}${facts.suffix}`;
}

/** `1d2h15m23s`, `42m7s`, `0s`. */
export function shortDuration(seconds: number): string {
  let rest = Math.floor(seconds);
  const parts: string[] = [];
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ] as const) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.length === 0 ? "0s" : parts.join("");
}

/** What the console line ends with: what goes on, or when the next dump starts. */
export function consoleSuffix(figures: {
  log?: { isCompacting: boolean } | undefined;
  dump?: DumpFigures | undefined;
}) {
  if (figures.log?.isCompacting === true) return " (compacting)";
  if (figures.dump === undefined) return "";
  if (figures.dump.isDumping) return " (dumping channels)";
  const { nextDumpSeconds } = figures.dump;
  return nextDumpSeconds === undefined
    ? " (no dump thread)"
    : ` (${shortDuration(nextDumpSeconds)} until channel dump)`;
}

/** `cpu_user cpu_system` and memory of this process, for INFO. */
export function processFields() {
  const figures = readProcessFigures();
  return {
    rss: figures.rssBytes,
    cpuUser: figures.cpuUserSeconds,
    cpuSystem: figures.cpuSystemSeconds,
  };
}

/** What the metrics read at a scrape. */
export interface MetricSources {
  figures(): DhtFigures;
  memoryBytes(): number;
  expired(): number;
  logBytes(): number;
  dump(): DumpFigures | undefined;
  unsyncedBytes(): number;
  refusedConnections(): number;
  isRefusingWrites(): boolean;
  commands(): { total: number; errors: number; hits: number; misses: number };
}

export function addMetrics(metrics: Metrics, sources: MetricSources): void {
  const { figures, commands } = sources;
  metrics.gauge("node_x_dht_records", "Records in all channels.", () => figures().records);
  metrics.gauge("node_x_dht_value_bytes", "Payload of all records.", () => figures().bytes);
  metrics.gauge("node_x_dht_memory_bytes", "Memory of all records and their tables.", sources.memoryBytes);
  metrics.gauge("node_x_dht_connections", "Open client connections.", () => figures().connections);
  metrics.gauge("node_x_dht_log_bytes", "Log behind the newest snapshot.", sources.logBytes);
  metrics.gauge(
    "node_x_dht_unsynced_bytes",
    "Effects that wait for the disk; their replies are held.",
    sources.unsyncedBytes,
  );
  metrics.gauge("node_x_dht_writes_refused", "1 while the disk is full.", () =>
    sources.isRefusingWrites() ? 1 : 0,
  );
  const { dump } = sources;
  metrics.gauge(
    "node_x_dht_last_dump_timestamp_seconds",
    "When the last complete dump ended; 0 before the first.",
    () => (dump()?.lastDumpAtMs ?? 0) / 1000,
  );
  metrics.gauge(
    "node_x_dht_last_dump_duration_seconds",
    "How long the last dump took.",
    () => (dump()?.lastDurationMs ?? 0) / 1000,
  );
  metrics.counterFrom(
    "node_x_dht_dumps_total",
    "Dumps that ended without an error.",
    () => dump()?.dumps ?? 0,
  );
  metrics.counterFrom(
    "node_x_dht_dump_failures_total",
    "Dumps in which a channel failed; its old dump stays.",
    () => dump()?.failures ?? 0,
  );
  metrics.counterFrom("node_x_dht_commands_total", "Commands executed.", () => commands().total);
  metrics.counterFrom(
    "node_x_dht_command_errors_total",
    "Commands answered with an error.",
    () => commands().errors,
  );
  metrics.counterFrom(
    "node_x_dht_keyspace_hits_total",
    "Reads that found their record.",
    () => commands().hits,
  );
  metrics.counterFrom(
    "node_x_dht_keyspace_misses_total",
    "Reads that found nothing.",
    () => commands().misses,
  );
  metrics.counterFrom(
    "node_x_dht_expired_total",
    "Records removed because their time had come.",
    sources.expired,
  );
  metrics.counterFrom(
    "node_x_dht_refused_connections_total",
    "Connections over the limit.",
    sources.refusedConnections,
  );
  metrics.counterFrom(
    "node_x_dht_bytes_received_total",
    "Bytes from clients.",
    () => figures().bytesReceived,
  );
  metrics.counterFrom("node_x_dht_bytes_sent_total", "Bytes to clients.", () => figures().bytesSent);
}
