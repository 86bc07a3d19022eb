/**
 * The hub: one web page that shows every instance of a cluster, live.
 *
 * It asks admin endpoints and keeps graphs only, so it can be started, stopped and lost at any time. Instances do not know of it.
 */
import { join } from "node:path";
import type { Hono } from "hono";
import type { z } from "zod";
import { defineRole, type RoleContext, type RunningRole } from "../core/role.ts";
import { readBounded, readSecret } from "../core/secret-file.ts";
import { serveHttp, type HttpServer } from "../core/sockets/serve-http.ts";
import { Sessions } from "./access/sessions.ts";
import { Actions } from "./actions.ts";
import { ClusterView } from "./cluster-view.ts";
import { hubAbout, type hubConfig } from "./config.ts";
import { Federation } from "./federation/federate.ts";
import { History } from "./history/history.ts";
import { hubRoutes } from "./routes.ts";
import { StreamApplications } from "./stream/applications.ts";
import { MetricsListener } from "./stream/listener.ts";
import { Viewers } from "./viewers.ts";

type HubConfig = z.output<typeof hubConfig>;

const STOP_MS = 1000;
/** Stream workers that may tell what they measured at once. */
const REPORTERS_MAX = 500;
const PEM_BYTES_MAX = 1024 * 1024;

class Hub implements RunningRole<HubConfig> {
  readonly #context: RoleContext<HubConfig>;
  readonly #view: ClusterView;
  readonly #viewers: Viewers;
  readonly #history: History;
  readonly #sessions: Sessions;
  readonly #applications: StreamApplications;
  #reporters: MetricsListener | undefined;
  #config: HubConfig;
  #server: HttpServer | undefined;

  constructor(context: RoleContext<HubConfig>, history: History) {
    const { config, clock, random } = context;
    this.#context = context;
    this.#config = config;
    this.#history = history;
    this.#applications = new StreamApplications(clock);
    const password =
      config.passwordFile === undefined ? undefined : readSecret("passwordFile", config.passwordFile);
    this.#sessions = new Sessions(clock, random, password);
    this.#viewers = new Viewers((view) => this.#view.full(view));
    this.#view = new ClusterView(config, {
      context,
      history,
      streams: this.#applications,
      onRound: () => this.#viewers.tick((view) => this.#view.tick(view)),
    });
    this.#addMetrics();
  }

  async listen(): Promise<void> {
    const { config, clock, log, tls, announcePort } = this.#context;
    await this.#view.start();
    const address = { host: config.host, port: config.port, ...(tls !== undefined && { tls }) };
    const routes = hubRoutes({
      view: this.#view,
      viewers: this.#viewers,
      history: this.#history,
      federation: new Federation(clock, () => this.#view.asked, this.#view.metrics),
      sessions: this.#sessions,
      actions: new Actions(this.#view, this.#context, log.child("actions")),
      host: config.host,
      isSecure: tls !== undefined,
      allowsActions: () => this.#config.allowsActions,
      ca: () =>
        this.#config.scrapeCa === undefined ? undefined : readBounded(this.#config.scrapeCa, PEM_BYTES_MAX),
      nowMs: () => clock.nowMs(),
    });
    this.#server = serveHttp(routes as unknown as Hono, address, clock, log.child("http"));
    announcePort("port", this.#server.port);
    await this.#listenToReporters();
  }

  async #listenToReporters(): Promise<void> {
    const { config, clock, log, net, tls, announcePort } = this.#context;
    if (config.metricsPort === null) return;
    this.#reporters = new MetricsListener({
      ...{ net, clock, tls, log: log.child("reporters"), host: config.host, port: config.metricsPort },
      connectionsMax: REPORTERS_MAX,
      onEntry: (application, entry) => this.#applications.add(application, entry),
    });
    announcePort("metricsPort", await this.#reporters.listen());
  }

  #addMetrics(): void {
    const { metrics } = this.#context;
    const gauge = (name: string, help: string, read: () => number) =>
      metrics.gauge(`node_x_hub_${name}`, help, read);
    gauge("instances", "Instances that are watched.", () => this.#view.watched.length);
    gauge("instances_ready", "Instances that are ready.", () => this.#view.readyCount);
    gauge("pages_open", "Pages that are open.", () => this.#viewers.count);
    gauge("history_bytes", "Bytes of the graphs' file.", () => this.#history.bytes);
  }

  /** The page works whatever the instances do. */
  notReady = () => [];
  keyFigure = () => `${this.#view.readyCount} of ${this.#view.watched.length} instances ready`;
  stats = () => ({
    instances: this.#view.watched.length,
    instancesReady: this.#view.readyCount,
    pagesOpen: this.#viewers.count,
    reporters: this.#reporters?.figures ?? null,
  });
  statsLine = () =>
    `instances:${this.#view.watched.length} instances_ready:${this.#view.readyCount} pages_open:${this.#viewers.count}`;

  async reload(config: HubConfig): Promise<void> {
    await this.#view.reload(config);
    this.#config = config;
  }

  async stop(): Promise<void> {
    this.#view.close();
    this.#viewers.close();
    this.#reporters?.close();
    await this.#server?.stop(STOP_MS);
    this.#history.close();
  }
}

export const hub = defineRole({
  ...hubAbout,
  async start(context) {
    const { clock, disk, log, dataDir, config } = context;
    const path = join(dataDir, "history.sqlite");
    const history = await History.open({ clock, disk, log: log.child("history"), path, ...config.history });
    const hub = new Hub(context, history);
    try {
      await hub.listen();
    } catch (error) {
      await hub.stop();
      throw error;
    }
    return hub;
  },
});
