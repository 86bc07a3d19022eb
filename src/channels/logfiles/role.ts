/**
 * The logfiles node: a store of log records by time that swarm clients and HTTP clients talk to, durable by default.
 *
 * One instance is a store with its log and files (store/), a gate that holds replies until they are durable, and a
 * listener for each protocol. Clients are served on one event loop; files are read, searched and written in a thread
 * beside it.
 */
import { join } from "node:path";
import type { Hono } from "hono";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { LogfilesCommand, LogfilesEngine } from "../../native/logfiles/engine.ts";
import { consoleLine, SlidingRate, StatsLine, thousands, type DhtFigures } from "../dht/figures.ts";
import { foremost } from "../foremost.ts";
import { effectiveLimits, limitsBeside } from "../connection-limits.ts";
import { NeoSide } from "../neo-side.ts";
import { ReplyGate } from "../reply-gate.ts";
import { TextSockets } from "../text-sockets.ts";
import { totalOf } from "../request-figures.ts";
import { SWARM_KEEP_ALIVE } from "../wire/legacy/protocol.ts";
import { logfilesAbout, type LogfilesConfig } from "./config.ts";
import { ClassicLayout } from "./classic/classic-layout.ts";
import { addMetrics } from "./figures.ts";
import { LogfilesNeoEngine, NeoCode } from "./neo-engine.ts";
import { HttpSide } from "./http/http-side.ts";
import { LogfilesPort } from "./legacy-port.ts";
import { SegmentLayout } from "./segments/segment-layout.ts";
import type { Layout } from "./store/layout.ts";
import { LogStore } from "./store/log-store.ts";
import type { RetentionSettings } from "./store/retention.ts";
import { tlsToNodes } from "../tls-to-nodes.ts";
import { Redistributor } from "./redistribute.ts";
import { ThreadWork } from "./work/thread-work.ts";
import type { FileWork } from "./work/work.ts";

type Context = RoleContext<LogfilesConfig>;

/** The longest array of a request; a longer one ends the connection. */
const ARRAY_BYTES_MAX = 10 * 1024 * 1024;
/** The longest value, by the protocol. */
const VALUE_BYTES_MAX = 65_536;
const SEAL_CHECK_MS = 1000;
const RETENTION_CHECK_MS = 10_000;
const PROCESS_MEMORY_UNKNOWN = 0;

class LogfilesNode implements RunningRole<LogfilesConfig> {
  readonly #context: Context;
  readonly #store: LogStore;
  readonly #engine: LogfilesEngine;
  readonly #port: LogfilesPort;
  readonly #neo: NeoSide;
  readonly #sockets: TextSockets;
  readonly #http: HttpSide | undefined;
  readonly #statsLine: StatsLine;
  readonly #rate: SlidingRate;
  #config: LogfilesConfig;
  #limits: LogfilesConfig["limits"];

  constructor(context: Context, store: LogStore, gate: ReplyGate) {
    const { config, net, clock, random, log, tls } = context;
    const { host, port, swarm, hashRange } = config;
    this.#context = context;
    this.#store = store;
    this.#config = config;
    this.#limits = effectiveLimits(config.limits, log);
    this.#rate = new SlidingRate(clock);
    const { channelsMax } = config.limits;
    this.#engine = new LogfilesEngine(store.logs, { arrayBytesMax: ARRAY_BYTES_MAX, channelsMax });
    this.#engine.setRange(BigInt(`0x${hashRange.min}`), BigInt(`0x${hashRange.max}`));
    const redistributor = new Redistributor({
      ...{ store, net, random, log },
      toNodes: tlsToNodes(context),
      batchBytes: swarm.batchBytes,
    });
    this.#port = new LogfilesPort({
      net,
      clock,
      log: log.child("swarm"),
      tls,
      host,
      port,
      backlog: swarm.backlog,
      keepAlive: SWARM_KEEP_ALIVE,
      durable: store,
      gate,
      engine: this.#engine,
      batchBytes: swarm.batchBytes,
      redistributor,
      limits: () => this.#limitsBeside(this.#neo.figures.connections),
    });
    this.#neo = new NeoSide(
      {
        context,
        durable: store,
        gate,
        config: () => this.#config,
        port: config.neoPort,
        limits: () => this.#limitsBeside(this.#port.figures.connections),
        codes: NeoCode,
      },
      new LogfilesNeoEngine(store, channelsMax, clock),
    );
    this.#sockets = new TextSockets(context, this.#neo.credentials);
    const sources = [
      { prefix: "request", names: LogfilesCommand, view: this.#engine.requestFigures } as const,
      this.#neo.requestFigures,
    ];
    this.#statsLine = new StatsLine(sources, {
      handled: () => totalOf(sources, "written"),
      redistributed: () => ({ ...redistributor.figures }),
    });
    if (config.httpPort !== null)
      this.#http = new HttpSide({
        clock,
        log: log.child("http"),
        tls,
        host,
        port: config.httpPort,
        requestBytesMax: config.limits.requestBytesMax,
        channelsMax,
        store,
      });
    this.#addMetrics();
  }

  /** All protocols share the connections. */
  #limitsBeside(others: number) {
    return { ...limitsBeside(this.#limits, others), valueBytesMax: VALUE_BYTES_MAX };
  }

  async listen(): Promise<void> {
    this.onRefusal();
    this.#context.announcePort("port", await this.#port.listen());
    await this.#neo.listen();
    if (this.#http !== undefined) this.#context.announcePort("httpPort", this.#http.listen());
    await this.#sockets.listen();
  }

  onRefusal(): void {
    this.#engine.refuseWrites(this.#store.refusal !== undefined);
  }

  onDrain(): void {
    this.#port.onLogDrain();
    this.#neo.onLogDrain();
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  #figures(): DhtFigures {
    const { records, valueBytes } = this.#store.logs.figures;
    const swarm = this.#port.figures;
    const neo = this.#neo.figures;
    return {
      bytesSent: swarm.bytesSent + neo.bytesSent,
      bytesReceived: swarm.bytesReceived + neo.bytesReceived,
      recordsHandled: this.#store.logs.figures.written,
      connections: swarm.connections + neo.connections,
      neoConnections: neo.connections,
      connectionsMax: this.#limits.connections,
      records,
      bytes: valueBytes,
      channels: this.#store.channels().map(({ name, figures }) => ({
        name,
        records: figures.records,
        bytes: figures.valueBytes,
      })),
    };
  }

  notReady(): string[] {
    const { trouble } = this.#store;
    return trouble === undefined ? [] : [trouble];
  }

  throughput() {
    const { requestsTotal } = this.#engine.statistics();
    return { total: requestsTotal + (this.#http?.requests ?? 0), unit: "requests" };
  }

  keyFigure(): string {
    const { records } = this.#store.logs.figures;
    return `${thousands(records)} record${records === 1 ? "" : "s"}`;
  }

  stats() {
    const { log, ...figures } = this.#store.figures;
    return {
      ...figures,
      durability: this.#config.durability,
      layout: this.#config.layout,
      neo: this.#neo.stats,
      http: { requests: this.#http?.requests ?? 0, followers: this.#http?.followers ?? 0 },
      swarm: { ...this.#engine.statistics(), ...this.#port.figures },
      channelSizes: foremost(this.#store.channels(), ({ figures }) => figures.valueBytes).map((channel) => {
        const { records, valueBytes: bytes } = channel.figures;
        const range = this.#store.keyRange(channel);
        const keys = range && { firstKey: Number(range.keyMin), lastKey: Number(range.keyMax) };
        return { name: channel.name, records, bytes, ...keys };
      }),
      log: log === undefined ? null : { ...log },
    };
  }

  statsLine(): string {
    return this.#statsLine.next(this.#figures());
  }

  consoleLine(): string {
    const { connections, recordsHandled, records, bytes } = this.#figures();
    return consoleLine({
      storage: "LogFiles",
      hashRange: this.#config.hashRange,
      memoryBytesMax: PROCESS_MEMORY_UNKNOWN,
      memoryBytes: this.#store.figures.memoryBytes,
      connections,
      recordsPerSecond: this.#rate.perSecond(recordsHandled),
      records,
      bytes,
      suffix: "",
    });
  }

  #addMetrics(): void {
    addMetrics(this.#context.metrics, {
      store: () => this.#store.figures,
      port: () => this.#port.figures,
      requests: () => this.#engine.statistics(),
      unsyncedBytes: () => this.#store.position - this.#store.durablePosition,
      isRefusingWrites: () => this.#store.refusal !== undefined,
    });
  }

  // --- life ------------------------------------------------------------------------------------------------------

  reload(config: LogfilesConfig): void {
    this.#config = config;
    this.#neo.credentials.reload();
    this.#limits = effectiveLimits(config.limits, this.#context.log);
    this.#store.setRetention(retentionOf(config));
  }

  admin(app: Hono): void {
    this.#neo.credentials.admin(app);
  }

  async drain(): Promise<void> {
    this.#port.stopListening();
    this.#neo.stopListening();
  }

  async stop(): Promise<void> {
    this.#sockets.close();
    await this.drain();
    this.#port.closeAll();
    this.#neo.closeConnections();
    await this.#port.settled();
    await this.#http?.stop();
    await this.#store.close(() => this.#engine.close());
  }
}

function retentionOf({ retention }: LogfilesConfig): RetentionSettings {
  return { ...retention, checkMs: RETENTION_CHECK_MS };
}

function layoutOf({ config, disk, random, log, dataDir }: Context, work: FileWork): Layout {
  const directory = join(dataDir, config.channelsDir);
  if (config.layout === "classic")
    return new ClassicLayout({ disk, log: log.child("buckets"), work, directory });
  const { pageBytes, compressionLevel: level, joinCount, joinBytesMax } = config.segments;
  const settings = { pageBytes, level, joinCount, joinBytesMax };
  return new SegmentLayout({ disk, random, log: log.child("segments"), work, directory, settings });
}

export const logfiles = defineRole({
  ...logfilesAbout,
  async start(context) {
    const { config, log, fatal, progress } = context;
    let node: LogfilesNode | undefined;
    let gate: ReplyGate | undefined;
    const syncs = context.metrics.histogram("node_x_logfiles_sync_seconds", "Writing and syncing one group.");
    const work = new ThreadWork(fatal);
    try {
      const store = await LogStore.open({
        world: context,
        log: log.child("store"),
        dataDir: context.dataDir,
        durability: config.durability,
        layout: layoutOf(context, work),
        work,
        sealing: {
          memtableBytes: config.memory.memtableBytes,
          logBytesMin: config.memory.memtableBytes,
          periodMs: config.memory.flushPeriodSeconds * 1000,
          checkMs: SEAL_CHECK_MS,
        },
        retention: retentionOf(config),
        onDurable: () => gate?.onProgress(),
        onDrain: () => node?.onDrain(),
        onRefusal: () => {
          node?.onRefusal();
          gate?.onProgress();
        },
        onGroup: (durationMs) => syncs.observe(durationMs / 1000),
        onFatal: fatal,
        progress,
      });
      gate = new ReplyGate(store);
      node = new LogfilesNode(context, store, gate);
      await node.listen();
      return node;
    } catch (error) {
      await (node?.stop() ?? work.close());
      throw error;
    }
  },
});
