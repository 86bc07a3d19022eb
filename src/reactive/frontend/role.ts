/**
 * The frontend role: what clients of the transactional store connect to. It hands their transactions to an engine, the store
 * behind it (../engines/), and runs reactive clients again when what they read changes.
 *
 * Invariant: keeps nothing that must survive: any other frontend can take over at any moment.
 */
import type { z } from "zod";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { type HttpServer, serveHttp } from "../../core/sockets/serve-http.ts";
import type { RunningEngine } from "../engines/engine.ts";
import { openEngine } from "../engines/open.ts";
import { servePages } from "../pages.ts";
import { GuardedStore } from "./access/guarded-store.ts";
import { readPrincipals } from "./access/principals.ts";
import { Tables } from "./access/tables.ts";
import { ClientPorts } from "./clients/client-ports.ts";
import { Turns } from "./clients/turns.ts";
import { type clientKeys } from "./client-keys.ts";
import { frontendAbout } from "./config.ts";
import { failureAnswer, frontendApp, type HttpFigures } from "./http.ts";
import { WatchStreams } from "./http-watch.ts";
import { Watching } from "./watches/watching.ts";

/** What it wants to know, whichever role it is in. */
export type FrontendConfig = z.output<z.ZodObject<typeof clientKeys>> & {
  host: string;
  /** Of the client protocol over plain TCP. */
  port?: number | undefined;
};

const STOP_MS = 2000;
/** How often it asks for a timestamp, to know whether the store answers and to tell clients that they miss nothing. */
const PROBE_MS = 1000;
/** A store that answers no probe for so long is not ready: longer than it takes to have another primary. */
const SILENT_MS = 5000;
const noFailures = () => ({ welcomed: 0, denied: 0, revoked: 0, garbled: 0, failures: {} });

/** Serves clients of an engine, which ends with it. */
export class Frontend implements RunningRole<FrontendConfig> {
  readonly #context: RoleContext<FrontendConfig>;
  readonly #running: RunningEngine;
  readonly #store: GuardedStore;
  readonly #watching: Watching;
  readonly #principals;
  readonly #turns: Turns;
  readonly #ports: ClientPorts;
  readonly #streams: WatchStreams;
  readonly #http: HttpFigures = { requests: 0 };
  readonly #clients = noFailures();
  /** The last configuration's. */
  #limits: FrontendConfig["limits"];
  #server: HttpServer | undefined;
  #trouble: string | undefined = "the store has not answered yet";
  /** Watchers miss nothing that was committed before this moment. */
  #toldUpToMs: number;
  /** When the store last answered a probe. */
  #answeredAtMs: number;
  readonly #probe;

  /** Throws NX_SECRET_UNUSABLE, NX_LISTEN_IN_USE, NX_LISTEN_DENIED. */
  static async start(context: RoleContext<FrontendConfig>, running: RunningEngine): Promise<Frontend> {
    let started: Frontend | undefined;
    try {
      started = new Frontend(context, running);
      await started.#listen();
      return started;
    } catch (error) {
      if (started === undefined) running.stop();
      await started?.stop();
      throw error;
    }
  }

  private constructor(context: RoleContext<FrontendConfig>, running: RunningEngine) {
    const { config, clock } = context;
    this.#principals = readPrincipals(config);
    this.#context = context;
    this.#toldUpToMs = clock.monotonicMs();
    this.#answeredAtMs = this.#toldUpToMs;
    this.#limits = config.limits;
    this.#running = running;
    const { engine } = running;
    this.#store = new GuardedStore(engine, new Tables(config.tables));
    this.#watching = new Watching(engine, clock);
    this.#turns = new Turns(clock);
    this.#ports = this.#openPorts();
    this.#streams = new WatchStreams(this.#store, this.#watching, () => this.#limits.connections);
    this.#probe = clock.every(PROBE_MS, () => void this.#ask());
    void this.#ask();
    this.#addMetrics();
  }

  #addMetrics(): void {
    const { metrics } = this.#context;
    const watches = () => this.#watching.figures;
    const gauge = (name: string, help: string, read: () => number) =>
      metrics.gauge(`node_x_frontend_${name}`, help, read);
    const counter = (name: string, help: string, read: () => number) =>
      metrics.counterFrom(`node_x_frontend_${name}_total`, help, read);
    gauge("clients", "Connections of the client protocol.", () => this.#ports.size);
    gauge("watches", "Registered watches.", () => watches().watches);
    gauge("watched_keys", "Keys that somebody watches.", () => watches().watchedKeys);
    counter("changes", "Commits that shards told of while somebody watched.", () => watches().changes);
    counter("runs", "Runs that clients were sent.", () => watches().runs);
    counter("gathered", "Changes that were told together with a later one.", () => watches().gathered);
    gauge(
      "watch_lag_seconds",
      "Age of the newest moment up to which watchers miss nothing: about a second when all is well.",
      () => (this.#context.clock.monotonicMs() - this.#toldUpToMs) / 1000,
    );
    counter("feed_gaps", "Times that a shard no longer had what was asked for.", () => watches().gaps);
    gauge(
      "in_line",
      "Transactions that wait for their turn on keys that others change too.",
      () => this.#turns.figures.members,
    );
    counter("turns_lapsed", "Turns that their client did not use.", () => this.#turns.figures.lapsed);
    counter("requests", "Requests over HTTP.", () => this.#http.requests);
    counter("settled", "Transactions settled for frontends that died.", () => this.#running.settled);
    counter("commits", "Transactions that were committed.", () => this.#store.figures.committed);
  }

  #openPorts(): ClientPorts {
    const { config, clock, net, log, tls } = this.#context;
    const limits = () => this.#limits;
    return new ClientPorts({
      world: { clock, net },
      log: log.child("clients"),
      tls,
      allowedOrigins: config.allowedOrigins,
      limits,
      shared: {
        store: this.#store,
        watching: this.#watching,
        turns: this.#turns,
        principals: this.#principals,
        clock,
        log: log.child("clients"),
        limits,
        figures: this.#clients,
      },
    });
  }

  async #ask(): Promise<void> {
    const askedAtMs = this.#context.clock.monotonicMs();
    try {
      const issued = await this.#running.engine.nextTimestamp();
      this.#trouble = undefined;
      await this.#watching.poll(issued);
      this.#answeredAtMs = this.#context.clock.monotonicMs();
      if (this.#watching.figures.progress >= issued) this.#toldUpToMs = askedAtMs;
    } catch (error) {
      this.#trouble = `the store does not answer: ${(error as Error).message}`;
    }
  }

  async #listen(): Promise<void> {
    const { config, clock, log, tls, random, announcePort } = this.#context;
    const { host, httpPort, port, limits } = config;
    const app = frontendApp(this.#store, random, this.#principals, this.#http, this.#streams);
    servePages(app, config.samples);
    const address = { host, port: httpPort, ...(tls !== undefined && { tls }) };
    this.#server = serveHttp(app, address, clock, log.child("http"), {
      requestBytesMax: limits.requestBytesMax,
      webSocket: this.#ports.seat,
    });
    app.onError((error, context) => failureAnswer(error, context, log.child("http")));
    announcePort("httpPort", this.#server.port);
    if (port !== undefined) announcePort("port", await this.#ports.listen(host, port));
  }

  notReady = () => {
    const { trouble } = this.#running;
    if (trouble !== undefined) return [`the store does not answer: ${trouble}`];
    if (this.#trouble !== undefined) return [this.#trouble];
    // What was asked is only given up after `requestTimeoutMs`.
    const silentMs = this.#context.clock.monotonicMs() - this.#answeredAtMs;
    return silentMs > SILENT_MS ? [`the store has not answered for ${Math.round(silentMs / 1000)} s`] : [];
  };
  stats = () => ({
    frontend: {
      ...this.#http,
      ...this.#store.figures,
      settled: this.#running.settled,
      knownTimestamp: this.#running.engine.known,
    },
    store: { engine: this.#running.name, ...this.#running.engine.capabilities, ...this.#running.stats() },
    clients: { ...this.#ports.figures, streams: this.#streams.size, ...this.#clients },
    watches: this.#watching.figures,
    turns: { ...this.#turns.figures },
  });
  keyFigure = () =>
    `${this.#store.figures.committed.toLocaleString("en")} commits, ${this.#ports.size.toLocaleString("en")} clients`;
  throughput = () => ({ total: this.#http.requests + this.#watching.figures.runs, unit: "requests" });

  /** Tokens are read again too: that is how they are changed. Whoever is in with one that is gone is sent away. */
  reload(config: FrontendConfig): void {
    this.#principals.replaceBy(readPrincipals(config));
    this.#limits = config.limits;
    this.#ports.recheck();
    this.#streams.recheck(this.#principals);
  }

  async drain(): Promise<void> {
    this.#ports.dismiss();
    this.#streams.close();
  }

  async stop(): Promise<void> {
    this.#probe.cancel();
    this.#watching.stop();
    this.#ports.close();
    this.#streams.close();
    await this.#server?.stop(STOP_MS);
    this.#running.stop();
  }
}

export const frontend = defineRole({
  ...frontendAbout,
  start: (context) => Frontend.start(context, openEngine(context)),
});
