/**
 * The table of alerts: what wakes somebody, and what can wait until morning. docs/prometheus-alerts.yml is made from it.
 *
 * Expressions are about the metrics that the hub federates; the limits are those of the page (concerns.ts, lags.ts), so that the page and
 * the pager agree.
 */
import { limits } from "../concerns.ts";
import { lagLimits } from "../lags.ts";

export interface Alert {
  name: string;
  expression: string;
  /** It must hold so long. */
  forMinutes: number;
  /** `page`: somebody is woken. `ticket`: somebody looks in the morning. */
  severity: "page" | "ticket";
  summary: string;
  /** What to do, for whoever reads it at night. */
  action: string;
}

export const alerts: readonly Alert[] = [
  {
    name: "NodeXInstanceDown",
    expression: "node_x_up == 0",
    forMinutes: 1,
    severity: "page",
    summary: "{{ $labels.instance }} does not answer.",
    action:
      "`node-x status PREFIX` says how it ended; `node-x logs PREFIX --only NAME` shows its last words.",
  },
  {
    name: "NodeXMetricsOld",
    expression: `node_x_metrics_age_seconds > ${limits.metricsAgeSeconds} and node_x_up == 1`,
    forMinutes: 1,
    severity: "ticket",
    summary: "{{ $labels.instance }} answers, but has not told its metrics for minutes.",
    action: "The hub's log says why; until then graphs and alerts know nothing of this instance.",
  },
  {
    name: "NodeXNotReady",
    expression: "node_x_ready == 0",
    forMinutes: 2,
    severity: "page",
    summary: "{{ $labels.instance }} is not ready.",
    action: "The overview of the hub, and `node-x status PREFIX`, give its reasons.",
  },
  {
    name: "NodeXRestarting",
    expression: `resets(node_x_uptime_seconds[1d]) >= ${limits.restartsPerDay}`,
    forMinutes: 0,
    severity: "ticket",
    summary: "{{ $labels.instance }} was started several times in a day.",
    action: "Its last words are in log/ of its data directory.",
  },
  {
    name: "NodeXVersionSkew",
    expression: "count(count by (version, commit) (node_x_build_info)) > 1",
    forMinutes: 30,
    severity: "ticket",
    summary: "Several builds run side by side.",
    action: "`node-x status PREFIX` marks the odd ones; `node-x upgrade PREFIX` brings all to one.",
  },
  {
    name: "NodeXWritesRefused",
    expression: '{__name__=~"node_x_[a-z]+_writes_refused"} > 0',
    forMinutes: 0,
    severity: "page",
    summary: "{{ $labels.instance }} refuses writes.",
    action:
      "Its disk is nearly full, or failed: /readyz says which. It takes writes again once there is space.",
  },
  {
    name: "NodeXQueueFull",
    expression: `node_x_queue_fullness_ratio >= ${limits.queueFullness}`,
    forMinutes: 5,
    severity: "page",
    summary: "A channel of {{ $labels.instance }} is nearly full.",
    action: "Consumers are down or too slow: the page Channels shows which channel.",
  },
  {
    name: "NodeXNoPrimary",
    expression: 'sum by (group) ({__name__=~"node_x_(tss|shard)_is_primary"}) == 0',
    forMinutes: 1,
    severity: "page",
    summary: "No replica of {{ $labels.group }} is primary: nothing is committed.",
    action: "More than half of a group must be up and reach each other: the page Store shows who is.",
  },
  {
    name: "NodeXEventLoopLate",
    expression: `node_x_event_loop_lag_p99_seconds > ${limits.eventLoopLagSeconds}`,
    forMinutes: 5,
    severity: "ticket",
    summary: "The event loop of {{ $labels.instance }} runs late.",
    action: "The host is overloaded, or one client asks for too much at once.",
  },
  {
    name: "NodeXErrors",
    expression: 'increase(node_x_log_lines_total{level="error"}[10m]) > 0',
    forMinutes: 0,
    severity: "ticket",
    summary: "{{ $labels.instance }} logged errors.",
    action: "`node-x logs PREFIX --only NAME`.",
  },
  {
    name: "NodeXBackupStuck",
    expression:
      "min_over_time(node_x_storage_log_used_bytes[15m]) > 0 and rate(node_x_storage_shipped_bytes_total[15m]) == 0",
    forMinutes: 0,
    severity: "page",
    summary: "{{ $labels.instance }} has writes that are not shipped for a quarter of an hour.",
    action:
      "The page Backup shows where they wait: storage, proxy or archive. A full log becomes a hash backup.",
  },
  {
    name: "NodeXBackupOverflow",
    expression: "node_x_storage_log_overflows > 0 or node_x_storage_failed_volumes > 0",
    forMinutes: 0,
    severity: "page",
    summary: "A volume of {{ $labels.instance }} has lost its log, or its disk has failed.",
    action: "/readyz says which: after an overflow `node-x walb reset-vol`, then `hash-bkp`.",
  },
  {
    name: "NodeXProxyGaveUp",
    expression: "node_x_proxy_given_up > 0",
    forMinutes: 0,
    severity: "page",
    summary: "{{ $labels.instance }} has given up on sending to an archive.",
    action: "Repair the archive or the way to it, then `node-x walb kick`.",
  },
  {
    name: "NodeXBucketBehind",
    expression: `node_x_archive_bucket_lag_seconds > ${lagLimits.bucketSeconds}`,
    forMinutes: 5,
    severity: "ticket",
    summary: "The bucket of {{ $labels.instance }} lacks diffs that are a quarter of an hour old.",
    action: "`bucket.volumes[].error` of its /stats says what the store answers.",
  },
  {
    name: "NodeXCheckpointsStall",
    expression: `node_x_worker_checkpoint_age_seconds > ${lagLimits.checkpointSeconds}`,
    forMinutes: 1,
    severity: "page",
    summary:
      "The workers of {{ $labels.instance }} complete no checkpoint: a crash would take them back far.",
    action: "`node-x stream status` of the initializer says who is missing; replicas or a sink may be away.",
  },
  {
    name: "NodeXPresenceBehind",
    expression: `max(node_x_presence_epoch) - node_x_presence_epoch > ${lagLimits.epochs}`,
    forMinutes: 1,
    severity: "page",
    summary: "{{ $labels.instance }} serves an old epoch.",
    action: "It cannot fetch from the registration server: its log says why.",
  },
];

/** Prometheus' rule file. JSON strings are YAML. */
export function alertRules(): string {
  const text = JSON.stringify;
  const rules = alerts.map(
    ({ name, expression, forMinutes, severity, summary, action }) =>
      `      - alert: ${name}\n        expr: ${text(expression)}\n        for: ${forMinutes}m\n` +
      `        labels:\n          severity: ${severity}\n` +
      `        annotations:\n          summary: ${text(summary)}\n          description: ${text(action)}\n`,
  );
  const head =
    "# Alert rules for a cluster that Prometheus scrapes through its hub. Made by `bun src/cli/generate.ts`.\n";
  return `${head}groups:\n  - name: node-x\n    rules:\n${rules.join("")}`;
}
