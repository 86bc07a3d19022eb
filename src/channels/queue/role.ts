/**
 * The queue node: bounded queues that swarm clients push to and pop from, and lists and streams for Redis clients,
 * durable by default.
 *
 * One instance is the queues with their log or save files (durable-queues.ts), a gate that holds replies until they are
 * durable, and a side for each protocol. Everything runs on one event loop; only writing and syncing files happens
 * beside it.
 */
import type { Hono } from "hono";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { restPaces } from "../../core/seams/turn-rest.ts";
import { effectiveLimits, limitsBeside } from "../connection-limits.ts";
import { SlidingRate, thousands } from "../dht/figures.ts";
import { foremost } from "../foremost.ts";
import { LegacyEngine, legacyDefaults } from "../../native/legacy.ts";
import { NeoEngine } from "../../native/neo.ts";
import { LegacySide } from "../legacy-side.ts";
import { NeoSide } from "../neo-side.ts";
import { RedisSide } from "../redis-side.ts";
import { ReplyGate } from "../reply-gate.ts";
import { TextSockets } from "../text-sockets.ts";
import { type Side, sumOf } from "../side.ts";
import { QueueCommand } from "../wire/legacy/protocol.ts";
import { QueueCode } from "../wire/neo/protocol.ts";
import { queueAbout, type QueueConfig } from "./config.ts";
import { DurableQueues, queuesSettings } from "./durable-queues.ts";
import { openLogOf } from "./engine.ts";
import { addMetrics, consoleLine, type NodeFigures, StatsLine } from "./figures.ts";

class QueueNode implements RunningRole<QueueConfig> {
  readonly #context: RoleContext<QueueConfig>;
  readonly #durable: DurableQueues;
  readonly #swarm: LegacySide;
  readonly #redis: RedisSide;
  readonly #neo: NeoSide;
  readonly #sides: readonly Side[];
  readonly #sockets: TextSockets;
  readonly #statsLine: StatsLine;
  readonly #rate: SlidingRate;
  #config: QueueConfig;
  #limits: QueueConfig["limits"];
  #peakBytes = 0;

  constructor(context: RoleContext<QueueConfig>, durable: DurableQueues, gate: ReplyGate) {
    this.#context = context;
    this.#config = context.config;
    this.#limits = effectiveLimits(context.config.limits, context.log);
    this.#durable = durable;
    this.#rate = new SlidingRate(context.clock);
    const beside = (own: () => Side) => () => {
      const others = sumOf(this.#sides, "connections") - own().figures.connections;
      return limitsBeside(this.#limits, others);
    };
    this.#swarm = new LegacySide(
      {
        context,
        durable,
        gate,
        config: () => this.#config,
        limits: beside(() => this.#swarm),
        codes: QueueCommand,
        onCall: () => this.#redis.onChange(),
      },
      new LegacyEngine(durable.queues, legacyDefaults, context.config.swarm.generation === "later"),
    );
    this.#redis = new RedisSide({
      context,
      durable,
      gate,
      state: durable.queues,
      config: () => this.#redisConfig(),
      limits: beside(() => this.#redis),
      databases: 1,
      restPace: restPaces.long,
      memory: () => this.#memory(),
      expired: () => 0,
      persistence: () => durable.figures,
      onCall: () => this.#swarm.onChange(),
    });
    this.#neo = new NeoSide(
      {
        context,
        durable,
        gate,
        config: () => this.#config,
        port: context.config.neoPort,
        limits: beside(() => this.#neo),
        codes: QueueCode,
      },
      new NeoEngine(durable.queues),
    );
    this.#sides = [this.#swarm, this.#redis, this.#neo];
    this.#sockets = new TextSockets(context, this.#neo.credentials);
    this.#statsLine = new StatsLine([this.#swarm.requestFigures, this.#neo.requestFigures]);
    this.#addMetrics();
  }

  #redisConfig() {
    const { limits, channels } = this.#config;
    return { ...this.#config, limits: { ...limits, memoryBytesMax: channels.sizeBytesMax } };
  }

  #memory() {
    const { memoryBytes } = this.#durable.queues.figures();
    this.#peakBytes = Math.max(this.#peakBytes, memoryBytes);
    return { usedBytes: memoryBytes, peakBytes: this.#peakBytes };
  }

  async listen(): Promise<void> {
    for (const side of this.#sides) await side.listen();
    await this.#sockets.listen();
  }

  refuseWrites(text: string | undefined): void {
    for (const side of this.#sides) side.refuseWrites(text);
  }

  onLogDrain(): void {
    for (const side of this.#sides) side.onLogDrain();
  }

  recordSync(durationMs: number): void {
    this.#redis.recordSync(durationMs);
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  #figures(): NodeFigures {
    return {
      ...this.#durable.queues.figures(),
      bytesSent: sumOf(this.#sides, "bytesSent"),
      bytesReceived: sumOf(this.#sides, "bytesReceived"),
      requests: sumOf(this.#sides, "requests"),
      connections: sumOf(this.#sides, "connections"),
      neoConnections: this.#neo.figures.connections,
      connectionsMax: this.#limits.connections,
    };
  }

  notReady(): string[] {
    const { refusal } = this.#durable;
    return refusal === undefined ? [] : [refusal];
  }

  throughput() {
    return { total: sumOf(this.#sides, "requests"), unit: "requests" };
  }

  keyFigure(): string {
    const { records, entries } = this.#durable.queues.figures();
    return `${thousands(records + entries)} record${records + entries === 1 ? "" : "s"}`;
  }

  stats() {
    const { log, compactions } = this.#durable.figures;
    return {
      ...this.#figures(),
      redis: { ...this.#redis.statistics, ...this.#redis.portFigures },
      swarm: this.#swarm.stats,
      neo: this.#neo.stats,
      durability: this.#config.durability,
      engine: this.#config.engine?.jetstream === undefined ? "builtin" : "jetstream",
      channels: foremost(this.#durable.queues.channels(), ({ usedBytes }) => usedBytes).map((channel) => ({
        ...channel,
      })),
      log: log === undefined ? null : { ...log },
      compactions,
    };
  }

  statsLine(): string {
    return this.#statsLine.next(this.#figures(), this.#durable.queues.channels(true));
  }

  consoleLine(): string {
    const figures = this.#figures();
    const { pushed, popped } = figures;
    return consoleLine(figures, this.#durable.queues.channels(), this.#rate.perSecond(pushed + popped));
  }

  #addMetrics(): void {
    const durable = this.#durable;
    addMetrics(this.#context.metrics, {
      figures: () => this.#figures(),
      channels: () => durable.queues.channels(),
      logBytes: () => durable.figures.log?.logBytes ?? 0,
      unsyncedBytes: () => durable.position - durable.durablePosition,
      refusedConnections: () => sumOf(this.#sides, "refused"),
      isRefusingWrites: () => durable.refusal !== undefined,
      errors: () => sumOf(this.#sides, "errors"),
    });
  }

  // --- life ------------------------------------------------------------------------------------------------------

  reload(config: QueueConfig): void {
    this.#config = config;
    this.#neo.credentials.reload();
    this.#redis.reload(this.#redisConfig());
    this.#limits = effectiveLimits(config.limits, this.#context.log);
    this.#durable.queues.configure(queuesSettings(config));
  }

  admin(app: Hono): void {
    this.#neo.credentials.admin(app);
  }

  async drain(): Promise<void> {
    for (const side of this.#sides) side.stopListening();
  }

  async stop(): Promise<void> {
    this.#sockets.close();
    await this.drain();
    for (const side of this.#sides) side.closeConnections();
    await this.#durable.close(() => {
      for (const side of this.#sides) side.close();
    });
  }
}

export const queue = defineRole({
  ...queueAbout,
  bench: () => import("./bench.ts"),
  async start(context) {
    const { config, log, fatal, progress } = context;
    let node: QueueNode | undefined;
    let gate: ReplyGate | undefined;
    let refusal: string | undefined;
    const syncs = context.metrics.histogram("node_x_queue_sync_seconds", "Writing and syncing one group.");
    const durable = await DurableQueues.open({
      world: context,
      log: log.child("store"),
      dataDir: context.dataDir,
      config,
      openLog: openLogOf(context),
      onDurable: () => gate?.onProgress(),
      onDrain: () => node?.onLogDrain(),
      onRefusal: (text) => {
        refusal = text;
        node?.refuseWrites(text);
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
    gate = new ReplyGate(durable);
    node = new QueueNode(context, durable, gate);
    if (refusal !== undefined) node.refuseWrites(refusal);
    await node.listen();
    return node;
  },
});
