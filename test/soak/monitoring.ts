/**
 * `bun run soak monitoring`: what is generated for Prometheus and Grafana, judged by Prometheus itself: Debian's package is
 * unpacked beside the run, nothing is installed.
 *
 * promtool checks the rules and plays an outage against them; a Prometheus scrapes the hub of a cluster with every role,
 * and answers the query of every panel and of every alert.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { alerts } from "../../src/hub/monitoring/alerts.ts";
import { figures } from "../../src/hub/figures.ts";
import { queryOf } from "../../src/hub/monitoring/grafana.ts";
import { until } from "../e2e/executable.ts";
import { freePorts } from "../e2e/free-ports.ts";
import { LocalCluster } from "../e2e/local-cluster.ts";
import type { Soak } from "./run.ts";

const RULES = resolve(import.meta.dir, "../../docs/prometheus-alerts.yml");

async function output(command: string[], cwd?: string, input = ""): Promise<string> {
  const child = Bun.spawn(command, {
    ...{ stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" },
    ...(cwd !== undefined && { cwd }),
  });
  const [said, complaints] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}\n${said}${complaints}`);
  return said;
}

/** Where the programs of Debian's package are. */
async function unpackPrometheus(directory: string): Promise<string> {
  await output(["apt-get", "download", "prometheus"], directory);
  const [archive = ""] = new Bun.Glob("prometheus_*.deb").scanSync(directory);
  await output(["dpkg", "-x", archive, "unpacked"], directory);
  return join(directory, "unpacked/usr/bin");
}

/** An instance that is down for a minute wakes somebody; one that answers does not. */
const outage = {
  rule_files: [RULES],
  evaluation_interval: "30s",
  tests: [
    {
      interval: "30s",
      input_series: [
        { series: 'node_x_up{instance="a",role="dht"}', values: "1 1 0 0 0 0" },
        { series: 'node_x_up{instance="b",role="dht"}', values: "1 1 1 1 1 1" },
        { series: 'node_x_worker_checkpoint_age_seconds{instance="w",role="worker"}', values: "1 30 61 90 120 150" },
      ],
      alert_rule_test: [
        { eval_time: "30s", alertname: "NodeXInstanceDown", exp_alerts: [] },
        {
          eval_time: "2m30s",
          alertname: "NodeXInstanceDown",
          exp_alerts: [{ exp_labels: { severity: "page", instance: "a", role: "dht" }, exp_annotations: annotationsOf("NodeXInstanceDown", "a") }],
        },
        {
          eval_time: "2m30s",
          alertname: "NodeXCheckpointsStall",
          exp_alerts: [{ exp_labels: { severity: "page", instance: "w", role: "worker" }, exp_annotations: annotationsOf("NodeXCheckpointsStall", "w") }],
        },
      ],
    },
  ],
}; // prettier-ignore

function annotationsOf(name: string, instance: string) {
  const { summary, action } = alerts.find((alert) => alert.name === name) as (typeof alerts)[number];
  return { summary: summary.replace("{{ $labels.instance }}", instance), description: action };
}

/** The result of a query, as a list; throws what Prometheus says is wrong with it. */
async function ask(base: string, expression: string): Promise<{ metric: Record<string, string> }[]> {
  const response = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { status, error, data } = (await response.json()) as {
    status: string;
    error?: string;
    data?: { result: { metric: Record<string, string> }[] };
  };
  if (status !== "success") throw new Error(`${expression}: ${error}`);
  return data?.result ?? [];
}

async function scrape(programs: string, directory: string, seconds: number) {
  using cluster = await LocalCluster.start({ metricsPeriodMs: 1000 });
  const hub = JSON.parse((await cluster.ask("hub0", "/stats")).body) as { ports: { port: number } };
  const target = `127.0.0.1:${hub.ports.port}`;
  await output([join(programs, "promtool"), "check", "metrics"], directory, await (await fetch(`http://${target}/metrics`)).text());
  const configuration = {
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: [RULES],
    scrape_configs: [{ job_name: "node-x", honor_labels: true, static_configs: [{ targets: [target] }] }],
  };
  writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(configuration));
  const [port = 0] = await freePorts(1);
  const base = `http://127.0.0.1:${port}`;
  const options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", `--web.listen-address=127.0.0.1:${port}`];
  const server = Bun.spawn([join(programs, "prometheus"), ...options], { cwd: directory, stdout: "ignore", stderr: "ignore" });
  try {
    await until("every instance in Prometheus", async () => {
      const found = await ask(base, "node_x_up == 1").catch(() => []);
      return found.length === cluster.names.length || undefined;
    });
    for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs;) {
      await cluster.work(1).catch(() => undefined);
      await Bun.sleep(200);
    }
    const empty: string[] = [];
    const running = new Set((await ask(base, "node_x_up")).map(({ metric }) => metric.role ?? ""));
    for (const figure of figures) {
      if (figure.roles?.every((role) => !running.has(role)) === true) continue;
      const query = queryOf(figure)?.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "10s");
      if (query !== undefined && (await ask(base, query)).length === 0) empty.push(figure.id);
    }
    for (const { expression } of alerts) await ask(base, expression);
    const firing = await ask(base, 'ALERTS{alertstate="firing"}');
    return { instances: cluster.names.length, empty, firing: firing.length };
  } finally {
    server.kill();
    await server.exited;
  }
} // prettier-ignore

export const soak: Soak = {
  summary: "rules, dashboard and metrics, judged by Debian's Prometheus: [seconds of scraping, 15]",
  async run([seconds = "15"]) {
    const directory = mkdtempSync(join(tmpdir(), "node-x-prometheus-"));
    try {
      const programs = await unpackPrometheus(directory);
      await output([join(programs, "promtool"), "check", "rules", RULES]);
      writeFileSync(join(directory, "outage.yml"), JSON.stringify(outage));
      await output([join(programs, "promtool"), "test", "rules", "outage.yml"], directory);
      const { instances, empty, firing } = await scrape(programs, directory, Number(seconds));
      if (empty.length > 0) throw new Error(`no series for ${empty.join(", ")}`);
      return {
        rules: alerts.length,
        instances,
        panels: figures.filter((each) => queryOf(each)).length,
        firing,
      };
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
