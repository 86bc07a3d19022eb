/**
 * The table of figures: what the hub keeps of every instance, draws, and tells Grafana to draw.
 *
 * Each figure has two places, which a test holds against instances that run: `read` finds it in `/stats`, `metric` is its name
 * in `/metrics`. The page, docs/grafana-dashboard.json and docs/monitoring.md are made from this one table.
 */
import type { Answer } from "../core/watch/answer.ts";

export type Unit = "count" | "bytes" | "seconds" | "percent" | "ratio";

export interface Figure {
  id: string;
  title: string;
  unit: Unit;
  /** A counter is drawn as its growth per second. */
  kind: "gauge" | "counter";
  /** Undefined: every role has it. */
  roles?: readonly string[];
  /** Undefined when the instance does not say. */
  read(answer: Answer): number | undefined;
  /** Undefined where it is only in `/stats`. */
  metric?: string;
}

/** The number at a dotted path of an object; true is 1. `list[].key` sums over a list. */
export function numberAt(value: unknown, path: string): number | undefined {
  let at: unknown = value;
  const parts = path.split(".");
  for (const [index, part] of parts.entries()) {
    if (part.endsWith("[]")) {
      const list = (at as Record<string, unknown> | undefined)?.[part.slice(0, -2)];
      if (!Array.isArray(list)) return undefined;
      const rest = parts.slice(index + 1).join(".");
      return list.reduce((sum: number, each) => sum + (numberAt(each, rest) ?? 0), 0);
    }
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  if (typeof at === "boolean") return at ? 1 : 0;
  return typeof at === "number" && Number.isFinite(at) ? at : undefined;
}

type Place = Pick<Figure, "read">;
const common = (path: string): Place => ({ read: (answer) => numberAt(answer, path) });
const own = (path: string): Place => ({ read: ({ own: stats }) => numberAt(stats, path) });

/** What is written to the log of an instance and not synced yet. */
const unsynced = (log: string): Place => ({
  read: ({ own: stats }) => {
    const position = numberAt(stats, `${log}.position`);
    const durable = numberAt(stats, `${log}.durablePosition`);
    return position === undefined || durable === undefined ? undefined : position - durable;
  },
});

/** The fullest channel of a queue node, 0 to 1. */
const fullness: Place = {
  read: ({ own: { channels } }) => {
    if (!Array.isArray(channels)) return undefined;
    return channels.reduce((most: number, channel) => {
      const used = numberAt(channel, "usedBytes") ?? 0;
      const capacity = numberAt(channel, "capacityBytes") ?? 0;
      return Math.max(most, capacity > 0 ? used / capacity : 0);
    }, 0);
  },
};

const counter = { kind: "counter", unit: "count" } as const;
const gauge = { kind: "gauge", unit: "count" } as const;
const bytes = { kind: "gauge", unit: "bytes" } as const;
const traffic = { kind: "counter", unit: "bytes" } as const;

const everyRole: Figure[] = [
  { id: "ready", title: "Ready", ...gauge, ...common("ready"), metric: "node_x_ready" },
  { id: "uptime", title: "Up for", kind: "gauge", unit: "seconds", ...common("uptimeSeconds"), metric: "node_x_uptime_seconds" },
  { id: "throughput", title: "Throughput", ...counter, ...common("throughput.total") },
  { id: "cpu.user", title: "CPU, own code", kind: "counter", unit: "percent", ...common("process.cpuUserSeconds"), metric: "process_cpu_user_seconds_total" },
  { id: "cpu.system", title: "CPU, kernel", kind: "counter", unit: "percent", ...common("process.cpuSystemSeconds"), metric: "process_cpu_system_seconds_total" },
  { id: "rss", title: "Memory", ...bytes, ...common("process.rssBytes"), metric: "process_resident_memory_bytes" },
  { id: "files", title: "Open files", ...gauge, ...common("process.openFiles"), metric: "process_open_fds" },
  { id: "lag", title: "Event loop late, p99", kind: "gauge", unit: "seconds", ...common("process.eventLoopLagSeconds"), metric: "node_x_event_loop_lag_p99_seconds" },
]; // prettier-ignore

const channels: Figure[] = [
  { id: "dht.records", roles: ["dht"], title: "Records", ...gauge, ...own("records"), metric: "node_x_dht_records" },
  { id: "dht.memory", roles: ["dht"], title: "Memory of records", ...bytes, ...own("memoryBytes"), metric: "node_x_dht_memory_bytes" },
  { id: "dht.commands", roles: ["dht"], title: "Commands", ...counter, ...own("commandsTotal"), metric: "node_x_dht_commands_total" },
  { id: "dht.errors", roles: ["dht"], title: "Commands refused", ...counter, ...own("errorsTotal"), metric: "node_x_dht_command_errors_total" },
  { id: "dht.hits", roles: ["dht"], title: "Keys found", ...counter, ...own("keyspaceHits"), metric: "node_x_dht_keyspace_hits_total" },
  { id: "dht.misses", roles: ["dht"], title: "Keys not found", ...counter, ...own("keyspaceMisses"), metric: "node_x_dht_keyspace_misses_total" },
  { id: "dht.received", roles: ["dht"], title: "Received", ...traffic, ...own("bytesReceived"), metric: "node_x_dht_bytes_received_total" },
  { id: "dht.sent", roles: ["dht"], title: "Sent", ...traffic, ...own("bytesSent"), metric: "node_x_dht_bytes_sent_total" },
  { id: "dht.log", roles: ["dht"], title: "Log on disk", ...bytes, ...own("log.logBytes"), metric: "node_x_dht_log_bytes" },
  { id: "dht.unsynced", roles: ["dht"], title: "Not synced yet", ...bytes, ...unsynced("log"), metric: "node_x_dht_unsynced_bytes" },
  { id: "queue.records", roles: ["queue"], title: "Records waiting", ...gauge, ...own("records"), metric: "node_x_queue_records" },
  { id: "queue.fullness", roles: ["queue"], title: "Fullest channel", kind: "gauge", unit: "ratio", ...fullness, metric: "node_x_queue_fullness_ratio" },
  { id: "queue.pushed", roles: ["queue"], title: "Pushed", ...counter, ...own("pushed"), metric: "node_x_queue_pushed_total" },
  { id: "queue.popped", roles: ["queue"], title: "Popped", ...counter, ...own("popped"), metric: "node_x_queue_popped_total" },
  { id: "queue.refused", roles: ["queue"], title: "Refused: channel full", ...counter, ...own("refused"), metric: "node_x_queue_refused_total" },
  { id: "queue.memory", roles: ["queue"], title: "Memory of channels", ...bytes, ...own("memoryBytes"), metric: "node_x_queue_memory_bytes" },
  { id: "logfiles.written", roles: ["logfiles"], title: "Records written", ...counter, ...own("written"), metric: "node_x_logfiles_written_total" },
  { id: "logfiles.records", roles: ["logfiles"], title: "Records kept", ...gauge, ...own("records"), metric: "node_x_logfiles_records" },
  { id: "logfiles.files", roles: ["logfiles"], title: "Files on disk", ...bytes, ...own("fileBytes"), metric: "node_x_logfiles_file_bytes" },
  { id: "logfiles.scans", roles: ["logfiles"], title: "Searches under way", ...gauge, ...own("scans"), metric: "node_x_logfiles_scans" },
  { id: "dhtdump.records", roles: ["dhtdump"], title: "Records dumped", ...counter, ...own("records"), metric: "node_x_dhtdump_records_total" },
]; // prettier-ignore

const store: Figure[] = [
  { id: "tss.timestamps", roles: ["tss"], title: "Timestamps", ...counter, ...own("last"), metric: "node_x_tss_last_timestamp" },
  { id: "tss.committed", roles: ["tss"], title: "Entries committed", ...counter, ...own("commit"), metric: "node_x_tss_committed_entries" },
  { id: "shard.commits", roles: ["shard", "store"], title: "Transactions committed", ...counter, ...own("shard.commits"), metric: "node_x_shard_commits_total" },
  { id: "shard.committed", roles: ["shard", "store"], title: "Entries committed", ...counter, ...own("commit"), metric: "node_x_shard_committed_entries" },
  { id: "shard.keys", roles: ["shard", "store"], title: "Keys", ...gauge, ...own("shard.keys"), metric: "node_x_shard_keys" },
  { id: "shard.versions", roles: ["shard", "store"], title: "Versions", ...gauge, ...own("shard.versions"), metric: "node_x_shard_versions" },
  { id: "shard.memory", roles: ["shard", "store"], title: "Memory of versions", ...bytes, ...own("shard.memoryBytes"), metric: "node_x_shard_memory_bytes" },
  { id: "shard.prepared", roles: ["shard", "store"], title: "Voted for, not decided", ...gauge, ...own("shard.prepared"), metric: "node_x_shard_prepared" },
  { id: "frontend.requests", roles: ["frontend", "store"], title: "Requests", ...counter, ...own("frontend.requests"), metric: "node_x_frontend_requests_total" },
  { id: "frontend.committed", roles: ["frontend", "store"], title: "Transactions committed", ...counter, ...own("frontend.committed"), metric: "node_x_frontend_commits_total" },
  { id: "frontend.watches", roles: ["frontend", "store"], title: "Subscriptions", ...gauge, ...own("watches.watches"), metric: "node_x_frontend_watches" },
  { id: "frontend.runs", roles: ["frontend", "store"], title: "Runs sent to subscribers", ...counter, ...own("watches.runs"), metric: "node_x_frontend_runs_total" },
  { id: "frontend.settled", roles: ["frontend", "store"], title: "Settled for frontends that died", ...counter, ...own("frontend.settled"), metric: "node_x_frontend_settled_total" },
]; // prettier-ignore

const backup: Figure[] = [
  { id: "storage.writes", roles: ["storage"], title: "Writes", ...counter, ...own("volumes[].writes"), metric: "node_x_storage_writes_total" },
  { id: "storage.written", roles: ["storage"], title: "Written", ...traffic, ...own("volumes[].writtenBytes"), metric: "node_x_storage_written_bytes_total" },
  { id: "storage.log", roles: ["storage"], title: "Log not shipped yet", ...bytes, ...own("volumes[].logUsedBytes"), metric: "node_x_storage_log_used_bytes" },
  { id: "storage.shipped", roles: ["storage"], title: "Shipped", ...traffic, ...own("volumes[].shippedBytes"), metric: "node_x_storage_shipped_bytes_total" },
  { id: "proxy.waiting", roles: ["proxy"], title: "Bytes waiting for archives", ...bytes, read: ({ own: stats }) => sumWaiting(stats, "bytes"), metric: "node_x_proxy_waiting_bytes" },
  { id: "proxy.diffs", roles: ["proxy"], title: "Diffs waiting", ...gauge, read: ({ own: stats }) => sumWaiting(stats, "diffs"), metric: "node_x_proxy_waiting_diffs" },
  { id: "archive.diffs", roles: ["archive"], title: "Diffs kept", ...gauge, ...own("volumes[].diffs"), metric: "node_x_archive_diffs" },
  { id: "archive.bytes", roles: ["archive"], title: "Bytes of diffs", ...bytes, ...own("volumes[].diffBytes"), metric: "node_x_archive_diff_bytes" },
  { id: "archive.bucketDiffs", roles: ["archive"], title: "Diffs not in the bucket", ...gauge, ...own("bucketMissingDiffs"), metric: "node_x_archive_bucket_missing_diffs" },
  { id: "archive.bucketLag", roles: ["archive"], title: "Bucket behind by", kind: "gauge", unit: "seconds", ...own("bucketLagSeconds"), metric: "node_x_archive_bucket_lag_seconds" },
]; // prettier-ignore

const presence: Figure[] = [
  { id: "presence.requests", roles: ["regserver", "lookup"], title: "Requests", ...counter, ...own("requests"), metric: "node_x_presence_requests_total" },
  { id: "presence.lookups", roles: ["regserver", "lookup"], title: "Lookups", ...counter, ...own("lookups"), metric: "node_x_presence_lookups_total" },
  { id: "presence.queries", roles: ["regserver", "lookup"], title: "Queries answered", ...counter, ...own("queries"), metric: "node_x_presence_queries_total" },
  { id: "presence.epoch", roles: ["regserver", "lookup"], title: "Epoch", ...gauge, ...own("epoch"), metric: "node_x_presence_epoch" },
  { id: "presence.waiting", roles: ["regserver", "lookup"], title: "Lookups waiting for a thread", ...gauge, ...own("scans.waiting"), metric: "node_x_presence_lookups_waiting" },
  { id: "presence.registrations", roles: ["regserver"], title: "Registrations", ...counter, ...own("registrations.registrations"), metric: "node_x_presence_registrations_total" },
]; // prettier-ignore

/** The age of what a cluster of workers can fall back to; the initializer knows it. */
const checkpointAge: Place = {
  read: ({ own: stats }) => {
    const ms = numberAt(stats, "cluster.checkpointAgeMs");
    return ms === undefined ? undefined : ms / 1000;
  },
};

const stream: Figure[] = [
  { id: "worker.in", roles: ["worker"], title: "Records in", ...counter, ...own("recordsIn"), metric: "node_x_worker_records_in_total" },
  { id: "worker.out", roles: ["worker"], title: "Records out", ...counter, ...own("recordsOut"), metric: "node_x_worker_records_out_total" },
  { id: "worker.checkpoint", roles: ["worker"], title: "Age of the checkpoint", kind: "gauge", unit: "seconds", ...checkpointAge, metric: "node_x_worker_checkpoint_age_seconds" },
  { id: "worker.state", roles: ["worker"], title: "State log", ...bytes, ...own("stateLog.logBytes"), metric: "node_x_worker_state_log_bytes" },
  { id: "sender.sent", roles: ["sender"], title: "Records sent", ...counter, ...own("sent"), metric: "node_x_sender_sent_total" },
  { id: "sender.settled", roles: ["sender"], title: "Records settled", ...counter, ...own("settled"), metric: "node_x_sender_settled_total" },
  { id: "replica.appended", roles: ["replica"], title: "Appended", ...traffic, ...own("appendedBytes"), metric: "node_x_replica_appended_bytes_total" },
]; // prettier-ignore

function sumWaiting(stats: Record<string, unknown>, key: "bytes" | "diffs"): number | undefined {
  const { volumes } = stats;
  if (!Array.isArray(volumes)) return undefined;
  return volumes.reduce((sum: number, volume) => sum + (numberAt(volume, `archives[].${key}`) ?? 0), 0);
}

export const figures: readonly Figure[] = [
  ...everyRole,
  ...channels,
  ...store,
  ...backup,
  ...presence,
  ...stream,
];

export function figuresOf(role: string | undefined): Figure[] {
  return figures.filter(({ roles }) => roles === undefined || (role !== undefined && roles.includes(role)));
}

/** What is drawn of a counter's growth: per second, but of CPU seconds the percent of one core. */
export function growthOf({ unit }: Figure, perSecond: number): number {
  return unit === "percent" ? 100 * perSecond : perSecond;
}
