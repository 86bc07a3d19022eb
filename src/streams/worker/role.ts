/** The worker as a role: loads the application, starts the worker, tells what it does. */
import type { Hono } from "hono";
import { resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import { defineRole, type RoleContext, type RunningRole, type Stats } from "../../core/role.ts";
import { readSecret } from "../../core/secret-file.ts";
import { callerTlsOf, callingWithTls } from "../../core/sockets/tls.ts";
import { copyDirectory } from "../replica/copy-file.ts";
import { ReplicaMirror } from "../replica/mirror.ts";
import { MetricsReporter } from "../metrics/reporter.ts";
import { loadApp } from "../plan/load.ts";
import { planOf } from "../plan/plan.ts";
import { textOf } from "../wire/bytes.ts";
import type { World } from "../../core/role.ts";
import type { Net } from "../../core/seams/net.ts";
import { hostPort } from "./addresses.ts";
import { addRoutes } from "./admin.ts";
import { startFresh } from "./fresh-start.ts";
import { addMetrics } from "./metrics.ts";
import { workerAbout, type WorkerConfig } from "./config.ts";
import { diskTroubles } from "./troubles.ts";
import { Worker } from "./worker.ts";

/** A cluster that cannot take a checkpoint (somebody is missing) must not keep a worker from stopping. */
const LAST_CHECKPOINT_MS = 5000;

class RunningWorker implements RunningRole<WorkerConfig> {
  readonly #worker: Worker;
  readonly #name: string;
  readonly #mirror: ReplicaMirror | undefined;
  readonly #reporter: MetricsReporter | undefined;

  constructor(
    worker: Worker,
    name: string,
    mirror: ReplicaMirror | undefined,
    reporter: MetricsReporter | undefined,
  ) {
    this.#worker = worker;
    this.#reporter = reporter;
    this.#name = name;
    this.#mirror = mirror;
  }

  notReady(): string[] {
    const { runtime, leader, member } = this.#worker;
    if (runtime.isRunning) return diskTroubles(this.#worker);
    const missing = leader?.status.missing ?? [];
    if (missing.length > 0) return [`waiting for ${missing.join(", ")}`];
    return [member.refusal ?? "waiting for the cluster"];
  }

  throughput() {
    return { total: this.#worker.engine.recordsIn, unit: "records" };
  }

  keyFigure(): string {
    const keys = [...this.#worker.engine.stores.values()].reduce((sum, { size }) => sum + size, 0);
    return `${keys} key${keys === 1 ? "" : "s"}`;
  }

  stats(): Stats {
    const { engine, runtime, stateLog, leader, member, sources, sinks, deadLetters, latency } = this.#worker;
    return {
      name: this.#name,
      app: engine.plan.appName,
      plan: engine.plan.hash,
      recordsIn: engine.recordsIn,
      recordsOut: engine.recordsOut,
      keys: engine.keyCounts,
      lateRecords: Object.fromEntries(
        [...engine.windows].map(([name, { lateRecords }]) => [name, lateRecords]),
      ),
      deadLetters: { ...deadLetters.counts },
      latencyNs: latency.percentiles,
      metersNs: engine.meters.figures,
      checkpoint: stateLog.committed.id,
      stateLog: stateLog.figures,
      replicas: this.#mirror && { ...this.#mirror.figures, troubles: this.#mirror.troubles },
      hasLeader: member.isConnected,
      runtime: runtime.stats,
      sources: Object.fromEntries(sources.map((source) => [source.name, source.stats()])),
      sinks: Object.fromEntries(sinks.map((sink) => [sink.name, sink.stats()])),
      cluster: leader === undefined ? null : { ...leader.status, layout: undefined },
    };
  }

  /** What was taken in gets into a last checkpoint, so that nobody has to send it again. */
  async drain(): Promise<void> {
    await this.#worker.finish(LAST_CHECKPOINT_MS);
  }

  admin(app: Hono): void {
    addRoutes(app, this.#worker);
  }

  async stop(): Promise<void> {
    await this.#worker.close();
    this.#mirror?.close();
    this.#reporter?.close();
  }
}

async function readText({ disk }: Pick<World, "disk">, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    return textOf(bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}

/** Copies of the state log at the replicas, if there are any. Throws NX_CONFIG_INVALID. */
function mirrorOf(
  context: RoleContext<WorkerConfig>,
  net: Net,
  directory: string,
  onSnapshotNeeded: () => void,
): ReplicaMirror | undefined {
  const { replicas, replicaAcks: acks } = context.config;
  if (replicas.length === 0) return undefined;
  if (acks > replicas.length)
    throw new NxError(
      "NX_CONFIG_INVALID",
      `replicaAcks is ${acks}, and there are ${replicas.length} replicas`,
    );
  return new ReplicaMirror({
    ...{
      world: { clock: context.clock, net },
      log: context.log.child("replicas"),
      acks,
      directory,
      onSnapshotNeeded,
    },
    addresses: replicas.map(hostPort),
  });
}

/** Tells a hub, if there is one. */
function reporterOf(
  { config, ...world }: RoleContext<WorkerConfig>,
  app: string,
  worker: Worker,
): MetricsReporter | undefined {
  if (config.metricsHub === undefined) return undefined;
  return new MetricsReporter({
    ...{ world, app, worker: config.name, hub: hostPort(config.metricsHub) },
    bins: () => worker.latency.bins,
    meters: () => worker.engine.meters.all,
    recordsIn: () => worker.engine.recordsIn,
  });
}

async function startWorker(context: RoleContext<WorkerConfig>): Promise<RunningWorker> {
  const { config, log, dataDir, fatal, progress, announcePort } = context;
  const directory = resolve(".");
  const removed = await startFresh(context.disk, dataDir, context.isFresh === true);
  if (removed.length > 0) log.info("began anew: what an earlier life kept is removed", { removed });
  progress(`loading ${config.app}`);
  const { app, text } = await loadApp(config.app, directory, (path) => readText(context, path));
  const plan = planOf(app, { args: config.appArguments, text, now: () => context.clock.nowMs() });
  const secret = config.secretFile === undefined ? "" : readSecret("secretFile", config.secretFile);
  const peerTls = callerTlsOf(context.tls, config.peerCa);
  const replicaNet = callingWithTls(context.net, peerTls);
  const mirror = mirrorOf(context, replicaNet, copyDirectory(app.name, config.name), () =>
    worker.stateLog.refreshMirror(),
  );
  const worker: Worker = await Worker.start({
    ...{ world: context, log, dataDir, directory, plan, secret, tls: context.tls, progress, announcePort },
    settings: config,
    peerTls,
    connectionsMax: config.limits.connections,
    mirror,
    onFatal: fatal,
    onGoodbye: () => context.done?.(),
    onStop: () => context.done?.(),
  });
  addMetrics(context.metrics, worker);
  const reporter = reporterOf(context, app.name, worker);
  return new RunningWorker(worker, config.name, mirror, reporter);
}

export const worker = defineRole({ ...workerAbout, start: startWorker });
