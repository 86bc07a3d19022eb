/**
 * The frontend role: what clients of the transactional store connect to. It coordinates their transactions over the shards
 * and settles what frontends that died left behind.
 *
 * Invariant: keeps nothing that must survive: any other frontend can take over at any moment.
 */
import type { z } from "zod";
import { HTTPException } from "hono/http-exception";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { readSecret } from "../../core/secret-file.ts";
import { type HttpServer, serveHttp } from "../../core/sockets/serve-http.ts";
import { addressesOf, peerTlsOf } from "../group-role.ts";
import { GroupClient } from "../replication/group-client.ts";
import { shardGroup } from "../shard/role.ts";
import { TimestampClient } from "../tss/client.ts";
import { TSS_GROUP } from "../tss/role.ts";
import { Backend } from "./backend.ts";
import { frontendAbout, type frontendConfig } from "./config.ts";
import { frontendApp, type HttpFigures } from "./http.ts";
import { Settler } from "./settler.ts";

type FrontendConfig = z.output<typeof frontendConfig>;

const STOP_MS = 2000;
/** How often it asks for a timestamp to know whether the group answers. */
const PROBE_MS = 1000;

class Frontend implements RunningRole<FrontendConfig> {
  readonly #context: RoleContext<FrontendConfig>;
  readonly #groups: GroupClient[];
  readonly #backend: Backend;
  readonly #settler: Settler;
  readonly #figures: HttpFigures = { requests: 0, committed: 0, refused: {} };
  #server: HttpServer | undefined;
  #trouble: string | undefined = "the timestamp server has not answered yet";
  readonly #probe;

  constructor(context: RoleContext<FrontendConfig>) {
    const { config, clock, log } = context;
    const tls = peerTlsOf(context, config.peerCa);
    const token = config.tokenFile === undefined ? undefined : readSecret("tokenFile", config.tokenFile);
    const client = (group: string, addresses: readonly string[]) =>
      new GroupClient({
        world: context,
        group,
        replicas: addressesOf(addresses),
        timeoutMs: config.requestTimeoutMs,
        ...(token !== undefined && { token }),
        ...(tls !== undefined && { tls }),
      });
    const tss = client(TSS_GROUP, config.timestampServers);
    const shards = config.shards.map((addresses, shard) => client(shardGroup(shard), addresses));
    this.#context = context;
    this.#groups = [tss, ...shards];
    this.#backend = new Backend(shards, new TimestampClient(tss));
    this.#settler = new Settler(this.#backend, clock, log.child("settler"), config.settleAfterMs);
    this.#probe = clock.every(PROBE_MS, () => void this.#ask());
    void this.#ask();
  }

  async #ask(): Promise<void> {
    try {
      await this.#backend.nextTimestamp();
      this.#trouble = undefined;
    } catch (error) {
      this.#trouble = `the timestamp server does not answer: ${(error as Error).message}`;
    }
  }

  listen(): void {
    const { config, clock, log, tls, random, announcePort } = this.#context;
    const { clientTokenFile, host, httpPort, limits } = config;
    const token = clientTokenFile === undefined ? undefined : readSecret("clientTokenFile", clientTokenFile);
    const app = frontendApp(this.#backend, random, token, this.#figures);
    const address = { host, port: httpPort, ...(tls !== undefined && { tls }) };
    this.#server = serveHttp(app, address, clock, log.child("http"), {
      requestBytesMax: limits.requestBytesMax,
    });
    // What a client did wrong is its answer, not a defect of ours.
    app.onError((error, context) => {
      if (error instanceof HTTPException)
        return error.res ?? context.json({ error: error.message }, error.status);
      log.error("a request failed", { path: context.req.path, reason: error.message, stack: error.stack });
      return context.json({ error: "internal error; the log has more" }, 500);
    });
    announcePort("httpPort", this.#server.port);
  }

  notReady = () => (this.#trouble === undefined ? [] : [this.#trouble]);
  stats = () => ({
    frontend: { ...this.#figures, settled: this.#settler.settled, knownTimestamp: this.#backend.known },
  });
  keyFigure = () => `${this.#figures.committed.toLocaleString("en")} commits`;
  throughput = () => ({ total: this.#figures.requests, unit: "requests" });

  async stop(): Promise<void> {
    this.#probe.cancel();
    this.#settler.stop();
    await this.#server?.stop(STOP_MS);
    for (const group of this.#groups) group.close();
  }
}

export const frontend = defineRole({
  ...frontendAbout,
  async start(context) {
    const role = new Frontend(context);
    role.listen();
    return role;
  },
});
