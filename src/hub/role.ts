/**
 * The hub: one web page that shows every instance of a cluster, live.
 *
 * It keeps nothing on disk and asks only admin endpoints, so it can be started, stopped and lost at any time. Instances
 * do not know of it.
 */
import { join, resolve } from "node:path";
import { Hono } from "hono";
import type { z } from "zod";
import { buildInfo } from "../core/build-info.ts";
import { NxError } from "../core/errors.ts";
import type { TlsMaterial } from "../core/seams/net.ts";
import { defineRole, type RoleContext, type RunningRole } from "../core/role.ts";
import { readBounded, readSecret } from "../core/secret-file.ts";
import { keepOpen, serveHttp, type HttpConnection, type HttpServer } from "../core/sockets/serve-http.ts";
import { pageAssets } from "./assets.ts";
import { hubAbout, type hubConfig } from "./config.ts";
import { Scraper, type Target } from "./scraper.ts";
import type { FullMessage, TickMessage } from "./snapshot.ts";
import { Viewers } from "./viewers.ts";

type HubConfig = z.output<typeof hubConfig>;
type Hosted = { Bindings: HttpConnection };

const PEM_BYTES_MAX = 1024 * 1024;
const STOP_MS = 1000;

/** What the configuration's `instances` mean: addresses of admin endpoints, else data directories. */
export function targetsOf(config: HubConfig, tls: TlsMaterial | undefined): Target[] {
  const token =
    config.scrapeTokenFile === undefined ? undefined : readSecret("scrapeTokenFile", config.scrapeTokenFile);
  const ca = config.scrapeCa === undefined ? undefined : readBounded(config.scrapeCa, PEM_BYTES_MAX);
  const credentials = {
    ...(ca !== undefined && { ca }),
    ...(tls !== undefined && { cert: tls.cert, key: tls.key }),
  };
  return config.instances.map((name) => {
    if (!/^https?:\/\//.test(name)) return { name, endpoint: { socket: join(resolve(name), "admin.sock") } };
    const url = URL.parse(name);
    if (url === null) throw new NxError("NX_CONFIG_INVALID", `instances: ${name} is not an address`);
    // A token must not cross a network in the clear.
    const isSafe = url.protocol === "https:" || /^(127\.|localhost$|\[::1\]$)/.test(url.hostname);
    return {
      name,
      endpoint: { url: url.origin, tls: credentials, ...(isSafe && token !== undefined && { token }) },
    };
  });
}

class Hub implements RunningRole<HubConfig> {
  readonly #context: RoleContext<HubConfig>;
  readonly #scraper: Scraper;
  readonly #viewers: Viewers;
  #server: HttpServer | undefined;

  constructor(context: RoleContext<HubConfig>) {
    const { config, clock, tls } = context;
    this.#context = context;
    this.#viewers = new Viewers(() => this.#fullMessage());
    this.#scraper = new Scraper({
      clock,
      periodMs: config.scrapePeriodMs,
      onRound: () => this.#viewers.tick({ instances: this.#scraper.snapshots } satisfies TickMessage),
    });
    this.#scraper.setTargets(targetsOf(config, tls));
    this.#addMetrics();
  }

  async listen(): Promise<void> {
    const { config, clock, log, tls, announcePort } = this.#context;
    await this.#scraper.round();
    const address = { host: config.host, port: config.port, ...(tls !== undefined && { tls }) };
    this.#server = serveHttp(this.#routes() as unknown as Hono, address, clock, log.child("http"));
    announcePort("port", this.#server.port);
  }

  #routes(): Hono<Hosted> {
    const app = new Hono<Hosted>();
    for (const [path, asset] of pageAssets()) app.get(path, (context) => asset.respond(context));
    app.get("/api/instances", (context) =>
      context.json(this.#scraper.snapshots, 200, { "cache-control": "no-store" }),
    );
    app.get("/api/events", (context) => {
      const stream = this.#viewers.open();
      if (stream === undefined) return context.text("too many pages are open\n", 503);
      keepOpen(context.env, context.req.raw);
      return new Response(stream, {
        headers: {
          "content-type": "text/event-stream",
          "cache-control": "no-store",
          "x-accel-buffering": "no",
        },
      });
    });
    app.notFound((context) => context.text("there is only one page here: /\n", 404));
    return app;
  }

  #fullMessage(): FullMessage {
    const { instance } = this.#context;
    return {
      hub: { name: instance, version: buildInfo.version, scrapePeriodMs: this.#scraper.periodMs },
      instances: this.#scraper.histories,
    };
  }

  #addMetrics(): void {
    const { metrics } = this.#context;
    metrics.gauge(
      "node_x_hub_instances",
      "Instances that are watched.",
      () => this.#scraper.snapshots.length,
    );
    metrics.gauge("node_x_hub_instances_ready", "Instances that are ready.", () => this.#readyCount());
    metrics.gauge("node_x_hub_pages_open", "Pages that are open.", () => this.#viewers.count);
  }

  #readyCount(): number {
    return this.#scraper.snapshots.filter(({ condition }) => condition === "ready").length;
  }

  /** The page works whatever the instances do. */
  notReady = () => [];
  keyFigure = () => `${this.#readyCount()} of ${this.#scraper.snapshots.length} instances ready`;
  stats = () => ({
    instances: this.#scraper.snapshots.length,
    instancesReady: this.#readyCount(),
    pagesOpen: this.#viewers.count,
  });
  statsLine = () =>
    `instances:${this.#scraper.snapshots.length} instances_ready:${this.#readyCount()} pages_open:${this.#viewers.count}`;

  reload(config: HubConfig): void {
    this.#scraper.setTargets(targetsOf(config, this.#context.tls));
    this.#scraper.setPeriod(config.scrapePeriodMs);
  }

  async stop(): Promise<void> {
    this.#scraper.close();
    this.#viewers.close();
    await this.#server?.stop(STOP_MS);
  }
}

export const hub = defineRole({
  ...hubAbout,
  async start(context) {
    const hub = new Hub(context);
    try {
      await hub.listen();
    } catch (error) {
      await hub.stop();
      throw error;
    }
    return hub;
  },
});
