/**
 * The shard role: one replica of a group that keeps the versions of its keys (service.ts). Frontends talk to it; clients do not.
 */
import type { z } from "zod";
import type { Metrics } from "../../core/metrics.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { readBounded, readSecret } from "../../core/secret-file.ts";
import { callerTlsOf } from "../../core/sockets/tls.ts";
import { addGroupMetrics, addressesOf, type GroupConfig, openGroupNode, openGroupPort } from "../group-role.ts"; // prettier-ignore
import { GroupClient } from "../replication/group-client.ts";
import type { GroupNode } from "../replication/group-node.ts";
import type { GroupPort } from "../replication/group-port.ts";
import { shardAbout, type shardConfig, type versionKeys } from "./config.ts";
import { keysOf, preload } from "./preload.ts";
import { FORGET_NOTHING } from "./retention.ts";
import { RetentionKeeper } from "./retention-keeper.ts";
import { ShardService, shardDefaults } from "./service.ts";

type ShardConfig = z.output<typeof shardConfig>;

const PRELOAD_BYTES_MAX = 256 * 1024 * 1024;

/** The name of a shard's group on the wire. */
export const shardGroup = (shard: number) => `shard${shard}`;

type VersionConfig = GroupConfig & z.output<z.ZodObject<typeof versionKeys>>;

/** One replica of a shard, with the port that it may share. */
export class ShardServer implements RunningRole<GroupConfig> {
  readonly node: GroupNode;
  readonly #service: ShardService;
  readonly #port: GroupPort;
  readonly #keeper: RetentionKeeper;

  private constructor(service: ShardService, node: GroupNode, port: GroupPort, keeper: RetentionKeeper) {
    this.#service = service;
    this.node = node;
    this.#port = port;
    this.#keeper = keeper;
  }

  static async start(
    context: RoleContext<VersionConfig>,
    shard: number,
    port: GroupPort = openGroupPort(context),
  ): Promise<ShardServer> {
    const { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs, batch } = context.config;
    // What this file says counts when the group was told so (retention-keeper.ts).
    const service = new ShardService({ ...shardDefaults, ...FORGET_NOTHING });
    const group = shardGroup(shard);
    const node = await openGroupNode(context, "shard", { machine: service, group, port, batch });
    addGroupMetrics(context.metrics, "shard", node);
    const keeper = new RetentionKeeper({
      world: context,
      log: context.log.child("retention"),
      group,
      replica: node,
      isPrimary: () => node.driver.status.isPrimary,
      current: () => service.state.retention,
      own: { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs },
    });
    addShardMetrics(context.metrics, service, keeper);
    return new ShardServer(service, node, port, keeper);
  }

  /** Ready when these are done. */
  #loading: GroupClient | undefined;
  #isStopped = false;

  /** Gives an empty shard the keys of a file. */
  preload(group: GroupClient, keys: readonly Uint8Array[]): void {
    this.#loading = group;
    void preload(group, keys, () => this.#isStopped).finally(() => {
      group.close();
      this.#loading = undefined;
    });
  }

  notReady = () => [
    ...this.node.notReady(),
    ...(this.#loading === undefined ? [] : ["the keys of preloadFile are being loaded"]),
  ];
  stats = () => ({ shard: this.#service.stats, ...this.node.stats() });
  keyFigure = () => `${this.#service.versions.stats().keys.toLocaleString("en")} keys`;
  throughput = () => ({ total: this.#service.figures.commits, unit: "commits" });

  statsLine(): string {
    const { view, commit, isPrimary } = this.node.driver.status;
    const { keys, versions, commits, prepared } = this.#service.stats;
    return (
      `keys:${keys} versions:${versions} commits:${commits} prepared:${prepared} ` +
      `view:${view} commit:${commit} is_primary:${isPrimary ? 1 : 0}`
    );
  }

  reload({ limits }: GroupConfig): void {
    this.#port.limits = limits;
  }

  drain(): Promise<void> {
    return this.node.drain();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#loading?.close();
    this.#keeper.stop();
    await this.node.stop();
    this.#service.close();
  }
}

function addShardMetrics(metrics: Metrics, service: ShardService, keeper: RetentionKeeper): void {
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(`node_x_shard_${name}`, help, read);
  gauge("keys", "Keys with a version.", () => service.versions.stats().keys);
  gauge("versions", "Versions of all keys.", () => service.versions.stats().versions);
  gauge("memory_bytes", "Memory of keys and versions.", () => service.versions.stats().memoryBytes);
  metrics.counterFrom("node_x_shard_commits_total", "Transactions committed.", () => service.figures.commits);
  for (const reason of Object.keys(service.figures.aborts) as (keyof typeof service.figures.aborts)[])
    metrics.counterFrom(
      "node_x_shard_aborts_total",
      "Transactions refused at the vote.",
      () => service.figures.aborts[reason],
      { reason },
    );
  gauge("prepared", "Transactions that are voted for and not decided.", () => service.state.prepared.size);
  gauge("retention_differs", "1 where this replica's file says another retention than the primary's.", () =>
    keeper.differs ? 1 : 0,
  );
}

export const shard = defineRole({
  ...shardAbout,
  async start(context) {
    const server = await ShardServer.start(context, context.config.shard);
    const keys = preloadedKeys(context.config);
    if (keys.length > 0) server.preload(ownGroup(context), keys);
    return server;
  },
});

function preloadedKeys({
  preloadFile,
  preloadKeys,
  preloadShards,
  shard: number,
}: ShardConfig): Uint8Array[] {
  if (preloadFile === undefined) return [];
  const text = readBounded(preloadFile, PRELOAD_BYTES_MAX);
  return keysOf({ text, count: preloadKeys, shard: number, shards: preloadShards });
}

/** The shard's own group, as a client sees it. */
function ownGroup(context: RoleContext<ShardConfig>): GroupClient {
  const { config } = context;
  const tls = callerTlsOf(context.tls, config.peerCa);
  return new GroupClient({
    world: context,
    group: shardGroup(config.shard),
    replicas: addressesOf(config.replicas),
    ...(config.tokenFile !== undefined && { token: readSecret("tokenFile", config.tokenFile) }),
    ...(tls !== undefined && { tls }),
  });
}
