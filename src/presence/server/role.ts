/**
 * The presence server: regserver and lookup, or both in one process.
 *
 * The event loop serves HTTP and the log; scanning and building happen on threads (scan-pool.ts). What it keeps: the
 * registrations of the next epoch (registration-log.ts) and the newest databases (databases.ts).
 */
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import type { Hono } from "hono";
import { defineRole, type Role, type RoleContext, type RunningRole } from "../../core/role.ts";
import { serveHttp, type HttpServer } from "../../core/sockets/serve-http.ts";
import { lookupAbout, regserverAbout, type PresenceConfig } from "./config.ts";
import { Databases } from "./databases.ts";
import { Registrar } from "./registrar.ts";
import { presenceRoutes, type RouteFigures } from "./routes.ts";
import { ScanPool } from "./scan-pool.ts";
import { Signer } from "./signer.ts";
import { Upstream } from "./upstream.ts";

const STOP_MS = 1000;
const THREADS_MAX = 8;
/** One pass makes at most so many bytes of answers; they are copied on the event loop. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const IDLE_SECONDS_MAX = 255;

class PresenceServer implements RunningRole<PresenceConfig> {
  readonly #context: RoleContext<PresenceConfig>;
  readonly #routeFigures: RouteFigures = {
    ...{ requests: 0, lookups: 0, queries: 0, downloads: 0, malformed: 0, errors: 0 },
  };
  readonly #pool: ScanPool;
  #databases!: Databases;
  #registrar: Registrar | undefined;
  #upstream: Upstream | undefined;
  #signer: Signer | undefined;
  #server: HttpServer | undefined;
  #statsBefore = 0;

  constructor(context: RoleContext<PresenceConfig>) {
    this.#context = context;
    const { pirThreads, limits } = context.config;
    this.#pool = new ScanPool({
      threads: pirThreads === 0 ? Math.min(THREADS_MAX, cpus().length) : pirThreads,
      waitingMax: limits.lookupsWaitingMax,
      answerBytesMax: ANSWER_BYTES_MAX,
    });
  }

  async start(): Promise<void> {
    const { config, clock, log, tls, announcePort } = this.#context;
    await this.#openDatabases();
    if (config.isRegServer) await this.#openRegistrar();
    else {
      this.#upstream = new Upstream({
        world: this.#context,
        config,
        databases: this.#databases,
        log: log.child("upstream"),
      });
      this.#upstream.start();
    }
    const app = presenceRoutes({
      config,
      databases: this.#databases,
      registrar: this.#registrar,
      upstream: this.#upstream,
      pool: this.#pool,
      signer: config.protocol === 3 ? this.#signer?.publicKey : undefined,
      figures: this.#routeFigures,
    });
    const address = { host: config.host, port: config.port, ...(tls !== undefined && { tls }) };
    const { idleTimeoutMs, requestBytesMax } = config.limits;
    this.#server = serveHttp(app as unknown as Hono, address, clock, log.child("http"), {
      requestBytesMax,
      idleTimeoutSeconds: Math.min(IDLE_SECONDS_MAX, Math.ceil(idleTimeoutMs / 1000)),
    });
    announcePort("port", this.#server.port);
    this.#addMetrics();
  }

  async #openDatabases(): Promise<void> {
    const { config, dataDir, log } = this.#context;
    this.#databases = await Databases.open({
      world: this.#context,
      directory: dataDir,
      version: config.protocol,
      retain: config.retainEpochs,
      log: log.child("databases"),
      onRetired: ({ path }) => this.#pool.forget(path),
    });
  }

  async #openRegistrar(): Promise<void> {
    const { config, dataDir, log, fatal, progress } = this.#context;
    this.#signer = await Signer.open(this.#context, dataDir, config.signingKeyFile);
    progress("making the current epoch's database");
    this.#registrar = await Registrar.open({
      world: this.#context,
      config,
      registrationsBytesMax: config.limits.registrationsBytesMax,
      directory:
        config.registrationsDir === undefined
          ? join(dataDir, "registrations")
          : resolve(config.registrationsDir),
      databases: this.#databases,
      signer: this.#signer,
      log: log.child("registrar"),
      build: (spec, chunks) => this.#pool.build({ spec, chunks }),
      onFatal: fatal,
    });
  }

  notReady(): string[] {
    const { trouble } = this.#registrar ?? {};
    if (trouble !== undefined) return [trouble];
    // A lookup server that has a database serves it, whatever the registration server does.
    if (this.#databases.newest !== undefined) return [];
    return [this.#upstream?.trouble ?? "there is no database yet"];
  }

  throughput() {
    return { total: this.#routeFigures.requests, unit: "requests" };
  }

  keyFigure(): string {
    const epoch = this.#registrar?.epoch ?? this.#databases.newest;
    return epoch === undefined ? "no database yet" : `epoch ${epoch}`;
  }

  stats() {
    const registrar = this.#registrar;
    return {
      ...this.#routeFigures,
      epochSeconds: this.#context.config.epochSeconds,
      epoch: registrar?.epoch ?? this.#upstream?.epoch ?? null,
      epochsServed: this.#databases.epochs(),
      databaseBytes: this.#databases.get(this.#databases.newest ?? -1)?.bytes ?? 0,
      scans: { ...this.#pool.figures, waiting: this.#pool.waiting },
      registrations: registrar && {
        ...registrar.figures,
        pendingBytes: registrar.pendingBytes,
        log: { ...registrar.logStats },
      },
      upstream: this.#upstream && { ...this.#upstream.figures, trouble: this.#upstream.trouble ?? null },
    };
  }

  statsLine(): string {
    const { requests, lookups, queries, malformed, errors } = this.#routeFigures;
    const handled = requests - this.#statsBefore;
    this.#statsBefore = requests;
    const registrations = this.#registrar?.figures.registrations ?? 0;
    return `requests:${handled} lookups_total:${lookups} queries_total:${queries} registrations_total:${registrations} malformed_total:${malformed} errors_total:${errors}`;
  }

  #addMetrics(): void {
    const { metrics } = this.#context;
    const figures = this.#routeFigures;
    const counters = {
      requests: "Requests served.",
      lookups: "Lookups served.",
      queries: "PIR queries answered.",
      downloads: "Whole databases sent.",
      malformed: "Bodies that were not what the protocol allows.",
      errors: "Requests refused.",
    } as const;
    for (const [name, help] of Object.entries(counters))
      metrics.counterFrom(`node_x_presence_${name}_total`, help, () => figures[name as keyof RouteFigures]);
    metrics.counterFrom(
      "node_x_presence_scans_total",
      "Passes over a database.",
      () => this.#pool.figures.scans,
    );
    metrics.counterFrom(
      "node_x_presence_registrations_total",
      "Registrations acknowledged.",
      () => this.#registrar?.figures.registrations ?? 0,
    );
    metrics.gauge("node_x_presence_epoch", "The newest epoch served.", () => this.#databases.newest ?? 0);
    metrics.gauge(
      "node_x_presence_lookups_waiting",
      "Lookups that wait for a thread.",
      () => this.#pool.waiting,
    );
  }

  async drain(): Promise<void> {
    await this.#server?.stop(STOP_MS);
    this.#server = undefined;
  }

  async stop(): Promise<void> {
    await this.drain();
    this.#upstream?.close();
    this.#pool.close();
    await this.#registrar?.close();
  }
}

function definePresenceRole(about: typeof regserverAbout): Role {
  return defineRole({
    ...about,
    async start(context) {
      const server = new PresenceServer(context);
      try {
        await server.start();
      } catch (error) {
        await server.stop();
        throw error;
      }
      return server;
    },
  });
}

export const regserver = definePresenceRole(regserverAbout);
export const lookup = definePresenceRole(lookupAbout);
