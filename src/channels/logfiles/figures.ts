/** The metrics of a logfiles node. */
import type { Metrics } from "../../core/metrics.ts";

/** What the metrics read at a scrape. */
export interface MetricSources {
  store(): {
    records: number;
    valueBytes: number;
    memoryBytes: number;
    written: number;
    channels: number;
    fileBytes: number;
    files: number;
    scans: number;
    seals: number;
    expiredRecords: number;
    log?: { logBytes: number } | undefined;
  };
  port(): { connections: number; refused: number; bytesReceived: number; bytesSent: number };
  requests(): { requestsTotal: number; errorsTotal: number };
  unsyncedBytes(): number;
  isRefusingWrites(): boolean;
}

export function addMetrics(metrics: Metrics, { store, port, requests, ...sources }: MetricSources): void {
  const gauges: [string, string, () => number][] = [
    ["records", "Records in all channels.", () => store().records],
    ["value_bytes", "Payload of all records.", () => store().valueBytes],
    ["channels", "Channels.", () => store().channels],
    ["memory_bytes", "Memory of records that are in no file yet.", () => store().memoryBytes],
    ["file_bytes", "Bytes of all files with records.", () => store().fileBytes],
    ["files", "Files with records.", () => store().files],
    ["log_bytes", "Log behind its newest snapshot.", () => store().log?.logBytes ?? 0],
    ["unsynced_bytes", "Records that wait for the disk; their replies are held.", sources.unsyncedBytes],
    ["scans", "Requests for records under way.", () => store().scans],
    ["connections", "Open connections of swarm clients.", () => port().connections],
    ["writes_refused", "1 while the disk is full.", () => (sources.isRefusingWrites() ? 1 : 0)],
  ];
  const counters: [string, string, () => number][] = [
    ["written_total", "Records written.", () => store().written],
    ["expired_total", "Records removed because they were too old or too many.", () => store().expiredRecords],
    ["seals_total", "Times that records were moved from memory into files.", () => store().seals],
    ["requests_total", "Requests of swarm clients.", () => requests().requestsTotal],
    ["request_errors_total", "Requests answered with another status than 200.", () => requests().errorsTotal],
    ["refused_connections_total", "Connections over the limit.", () => port().refused],
    ["bytes_received_total", "Bytes from swarm clients.", () => port().bytesReceived],
    ["bytes_sent_total", "Bytes to swarm clients.", () => port().bytesSent],
  ];
  for (const [name, help, read] of gauges) metrics.gauge(`node_x_logfiles_${name}`, help, read);
  for (const [name, help, read] of counters) metrics.counterFrom(`node_x_logfiles_${name}`, help, read);
}
