/**
 * The Redis half of a node, whatever it stores: engine, listener, password, and what INFO and CONFIG GET say of the node.
 */
import { createHash } from "node:crypto";
import type { LogStats } from "../core/append-log/options.ts";
import { buildInfo } from "../core/build-info.ts";
import type { RoleContext } from "../core/role.ts";
import type { RestPace } from "../core/seams/turn-rest.ts";
import { readSecret } from "../core/secret-file.ts";
import {
  RespEngine,
  respDefaults,
  type RespEngineState,
  type RespSettings,
  type RespStatistics,
} from "../native/resp.ts";
import type { PortLimits, PortState } from "./gated-port.ts";
import type { ReplyGate } from "./reply-gate.ts";
import { RespPort } from "./resp-port.ts";
import type { Side, SideFigures } from "./side.ts";
import type { ConfigParameter, InfoSection } from "./wire/resp/host.ts";
import { LatencyMonitor } from "./wire/resp/latency.ts";
import { RespService } from "./wire/resp/service.ts";

/** The keys of a role's configuration that this half reads. */
export interface RedisConfig {
  host: string;
  respPort: number | null;
  passwordFile?: string | undefined;
  durability: string;
  limits: PortLimits & { keyBytesMax: number; requestBytesMax: number; memoryBytesMax: number };
}

export interface RedisSideOptions {
  context: Pick<
    RoleContext<unknown>,
    "net" | "clock" | "log" | "tls" | "random" | "dataDir" | "announcePort"
  >;
  durable: PortState & { readonly refusal: string | undefined; requestCompaction(): string | undefined };
  gate: ReplyGate;
  /** What the commands work on. */
  state: RespEngineState;
  /** Current configuration; a reload changes it. */
  config(): RedisConfig;
  /** What this side may use, its clients and those of the others considered. */
  limits(): PortLimits;
  /** Channels that SELECT reaches by number. */
  databases: number;
  /** How its listener rests under load; absent: briefly. */
  restPace?: RestPace;
  /** After each call into the engine: another side may have to look after its clients. */
  onCall?(): void;
  memory(): { usedBytes: number; peakBytes: number };
  /** Keys that were removed because their time had come. */
  expired(): number;
  persistence(): {
    log?: LogStats | undefined;
    compactions: number;
    dump?:
      { isDumping: boolean; lastDumpAtMs?: number | undefined; failure?: string | undefined } | undefined;
  };
}

function engineSettings(config: RedisConfig, seed: number): RespSettings {
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

function passwordOf(config: RedisConfig): string | undefined {
  return config.passwordFile === undefined ? undefined : readSecret("passwordFile", config.passwordFile);
}

export class RedisSide implements Side {
  readonly #options: RedisSideOptions;
  readonly #engine: RespEngine;
  readonly #port: RespPort;
  readonly #latency = new LatencyMonitor();
  readonly #seed: number;
  #password: string | undefined;
  /** The port that was opened; 0 before. */
  #listeningPort = 0;

  constructor(options: RedisSideOptions) {
    this.#options = options;
    const { context, durable, gate, config, limits, state } = options;
    const { net, clock, log, tls, random } = context;
    const { host, respPort } = config();
    this.#password = passwordOf(config());
    this.#seed = random.integer(2 ** 31);
    this.#engine = new RespEngine(state, engineSettings(config(), this.#seed));
    this.#port = new RespPort(
      {
        ...{ net, clock, log, tls, host, port: respPort ?? 0, durable, gate, limits },
        ...(options.restPace !== undefined && { restPace: options.restPace }),
        ...(options.onCall !== undefined && { afterCall: options.onCall }),
      },
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

  /** Another side brought something: serves those who wait for it. */
  onChange(): void {
    this.#port.serveWaiting();
  }

  /** One group of the log was synced: for LATENCY. */
  recordSync(durationMs: number): void {
    this.#latency.record("aof-fsync-always", durationMs, this.#options.context.clock.nowMs());
  }

  /** Applies the reloadable keys. */
  reload(config: RedisConfig): void {
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
    const { usedBytes, peakBytes } = this.#options.memory();
    const { log, dump, compactions } = this.#options.persistence();
    const port = this.#port.figures;
    return [
      {
        name: "memory",
        fields: {
          used_memory: usedBytes,
          used_memory_peak: peakBytes,
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
          expired_keys: this.#options.expired(),
          evicted_keys: 0,
        },
      },
    ];
  }

  /** CONFIG GET under Redis' names. What can be set at run time is set through the configuration file and SIGHUP. */
  #parameters(): ConfigParameter[] {
    const { config, context, limits, databases } = this.#options;
    const shown = (name: string, get: () => string | number): ConfigParameter => ({
      name,
      get: () => String(get()),
    });
    return [
      shown("appendfsync", () => "always"),
      shown("appendonly", () => (config().durability === "log" ? "yes" : "no")),
      shown("bind", () => config().host),
      shown("databases", () => databases),
      shown("dir", () => context.dataDir),
      shown("maxclients", () => limits().connections),
      shown("maxmemory", () => config().limits.memoryBytesMax),
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
