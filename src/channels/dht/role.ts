/**
 * The dht node: a key/value store that swarm clients and Redis clients talk to, durable by default.
 *
 * One instance is a store with its log (durable-store.ts), a gate that holds replies until they are durable, and a
 * listener for each protocol (legacy-port.ts, resp-port.ts). Everything runs on one event loop; only writing and syncing files happens beside it.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { buildInfo } from "../../core/build-info.ts";
import { readOpenFilesMax } from "../../core/kernel/process-meter.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { readSecret } from "../../core/secret-file.ts";
import { type HashRange, LegacyEngine, legacyDefaults } from "../../native/legacy.ts";
import { RespEngine, respDefaults, type RespSettings } from "../../native/resp.ts";
import { ReplyGate } from "../reply-gate.ts";
import type { ConfigParameter, InfoSection } from "../wire/resp/host.ts";
import { LatencyMonitor } from "../wire/resp/latency.ts";
import { RespService } from "../wire/resp/service.ts";
import { dhtAbout, type dhtConfig } from "./config.ts";
import { DurableStore, REFUSAL } from "./durable-store.ts";
import {
  addMetrics,
  consoleLine,
  consoleSuffix,
  SlidingRate,
  StatsLine,
  thousands,
  type DhtFigures,
} from "./figures.ts";
import { keepHashRange, loadHashRange, toText } from "./hash-range.ts";
import { LegacyPort } from "./legacy-port.ts";
import { Redistribution } from "./redistribute.ts";
import { type RespLimits, RespPort } from "./resp-port.ts";

type DhtConfig = z.output<typeof dhtConfig>;

function engineSettings(config: DhtConfig, seed: number): RespSettings {
  return {
    ...respDefaults,
    keyBytesMax: config.limits.keyBytesMax,
    valueBytesMax: config.limits.valueBytesMax,
    requestBytesMax: config.limits.requestBytesMax,
    replyBytesMax: config.limits.outboxBytesMax,
    authenticationRequired: config.passwordFile !== undefined,
    memoryBytesMax: config.limits.memoryBytesMax,
    seed,
  };
}

/** Files that clients must leave to the node: its log, snapshots, admin connections, unfinished handshakes. */
const RESERVED_FILES = 192;

/** As many connections as configured, but never so many that the log could not open its next file. */
function allowedConnections(config: DhtConfig): number {
  const room = Math.max(1, readOpenFilesMax() - RESERVED_FILES);
  return Math.min(config.limits.connections, room);
}

class DhtNode implements RunningRole<DhtConfig> {
  readonly #context: RoleContext<DhtConfig>;
  readonly #durable: DurableStore;
  readonly #engine: RespEngine;
  readonly #port: RespPort;
  readonly #legacy: LegacyEngine;
  readonly #legacyPort: LegacyPort;
  readonly #redistribution: Redistribution;
  /** As it was before the last redistribution. */
  #range: HashRange;
  readonly #statsLine = new StatsLine();
  readonly #rate: SlidingRate;
  readonly #latency = new LatencyMonitor();
  #config: DhtConfig;
  #limits: RespLimits;
  #password: string | undefined;
  #respPort = 0;
  readonly #seed: number;

  constructor(context: RoleContext<DhtConfig>, durable: DurableStore, gate: ReplyGate, range: HashRange) {
    this.#context = context;
    this.#config = context.config;
    this.#limits = this.#effectiveLimits(context.config);
    this.#durable = durable;
    this.#password = passwordOf(context.config);
    this.#rate = new SlidingRate(context.clock);
    this.#seed = context.random.integer(2 ** 31);
    this.#engine = new RespEngine(durable.store, engineSettings(context.config, this.#seed));
    const { net, clock, log, tls, config } = context;
    this.#port = new RespPort(
      {
        net,
        clock,
        log,
        tls,
        host: config.host,
        port: config.respPort ?? 0,
        durable,
        gate,
        limits: () => this.#limitsBeside(this.#legacyPort.connections),
      },
      (closeOther) => this.#createService(closeOther),
    );
    const { batchBytes, isOwnershipChecked, redistributePercent, sizeBytesMax, writeFlushMs } = config.swarm;
    this.#legacy = new LegacyEngine(durable.store, {
      ...legacyDefaults,
      batchBytes,
      arrayBytesMax: Math.max(legacyDefaults.arrayBytesMax, batchBytes),
      isOwnershipChecked,
      redistributePercent,
      sizeBytesMax,
    });
    this.#legacy.range = range;
    this.#range = range;
    this.#redistribution = new Redistribution({
      net,
      clock,
      log: log.child("redistribution"),
      engine: this.#legacy,
      durable,
      saveRange: (next) => keepHashRange(context, this.#config.hashRange, next),
    });
    this.#legacyPort = new LegacyPort({
      net,
      clock,
      log: log.child("swarm"),
      tls,
      host: config.host,
      port: config.port,
      durable,
      gate,
      engine: this.#legacy,
      writeFlushMs,
      limits: () => this.#limitsBeside(this.#port.connections),
      onRedistribute: (request) => {
        this.#redistribution.start(request, this.#range);
        this.#range = this.#legacy.range;
      },
    });
    this.#addMetrics();
  }

  #effectiveLimits(config: DhtConfig): RespLimits {
    const connections = allowedConnections(config);
    if (connections < config.limits.connections) {
      this.#context.log.warn(
        `only ${connections} connections are served: the limit on open files allows no more`,
        {
          configured: config.limits.connections,
          hint: `set LimitNOFILE=${config.limits.connections + RESERVED_FILES} in the unit, or raise \`ulimit -n\``,
        },
      );
    }
    return { ...config.limits, connections };
  }

  #createService(closeOther: ConstructorParameters<typeof RespService>[1]): RespService {
    const { clock, random } = this.#context;
    return new RespService(
      {
        version: buildInfo.version,
        runId: createHash("sha1").update(random.bytes(20)).digest("hex"),
        processId: process.pid,
        configFile: "",
        port: () => this.#respPort,
        startedAtMs: clock.nowMs(),
        clock,
        engine: this.#engine,
        latency: this.#latency,
        password: () => this.#password,
        parameters: this.#parameters(),
        rewriteLog: () => this.#durable.requestCompaction(),
        info: () => this.#info(),
      },
      closeOther,
    );
  }

  /** The limits for one port while clients of the other are connected. */
  #limitsBeside(otherConnections: number) {
    const limits = this.#limits;
    return { ...limits, connections: Math.max(0, limits.connections - otherConnections) };
  }

  async listen(): Promise<void> {
    this.#context.announcePort("port", await this.#legacyPort.listen());
    if (this.#config.respPort === null) return;
    this.#respPort = await this.#port.listen();
    this.#context.announcePort("respPort", this.#respPort);
  }

  refuseWrites(text: string | undefined): void {
    this.#engine.refuseWrites(text);
    this.#legacy.refuseWrites(text !== undefined);
  }

  onLogDrain(): void {
    this.#port.onLogDrain();
    this.#legacyPort.onLogDrain();
  }

  recordSync(durationMs: number): void {
    this.#latency.record("aof-fsync-always", durationMs, this.#context.clock.nowMs());
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  #figures(): DhtFigures {
    const { records, valueBytes, keyBytes } = this.#durable.store.stats();
    const port = this.#port.figures;
    const legacy = this.#legacyPort.figures;
    return {
      bytesSent: port.bytesSent + legacy.bytesSent,
      bytesReceived: port.bytesReceived + legacy.bytesReceived,
      recordsHandled: this.#requestsTotal(),
      connections: port.connections + legacy.connections,
      connectionsMax: this.#config.limits.connections,
      records,
      bytes: keyBytes + valueBytes,
      channels: this.#durable.channels(),
    };
  }

  notReady(): string[] {
    const { trouble } = this.#durable;
    return trouble === undefined ? [] : [trouble];
  }

  #requestsTotal(): number {
    return this.#engine.statistics().commandsTotal + this.#legacy.statistics().requestsTotal;
  }

  throughput() {
    return { total: this.#requestsTotal(), unit: "requests" };
  }

  keyFigure(): string {
    return `${thousands(this.#durable.store.stats().records)} records`;
  }

  stats() {
    const { log, dump, compactions } = this.#durable.figures;
    return {
      ...this.#durable.store.stats(),
      ...this.#engine.statistics(),
      ...this.#port.figures,
      durability: this.#config.durability,
      hashRange: { ...toText(this.#legacy.range) },
      swarm: { ...this.#legacy.statistics(), ...this.#legacy.size(), ...this.#legacyPort.figures },
      channels: this.#figures().channels.map((channel) => ({ ...channel })),
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
      hashRange: toText(this.#legacy.range),
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
      refusedConnections: () => this.#port.figures.refused + this.#legacyPort.figures.refused,
      isRefusingWrites: () => this.#durable.refusal !== undefined,
      commands: () => {
        const statistics = this.#engine.statistics();
        return {
          total: this.#requestsTotal(),
          errors: statistics.errorsTotal + this.#legacy.statistics().errorsTotal,
          hits: statistics.keyspaceHits,
          misses: statistics.keyspaceMisses,
        };
      },
    });
  }

  /** What only the role knows for INFO; the rest comes from the service. */
  #info(): InfoSection[] {
    const { memoryBytes, memoryPeakBytes, expired } = this.#durable.store.stats();
    const { log, dump, compactions } = this.#durable.figures;
    const isLogged = log !== undefined;
    return [
      {
        name: "memory",
        fields: {
          used_memory: memoryBytes,
          used_memory_peak: memoryPeakBytes,
          maxmemory: this.#config.limits.memoryBytesMax,
          maxmemory_policy: "noeviction",
        },
      },
      {
        name: "persistence",
        fields: {
          loading: 0,
          aof_enabled: isLogged ? 1 : 0,
          aof_rewrite_in_progress: log?.isCompacting === true ? 1 : 0,
          aof_last_write_status: this.#durable.refusal === undefined ? "ok" : "err",
          aof_current_size: (log?.logBytes ?? 0) + (log?.snapshotBytes ?? 0),
          aof_base_size: log?.snapshotBytes ?? 0,
          compactions,
          rdb_bgsave_in_progress: dump?.isDumping === true ? 1 : 0,
          rdb_last_save_time: Math.floor((dump?.lastDumpAtMs ?? 0) / 1000),
          rdb_last_bgsave_status: dump?.failure === undefined ? "ok" : "err",
        },
      },
      {
        name: "stats",
        fields: {
          total_net_input_bytes: this.#port.bytesReceived,
          total_net_output_bytes: this.#port.bytesSent,
          rejected_connections: this.#port.figures.refused,
          expired_keys: expired,
          evicted_keys: 0,
        },
      },
    ];
  }

  /** CONFIG GET under Redis' names. What can be set at run time is set through the configuration file and SIGHUP. */
  #parameters(): ConfigParameter[] {
    const shown = (name: string, get: () => string | number): ConfigParameter => ({
      name,
      get: () => String(get()),
    });
    const limits = () => this.#config.limits;
    return [
      shown("appendfsync", () => "always"),
      shown("appendonly", () => (this.#config.durability === "log" ? "yes" : "no")),
      shown("bind", () => this.#config.host),
      shown("databases", () => 16),
      shown("dir", () => this.#context.dataDir),
      shown("maxclients", () => this.#limits.connections),
      shown("maxmemory", () => limits().memoryBytesMax),
      shown("maxmemory-policy", () => "noeviction"),
      shown("port", () => this.#respPort),
      shown("proto-max-bulk-len", () => limits().valueBytesMax),
      shown("save", () => ""),
      shown("timeout", () => Math.ceil(limits().idleTimeoutMs / 1000)),
      {
        name: "latency-monitor-threshold",
        get: () => String(this.#latency.thresholdMs),
        set: (value) => {
          if (!/^\d{1,12}$/.test(value)) return "argument couldn't be parsed into an integer";
          this.#latency.thresholdMs = Number(value);
          return undefined;
        },
      },
    ];
  }

  // --- life ------------------------------------------------------------------------------------------------------

  reload(config: DhtConfig): void {
    this.#password = passwordOf(config);
    this.#engine.configure(engineSettings(config, this.#seed));
    this.#durable.setMemoryLimit(config.limits.memoryBytesMax);
    this.#config = config;
    this.#limits = this.#effectiveLimits(config);
  }

  async drain(): Promise<void> {
    this.#port.stopListening();
    this.#legacyPort.stopListening();
  }

  async stop(): Promise<void> {
    await this.drain();
    await this.#redistribution.stop();
    this.#port.closeAll();
    this.#legacyPort.closeAll();
    // Sockets report their end in a later turn, and the engine must see each before it goes.
    await new Promise<void>((resolve) => this.#context.clock.endOfTurn(resolve));
    this.#engine.close();
    this.#legacy.close();
    await this.#durable.close();
  }
}

function passwordOf(config: DhtConfig): string | undefined {
  return config.passwordFile === undefined ? undefined : readSecret("passwordFile", config.passwordFile);
}

export const dht = defineRole({
  ...dhtAbout,
  bench: () => import("./bench.ts"),
  async start(context) {
    const { config, log, fatal, progress } = context;
    let node: DhtNode | undefined;
    let gate: ReplyGate | undefined;
    const syncs = context.metrics.histogram("node_x_dht_sync_seconds", "Writing and syncing one group.");
    const range = await loadHashRange(context.disk, context.dataDir, config.hashRange, log);
    const durable = await DurableStore.open({
      world: context,
      log: log.child("store"),
      dataDir: context.dataDir,
      mode: config.durability,
      memoryBytesMax: config.limits.memoryBytesMax,
      compaction: config.compaction,
      dump: { ...config.dump, hashRange: toText(range) },
      onDurable: () => gate?.onProgress(),
      onDrain: () => node?.onLogDrain(),
      onRefusal: (text) => {
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
    node = new DhtNode(context, durable, gate, range);
    if (durable.refusal !== undefined) node.refuseWrites(REFUSAL);
    await node.listen();
    return node;
  },
});
