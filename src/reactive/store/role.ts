/**
 * The store role: a replica of the timestamp servers, one of the only shard and a frontend to both, in one process. What they say to
 * each other are calls instead of messages, so a commit wakes one process instead of three. A replicated store has one on
 * each of its hosts.
 *
 * Invariant: each part keeps what it keeps in a process of its own, in a directory of its own, under the same name on the wire:
 * further frontends may be put beside, and other replicas cannot tell the difference.
 */
import type { z } from "zod";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { openBuiltin } from "../engines/builtin/open.ts";
import { Frontend } from "../frontend/role.ts";
import { openGroupPort } from "../group-role.ts";
import { ShardServer } from "../shard/role.ts";
import { TimestampServer } from "../tss/role.ts";
import { storeAbout, type storeConfig } from "./config.ts";

type StoreConfig = z.output<typeof storeConfig>;

const SHARD = 0;

class Store implements RunningRole<StoreConfig> {
  readonly #tss: TimestampServer;
  readonly #shard: ShardServer;
  readonly #frontend: Frontend;

  constructor(tss: TimestampServer, shard: ShardServer, frontend: Frontend) {
    this.#tss = tss;
    this.#shard = shard;
    this.#frontend = frontend;
  }

  notReady = () => [
    ...this.#tss.notReady().map((reason) => `timestamp server: ${reason}`),
    ...this.#shard.notReady().map((reason) => `shard: ${reason}`),
    ...this.#frontend.notReady(),
  ];
  /** Side by side what the roles of their own say; the group that it names and leads is the shard's. */
  stats = () => ({ ...this.#frontend.stats(), ...this.#shard.stats(), tss: this.#tss.stats() });
  keyFigure = () => `${this.#shard.keyFigure()}, ${this.#frontend.keyFigure()}`;
  throughput = () => this.#frontend.throughput();
  statsLine = () => this.#shard.statsLine();

  reload(config: StoreConfig): void {
    this.#shard.reload(config);
    this.#frontend.reload(withoutPort(config));
  }

  async drain(): Promise<void> {
    await this.#frontend.drain();
    await Promise.all([this.#tss.drain(), this.#shard.drain()]);
  }

  async stop(): Promise<void> {
    await this.#frontend.stop();
    await Promise.all([this.#tss.stop(), this.#shard.stop()]);
  }
}

/** `port` is where the groups are: clients come by HTTP and WebSockets. */
const withoutPort = (config: StoreConfig) => ({ ...config, port: undefined });

/** The same process, with a directory for one part of it. */
function partOf(context: RoleContext<StoreConfig>, name: string): RoleContext<StoreConfig> {
  return { ...context, dataDir: `${context.dataDir}/${name}`, log: context.log.child(name) };
}

async function openFrontend(
  context: RoleContext<StoreConfig>,
  tss: TimestampServer,
  shard: ShardServer,
): Promise<Frontend> {
  const { config } = context;
  const { replicas, replica } = config;
  const engine = openBuiltin(
    { ...context, config: { ...config, timestampServers: replicas, shards: [replicas] } },
    { index: replica, timestampServer: tss.node, shards: [shard.node] },
  );
  return Frontend.start({ ...context, config: withoutPort(config) }, engine);
}

export const store = defineRole({
  ...storeAbout,
  async start(context) {
    const port = openGroupPort(context);
    const parts: { stop(): Promise<void> }[] = [];
    try {
      const tss = await TimestampServer.start(partOf(context, "tss"), port);
      parts.unshift(tss);
      const shard = await ShardServer.start(partOf(context, `shard${SHARD}`), SHARD, port);
      parts.unshift(shard);
      return new Store(tss, shard, await openFrontend(context, tss, shard));
    } catch (error) {
      for (const part of parts) await part.stop();
      throw error;
    }
  },
});
