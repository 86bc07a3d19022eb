/**
 * The dht node: a key/value store that swarm clients and Redis clients talk to, durable by default.
 *
 * One instance is a store with its log or dumps (durable-store.ts), a gate that holds replies until they are durable,
 * and a side for each protocol (legacy-side.ts, neo-side.ts, redis-side.ts). Everything runs on one event loop; only writing and
 * syncing files happens beside it.
 */
import type { Hono } from "hono";
import type { NxError } from "../../core/errors.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { effectiveLimits, limitsBeside } from "../connection-limits.ts";
import { foremost } from "../foremost.ts";
import { RedisSide } from "../redis-side.ts";
import { ReplyGate } from "../reply-gate.ts";
import { TextSockets } from "../text-sockets.ts";
import { type Side, sumOf } from "../side.ts";
import { dhtAbout } from "./config.ts";
import { REFUSAL } from "../durable-log.ts";
import { DurableStore } from "./durable-store.ts";
import {
  addMetrics,
  consoleLine,
  consoleSuffix,
  SlidingRate,
  StatsLine,
  thousands,
  type DhtFigures,
} from "./figures.ts";
import { loadHashSeed } from "./hash-seed.ts";
import { loadHashRange, type OwnedRange, toText } from "./hash-range.ts";
import type { DhtConfig, DhtLimits } from "./limits.ts";
import { MirrorSide } from "./mirror-side.ts";
import { NeoSide } from "./neo-side.ts";
import { LegacySide } from "./legacy-side.ts";

class DhtNode implements RunningRole<DhtConfig> {
  readonly #context: RoleContext<DhtConfig>;
  readonly #durable: DurableStore;
  readonly #swarm: LegacySide;
  readonly #redis: RedisSide;
  readonly #neo: NeoSide;
  readonly #mirror: MirrorSide;
  readonly #sides: readonly Side[];
  readonly #sockets: TextSockets;
  readonly #statsLine: StatsLine;
  readonly #rate: SlidingRate;
  #config: DhtConfig;
  #limits: DhtLimits;

  constructor(
    context: RoleContext<DhtConfig>,
    durable: DurableStore,
    gate: ReplyGate,
    owned: OwnedRange,
    mirror: MirrorSide,
  ) {
    this.#context = context;
    this.#mirror = mirror;
    this.#config = context.config;
    this.#limits = effectiveLimits(context.config.limits, context.log);
    this.#durable = durable;
    this.#rate = new SlidingRate(context.clock);
    const shared = { context, durable, gate, config: () => this.#config };
    const beside = (own: () => Side) => () => limitsBeside(this.#limits, this.#connectionsBeside(own()));
    this.#neo = new NeoSide({ ...shared, limits: beside(() => this.#neo) }, owned);
    const onRange: NeoSide["onRange"] = (next, others) => this.#neo.onRange(next, others);
    this.#swarm = new LegacySide({ ...shared, limits: beside(() => this.#swarm) }, owned, onRange);
    this.#redis = new RedisSide({
      ...shared,
      limits: beside(() => this.#redis),
      state: durable.store,
      databases: 16,
      memory: () => {
        const { memoryBytes, memoryPeakBytes } = durable.store.stats();
        return { usedBytes: memoryBytes, peakBytes: memoryPeakBytes };
      },
      expired: () => durable.store.stats().expired,
      persistence: () => durable.figures,
    });
    this.#sides = [this.#swarm, this.#redis, this.#neo];
    this.#sockets = new TextSockets(context, this.#neo.credentials);
    this.#statsLine = new StatsLine([this.#swarm.requestFigures, this.#neo.requestFigures]);
    this.#addMetrics();
  }

  async listen(): Promise<void> {
    await this.#mirror.start();
    this.refuseWrites();
    for (const side of this.#sides) await side.listen();
    await this.#sockets.listen();
  }

  /** Tells all sides whether writes are welcome: not while the disk is full, nor at a mirror. */
  refuseWrites(): void {
    const text = this.#durable.refusal === undefined ? this.#mirror.refusal : REFUSAL;
    for (const side of this.#sides) side.refuseWrites(text);
  }

  onLogDrain(): void {
    for (const side of this.#sides) side.onLogDrain();
  }

  recordSync(durationMs: number): void {
    this.#redis.recordSync(durationMs);
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  #connectionsBeside(own: Side): number {
    return sumOf(
      this.#sides.filter((side) => side !== own),
      "connections",
    );
  }

  /** The sum of one figure over all sides. */
  #sum(figure: keyof Side["figures"]): number {
    return sumOf(this.#sides, figure);
  }

  #figures(): DhtFigures {
    const { records, valueBytes, keyBytes } = this.#durable.store.stats();
    return {
      bytesSent: this.#sum("bytesSent"),
      bytesReceived: this.#sum("bytesReceived"),
      recordsHandled: this.#sum("requests"),
      connections: this.#sum("connections"),
      neoConnections: this.#neo.figures.connections,
      connectionsMax: this.#limits.connections,
      records,
      bytes: keyBytes + valueBytes,
      channels: this.#durable.channels(),
    };
  }

  notReady(): string[] {
    const { trouble } = this.#durable;
    return [...(trouble === undefined ? [] : [trouble]), ...this.#mirror.notReady()];
  }

  throughput() {
    return { total: this.#sum("requests"), unit: "requests" };
  }

  keyFigure(): string {
    const { records } = this.#durable.store.stats();
    return `${thousands(records)} record${records === 1 ? "" : "s"}`;
  }

  stats() {
    const { log, dump, compactions } = this.#durable.figures;
    return {
      ...this.#durable.store.stats(),
      ...this.#redis.statistics,
      ...this.#redis.portFigures,
      swarm: this.#swarm.stats,
      neo: this.#neo.stats,
      mirror: this.#mirror.stats,
      durability: this.#config.durability,
      hashRange: { ...toText(this.#swarm.range) },
      channels: foremost(this.#durable.channels(), ({ bytes }) => bytes).map((channel) => ({ ...channel })),
      log: log === undefined ? null : { ...log },
      dump: dump === undefined ? null : { ...dump },
      compactions,
    };
  }

  statsLine(): string {
    return this.#statsLine.next(this.#figures());
  }

  consoleLine(): string {
    const figures = this.#figures();
    return consoleLine({
      storage: "Memory",
      hashRange: toText(this.#swarm.range),
      memoryBytesMax: this.#config.limits.memoryBytesMax,
      memoryBytes: this.#durable.store.stats().memoryBytes,
      connections: figures.connections,
      recordsPerSecond: this.#rate.perSecond(figures.recordsHandled),
      records: figures.records,
      bytes: figures.bytes,
      suffix: consoleSuffix(this.#durable.figures),
    });
  }

  #addMetrics(): void {
    const { store } = this.#durable;
    addMetrics(this.#context.metrics, {
      figures: () => this.#figures(),
      memoryBytes: () => store.stats().memoryBytes,
      expired: () => store.stats().expired,
      logBytes: () => this.#durable.figures.log?.logBytes ?? 0,
      dump: () => this.#durable.figures.dump,
      unsyncedBytes: () => this.#durable.position - this.#durable.durablePosition,
      refusedConnections: () => this.#sum("refused"),
      isRefusingWrites: () => this.#durable.refusal !== undefined,
      commands: () => {
        const { keyspaceHits: hits, keyspaceMisses: misses } = this.#redis.statistics;
        return { total: this.#sum("requests"), errors: this.#sum("errors"), hits, misses };
      },
    });
  }

  // --- life ------------------------------------------------------------------------------------------------------

  reload(config: DhtConfig): void {
    this.#config = config;
    this.#neo.credentials.reload();
    this.#redis.reload(config);
    this.#durable.setMemoryLimit(config.limits.memoryBytesMax);
    this.#limits = effectiveLimits(config.limits, this.#context.log);
  }

  admin(app: Hono): void {
    this.#neo.credentials.admin(app);
    app.post("/promote", async (context) => {
      try {
        return context.json({ ...(await this.#promote(context.req.query("force") === "1")) });
      } catch (error) {
        return context.json({ error: (error as Error).message, hint: (error as NxError).hint }, 409);
      }
    });
  }

  async #promote(isForced: boolean) {
    const promotion = await this.#mirror.promote(isForced);
    this.refuseWrites();
    return promotion;
  }

  async drain(): Promise<void> {
    for (const side of this.#sides) side.stopListening();
  }

  async stop(): Promise<void> {
    this.#sockets.close();
    await this.drain();
    await this.#swarm.stopRedistribution();
    await this.#mirror.stop();
    for (const side of this.#sides) side.closeConnections();
    await this.#durable.close(() => {
      for (const side of this.#sides) side.close();
    });
  }
}

export const dht = defineRole({
  ...dhtAbout,
  bench: () => import("./bench.ts"),
  async start(context) {
    const { config, log, fatal, progress } = context;
    let node: DhtNode | undefined;
    let gate: ReplyGate | undefined;
    let mirror: MirrorSide | undefined;
    const syncs = context.metrics.histogram("node_x_dht_sync_seconds", "Writing and syncing one group.");
    const owned = await loadHashRange(context.disk, context.dataDir, config.hashRange, log);
    const durable = await DurableStore.open({
      world: context,
      log: log.child("store"),
      dataDir: context.dataDir,
      mode: config.durability,
      ...(config.durability !== "memory" && {
        hashSeed: await loadHashSeed(context.disk, context.dataDir, context.random),
      }),
      memoryBytesMax: config.limits.memoryBytesMax,
      compaction: config.compaction,
      dump: {
        ...config.dump,
        hashRange: toText(owned.range),
        shutdownTimeoutMs: config.shutdownTimeoutMs,
      },
      onDurable: () => {
        gate?.onProgress();
        mirror?.onDurable();
      },
      onAppend: (effects, position) => mirror?.source?.onChange(effects, position),
      onDrain: () => node?.onLogDrain(),
      onRefusal: () => {
        node?.refuseWrites();
        gate?.onProgress();
      },
      onGroup: (_bytes, durationMs) => {
        syncs.observe(durationMs / 1000);
        node?.recordSync(durationMs);
      },
      onFatal: fatal,
      progress,
    });
    if (config.durability === "memory")
      log.warn('durability is "memory": every record is gone when this process ends');
    mirror = new MirrorSide(context, durable, () => gate?.onProgress());
    gate = new ReplyGate(mirror.source ?? durable);
    node = new DhtNode(context, durable, gate, owned, mirror);
    await node.listen();
    return node;
  },
});
