/** `status`: how every instance is, as the instances themselves and their hosts say now. */
import { durationText } from "../../core/duration-text.ts";
import { Exit } from "../../core/errors.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { InstanceHealth } from "../../cluster/agent/health.ts";
import type { InstanceState } from "../../cluster/agent/messages.ts";
import type { Cluster, Instance } from "../../cluster/topology/types.ts";
import { colorsFor, printJson, printTable, type Colors } from "../print.ts";
import { defineVerb, type Call } from "../verb.ts";
import {
  hostsOf,
  numberOf,
  onInterrupt,
  openCluster,
  prefixArg,
  selectionArgs,
  type Agents,
} from "./context.ts";

const args = {
  prefix: prefixArg,
  ...selectionArgs,
  watch: { type: "boolean", alias: "w", description: "Show it again and again until Ctrl-C" },
  "period-ms": { type: "string", valueHint: "MS", default: "1000", description: "With --watch: how often" },
  json: { type: "boolean", description: "Print JSON; with --watch one line each time" },
} as const;

export interface StatusRow {
  instance: string;
  role: string;
  host: string;
  state: InstanceState["service"]["state"] | "absent" | "unreachable";
  isReady: boolean;
  reasons: string[];
  pid: number | null;
  uptimeSeconds: number | null;
  restarts: number;
  residentBytes: number | null;
  release: string | null;
  version: string | null;
  lastEnd: string | null;
  keyFigure: string;
  isLeader: boolean;
}

export const statusVerb = defineVerb({
  name: "status",
  summary: "Show how every instance of a cluster is",
  description:
    "Asks all hosts at the same time, and there every instance over its admin socket. Exit code 0 when all are ready, 1 when not. A release or version that differs from " +
    "the others' is red. On this machine it also shows instances that were not deployed, those of `node-x up`.",
  args,
  repeatable: ["only"],
  examples: [
    { command: "node-x status configs/local", shows: "Once" },
    { command: "node-x status configs/local --watch", shows: "And again, each second" },
  ],
  async run(call) {
    const context = await openCluster("status", call.args.prefix, call.args, call.all("only"), call);
    const { cluster, selected, place } = context;
    const periodMs = numberOf(call.args["period-ms"], "--period-ms", "status", 100) ?? 1000;
    const { connectEach } = await import("./each-host.ts");
    const { agents, failures, close } = await connectEach(context, hostsOf(cluster, selected), call);
    const interrupt = onInterrupt(() => undefined);
    try {
      for (;;) {
        const rows = await rowsOf(cluster, selected, agents, failures);
        if (call.args.watch === true && call.stdout.isTty && call.args.json !== true)
          call.stdout.write("\u001b[H\u001b[J");
        show(rows, call);
        if (call.args.watch !== true) return rows.every(({ isReady }) => isReady) ? Exit.ok : Exit.failed;
        await sleep(place.clock, periodMs, interrupt.signal);
        if (interrupt.signal.aborted) return Exit.ok;
      }
    } finally {
      interrupt.close();
      close();
    }
  },
});

async function rowsOf(
  cluster: Cluster,
  selected: readonly Instance[],
  agents: Agents,
  failures: ReadonlyMap<string, string>,
): Promise<StatusRow[]> {
  const lost = new Map(failures);
  const answers = await Promise.all(
    [...agents].map(async ([host, agent]) => {
      const names = selected.filter((instance) => instance.host === host).map(({ name }) => name);
      try {
        return (await agent.call("status", { instances: names })).result.instances;
      } catch (error) {
        lost.set(host, (error as Error).message);
        return [];
      }
    }),
  );
  const states = new Map(answers.flat().map((state) => [state.service.instance, state]));
  return Promise.all(
    selected.map(async (instance) => {
      const state = states.get(instance.name);
      const unreachable = lost.get(instance.host);
      if (state !== undefined || unreachable !== undefined) return rowOf(instance, state, unreachable);
      return rowOf(instance, undefined, undefined, await undeployedHealth(cluster, instance));
    }),
  );
}

/** Of one that runs on this machine without having been deployed; `node-x up` does that. */
async function undeployedHealth(
  { hosts }: Cluster,
  { host, dataDir }: Instance,
): Promise<InstanceHealth | undefined> {
  if (hosts.find(({ name }) => name === host)?.access.kind !== "local") return undefined;
  const { askAdmin, healthOf } = await import("../../cluster/agent/health.ts");
  const health = await healthOf(dataDir, askAdmin);
  if (!health.isAlive) return undefined;
  return { ...health, reasons: [...health.reasons, "not deployed: run by `node-x up` or by hand"] };
}

function rowOf(
  { name, role, host }: Instance,
  state: InstanceState | undefined,
  unreachable: string | undefined,
  health = state?.health,
): StatusRow {
  const stats = health?.stats ?? {};
  const own = (stats[role] ?? {}) as { isPrimary?: unknown };
  const reasons =
    unreachable === undefined ? (health?.reasons ?? ["not deployed on this host"]) : [unreachable];
  const isDown = state?.service.state === "stopped";
  return {
    instance: name,
    role,
    host,
    state:
      unreachable !== undefined
        ? "unreachable"
        : (state?.service.state ?? (health === undefined ? "absent" : "running")),
    isReady: health?.isReady ?? false,
    reasons: isDown ? [] : reasons,
    pid: state?.service.pid ?? (typeof stats.pid === "number" ? stats.pid : null),
    uptimeSeconds: typeof stats.uptimeSeconds === "number" ? stats.uptimeSeconds : null,
    restarts: state?.service.restarts ?? 0,
    residentBytes: state?.residentBytes ?? null,
    release: state?.runningRelease ?? state?.activeRelease ?? null,
    version:
      typeof stats.version === "string"
        ? `${stats.version} ${String(stats.commit ?? "").slice(0, 7)}`.trim()
        : null,
    lastEnd: state?.service.lastEnd ?? null,
    keyFigure: typeof stats.keyFigure === "string" ? stats.keyFigure : "",
    isLeader: own.isPrimary === true,
  };
}

function show(
  rows: readonly StatusRow[],
  { args: { json, watch }, stdout, environment }: Call<typeof args>,
): void {
  if (json === true) {
    if (watch === true) stdout.write(`${JSON.stringify(rows)}\n`);
    else printJson(stdout, rows);
    return;
  }
  const colors = colorsFor(stdout, environment);
  const usual = mostCommon(rows.map(({ release }) => release ?? ""));
  const table = rows.map((row) => cellsOf(row, usual, colors));
  printTable(
    stdout,
    ["instance", "host", "state", "pid", "up", "restarts", "memory", "release", ""],
    table,
    colors,
  );
}

function cellsOf(row: StatusRow, usualRelease: string, colors: Colors): string[] {
  const state = row.state !== "running" ? row.state : row.isReady ? "ready" : "not ready";
  const paint = state === "ready" ? colors.green : state === "stopped" ? colors.dim : colors.red;
  const release = row.release ?? "";
  const words = [
    row.isLeader ? "leader" : "",
    row.keyFigure,
    ...row.reasons,
    row.lastEnd === null ? "" : `last ended by ${row.lastEnd}`,
  ];
  return [
    row.instance,
    row.host,
    paint(state),
    row.pid === null ? "" : String(row.pid),
    row.uptimeSeconds === null ? "" : durationText(row.uptimeSeconds),
    String(row.restarts),
    row.residentBytes === null ? "" : `${Math.round(row.residentBytes / (1 << 20))} MiB`,
    release === usualRelease ? release : colors.red(release),
    words.filter((word) => word !== "").join("; "),
  ];
}

function mostCommon(values: readonly string[]): string {
  const counts = Map.groupBy(values, (value) => value);
  return [...counts].toSorted(([, a], [, b]) => b.length - a.length)[0]?.[0] ?? "";
}
