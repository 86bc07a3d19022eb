/** The node's Redis half: engine, listener, password, and what INFO and CONFIG GET say of the node. */
import { createHash } from "node:crypto";
import { buildInfo } from "../../core/build-info.ts";
import { readSecret } from "../../core/secret-file.ts";
import { RespEngine, respDefaults, type RespSettings, type RespStatistics } from "../../native/resp.ts";
import type { ConfigParameter, InfoSection } from "../wire/resp/host.ts";
import { LatencyMonitor } from "../wire/resp/latency.ts";
import { RespService } from "../wire/resp/service.ts";
import type { DhtConfig } from "./limits.ts";
import { RespPort } from "../resp-port.ts";
import type { Side, SideFigures, SideOptions } from "./side.ts";

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

function passwordOf(config: DhtConfig): string | undefined {
  return config.passwordFile === undefined ? undefined : readSecret("passwordFile", config.passwordFile);
}

export class RedisSide implements Side {
  readonly #options: SideOptions;
  readonly #engine: RespEngine;
  readonly #port: RespPort;
  readonly #latency = new LatencyMonitor();
  readonly #seed: number;
  #password: string | undefined;
  /** The port that was opened; 0 before. */
  #listeningPort = 0;

  constructor(options: SideOptions) {
    this.#options = options;
    const { context, durable, gate, config, limits } = options;
    const { net, clock, log, tls, random } = context;
    const { host, respPort } = config();
    this.#password = passwordOf(config());
    this.#seed = random.integer(2 ** 31);
    this.#engine = new RespEngine(durable.store, engineSettings(config(), this.#seed));
    this.#port = new RespPort(
      { net, clock, log, tls, host, port: respPort ?? 0, durable, gate, limits },
      (closeOther) => this.#createService(closeOther),
    );
  }

  #createService(closeOther: ConstructorParameters<typeof RespService>[1]): RespService {
    const { context, durable } = this.#options;
    const { clock, random } = context;
    return new RespService(
      {
        version: buildInfo.version,
        runId: createHash("sha1").update(random.bytes(20)).digest("hex"),
        processId: process.pid,
        configFile: "",
        port: () => this.#listeningPort,
        startedAtMs: clock.nowMs(),
        clock,
        engine: this.#engine,
        latency: this.#latency,
        password: () => this.#password,
        parameters: this.#parameters(),
        rewriteLog: () => durable.requestCompaction(),
        info: () => this.#info(),
      },
      closeOther,
    );
  }

  get statistics(): RespStatistics {
    return this.#engine.statistics();
  }

  /** Figures of the listener, for `/stats`. */
  get portFigures() {
    return this.#port.figures;
  }

  get figures(): SideFigures {
    const { commandsTotal, errorsTotal } = this.#engine.statistics();
    return { ...this.#port.figures, requests: commandsTotal, errors: errorsTotal };
  }

  async listen(): Promise<void> {
    const { config, context } = this.#options;
    if (config().respPort === null) return;
    this.#listeningPort = await this.#port.listen();
    context.announcePort("respPort", this.#listeningPort);
  }

  refuseWrites(text: string | undefined): void {
    this.#engine.refuseWrites(text);
  }

  onLogDrain(): void {
    this.#port.onLogDrain();
  }

  /** One group of the log was synced: for LATENCY. */
  recordSync(durationMs: number): void {
    this.#latency.record("aof-fsync-always", durationMs, this.#options.context.clock.nowMs());
  }

  /** Applies the reloadable keys. */
  reload(config: DhtConfig): void {
    this.#password = passwordOf(config);
    this.#engine.configure(engineSettings(config, this.#seed));
  }

  stopListening(): void {
    this.#port.stopListening();
  }

  closeConnections(): void {
    this.#port.closeAll();
  }

  close(): void {
    this.#engine.close();
  }

  /** What only the node knows for INFO; the rest comes from the service. */
  #info(): InfoSection[] {
    const { durable, config } = this.#options;
    const { memoryBytes, memoryPeakBytes, expired } = durable.store.stats();
    const { log, dump, compactions } = durable.figures;
    const port = this.#port.figures;
    return [
      {
        name: "memory",
        fields: {
          used_memory: memoryBytes,
          used_memory_peak: memoryPeakBytes,
          maxmemory: config().limits.memoryBytesMax,
          maxmemory_policy: "noeviction",
        },
      },
      {
        name: "persistence",
        fields: {
          loading: 0,
          aof_enabled: log === undefined ? 0 : 1,
          aof_rewrite_in_progress: log?.isCompacting === true ? 1 : 0,
          aof_last_write_status: durable.refusal === undefined ? "ok" : "err",
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
          total_net_input_bytes: port.bytesReceived,
          total_net_output_bytes: port.bytesSent,
          rejected_connections: port.refused,
          expired_keys: expired,
          evicted_keys: 0,
        },
      },
    ];
  }

  /** CONFIG GET under Redis' names. What can be set at run time is set through the configuration file and SIGHUP. */
  #parameters(): ConfigParameter[] {
    const { config, context, limits } = this.#options;
    const shown = (name: string, get: () => string | number): ConfigParameter => ({
      name,
      get: () => String(get()),
    });
    return [
      shown("appendfsync", () => "always"),
      shown("appendonly", () => (config().durability === "log" ? "yes" : "no")),
      shown("bind", () => config().host),
      shown("databases", () => 16),
      shown("dir", () => context.dataDir),
      shown("maxclients", () => limits().connections),
      shown("maxmemory", () => limits().memoryBytesMax),
      shown("maxmemory-policy", () => "noeviction"),
      shown("port", () => this.#listeningPort),
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
}
