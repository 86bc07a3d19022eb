/**
 * The archive: keeps one base image per volume and a chain of diffs, and restores any clean point of it.
 *
 * Everything it tells a peer to rely on is on disk first. After a crash the volumes are read again; transfers that were
 * under way are repeated by who sent them.
 */
import { resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import { runCommand } from "../../core/kernel/run-command.ts";
import type { Timer } from "../../core/seams/clock.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { restorePoints } from "../algebra/snapshot.ts";
import { parseCompression, snappy } from "../formats/compression.ts";
import { controlProtocols, volumeOf } from "../server/control.ts";
import { NbdServer } from "../nbd/server.ts";
import { peerNet, secureOptionsOf } from "../server/security.ts";
import { RateLimit } from "../wire/rate-limit.ts";
import { WalbServer } from "../server/server.ts";
import { type ArchiveBucket, archiveBucket } from "./bucket/bucket.ts";
import { bucketLag, bucketMetrics } from "./bucket/metrics.ts";
import { archiveCommands } from "./commands.ts";
import { archiveAbout, type ArchiveConfig as Config } from "./config.ts";
import { archiveStatus, archiveTargets, type ArchiveView, volumeStatus } from "./control.ts";
import type { ImageBackEnd } from "./images/back-end.ts";
import { ImageFiles } from "./images/files.ts";
import { LogicalVolumes } from "./images/logical-volumes.ts";
import { Lvm } from "./images/lvm.ts";
import { diffTransfer, fullSync, gatherLatestSnapshots, hashSync } from "./receive.ts";
import { Maintenance } from "./maintenance/maintenance.ts";
import { replicasOf, rulesOf } from "./maintenance/rules.ts";
import { PointExports } from "./point-export.ts";
import { replicationTarget } from "./replication/target.ts";
import { ArchiveVolume, type VolumeWorld } from "./volume.ts";

/** How often sizes of volumes are looked up for NBD clients. */
const POINTS_PERIOD_MS = 1000;

/** Files, unless a volume group is named. */
function imagesOf(
  { disk, clock, config, run = runCommand }: RoleContext<Config>,
  directory: string,
): ImageBackEnd {
  const { volumeGroup, thinPool, deviceDirectory } = config;
  if (volumeGroup === undefined) {
    if (thinPool === undefined) return new ImageFiles(disk, directory);
    throw new NxError("NX_CONFIG_INVALID", "thinPool is of no use without volumeGroup");
  }
  const lvm = new Lvm({ run, clock, disk, volumeGroup, deviceDirectory });
  return new LogicalVolumes(disk, lvm, volumeGroup, thinPool ?? "");
}

class Archive implements RunningRole<Config> {
  readonly #context: RoleContext<Config>;
  readonly #volumes = new Map<string, ArchiveVolume>();
  readonly #server: WalbServer;
  readonly #world: VolumeWorld;
  readonly #directory: string;
  readonly #beginMaintenance: () => Maintenance | undefined;
  #maintenance: Maintenance | undefined;
  readonly #points: PointExports;
  #nbd: NbdServer | undefined;
  #pointTimer: Timer | undefined;
  readonly #bucket: ArchiveBucket | undefined;

  constructor(context: RoleContext<Config>) {
    this.#context = context;
    const { disk, random, clock, net, log, config, instance } = context;
    this.#directory = resolve(context.dataDir, config.baseDir);
    const nodeId = config.nodeId ?? instance;
    this.#points = new PointExports(() => this.#volumes.values(), log);
    this.#bucket = archiveBucket(context, this.#directory, nodeId, () => this.#volumes.values());
    const primary = this.#bucket?.primary;
    this.#world = {
      ...{ disk, random, clock, images: primary?.images ?? imagesOf(context, this.#directory) },
      ...(primary !== undefined && { openParts: (name: string) => primary.openParts(name) }),
    };
    const server = () => this.#server;
    const volume = (name: string) =>
      this.#volumes.get(name) ?? new ArchiveVolume(this.#world, this.#directory, name);
    const { grows, syncBytes } = config;
    const receive = { server, volume, grows, syncBytes, bucket: this.#bucket?.awaited };
    const limit = new RateLimit(clock, () => config.replicateBytesPerSecond);
    const peers = peerNet(net, clock, config);
    const source = { net: peers, clock, nodeId, timeoutMs: config.socketTimeoutMs, limit };
    const compression = parseCompression(config.syncCompression) ?? snappy;
    const { discard, openMax, keepsOneCold, applySleepPercent } = config;
    const jobs = { discard, openMax, keepsOneCold, applySleepPercent };
    const { maintenance, mergeDiffsMax } = config;
    this.#beginMaintenance = () =>
      maintenance &&
      new Maintenance({
        ...{ clock, log, server, jobs, source, intervalMs: maintenance.intervalMs },
        volumes: () => this.#volumes.values(),
        rules: rulesOf(maintenance),
        replicas: replicasOf(maintenance, mergeDiffsMax),
      });
    const view: ArchiveView = {
      nodeId,
      baseDir: this.#directory,
      connectionsMax: config.connectionsMax,
      foregroundMax: config.foregroundMax,
      timeoutSeconds: config.socketTimeoutMs / 1000,
      grows: config.grows,
      keepsOneCold,
      keepAlive: config.keepAlive,
      volumes: this.#volumes,
      volume,
      server,
      volumeGroup: this.#world.images.volumeGroup,
      thinPool: this.#world.images.thinPool,
      processId: process.pid,
    };
    this.#server = new WalbServer({
      ...{ net, clock, log, nodeId, host: config.host, port: config.port, tls: context.tls },
      secure: secureOptionsOf(config, clock.nowMs()),
      keepAlive: config.keepAlive,
      connectionsMax: config.connectionsMax,
      foregroundMax: config.foregroundMax,
      timeoutMs: config.socketTimeoutMs,
      protocols: {
        ...controlProtocols({
          clock,
          server,
          allowsExec: config.allowsExec,
          targets: archiveTargets(view),
          status: (name) => (name === undefined ? archiveStatus(view) : volumeStatus(volume(volumeOf(name)))),
          onShutdown: () => process.kill(process.pid, "SIGTERM"),
        }),
        ...archiveCommands({
          log,
          server,
          volume,
          jobs,
          source,
          compression,
          mergeDiffsMax: config.mergeDiffsMax,
          virtualDiffsMax: config.openVirtualMax,
          onInit: (each) => this.#volumes.set(each.name, each),
          onClear: (each) => this.#volumes.delete(each.name),
        }),
        "dirty-full-sync3": fullSync(receive),
        "dirty-hash-sync2": hashSync(receive),
        "wdiff-transfer": diffTransfer(receive),
        "repl-sync3": replicationTarget(receive),
        "gather-latest-snap": gatherLatestSnapshots(receive),
      },
    });
  }

  async open(): Promise<void> {
    const { disk, announcePort, progress } = this.#context;
    await this.#world.images.check();
    await makeDurableDirectory(disk, this.#directory);
    await this.#bucket?.primary?.open(progress);
    for (const { name, kind } of await disk.list(this.#directory)) {
      if (kind !== "directory" || !/^[0-9A-Za-z-]{1,64}$/.test(name)) continue;
      progress(`reading volume ${name}`);
      const volume = new ArchiveVolume(this.#world, this.#directory, name);
      await volume.load();
      if (volume.state !== "Clear") this.#volumes.set(name, volume);
    }
    announcePort("port", await this.#server.listen());
    if (this.#server.securePort !== undefined) announcePort("securePort", this.#server.securePort);
    this.#maintenance = this.#beginMaintenance();
    this.#bucket?.homes.uploader.start();
    await this.#listenForNbd();
  }

  async #listenForNbd(): Promise<void> {
    const { net, clock, log, tls, config, announcePort } = this.#context;
    const { host, nbdPort, nbdConnectionsMax: connectionsMax } = config;
    if (nbdPort === undefined) return;
    const exports = () => this.#points.all();
    this.#nbd = new NbdServer({ net, clock, log, host, port: nbdPort, tls, connectionsMax, exports });
    const refresh = () =>
      this.#points
        .refresh()
        .catch((error: Error) => log.warn(`sizes cannot be told to NBD clients: ${error.message}`));
    await refresh();
    this.#pointTimer = clock.every(POINTS_PERIOD_MS, () => void refresh());
    announcePort("nbdPort", await this.#nbd.listen());
  }

  notReady(): string[] {
    return [...this.#volumes.values()].flatMap(({ name, trouble }) =>
      trouble === undefined ? [] : [`nothing can be stored of ${name}: ${trouble}`],
    );
  }

  throughput() {
    return { total: this.#server.figures.served, unit: "protocol runs" };
  }

  keyFigure(): string {
    const count = this.#volumes.size;
    const { missingDiffs: behind } = bucketLag(this.#bucket?.homes);
    const bucket = behind === 0 ? "" : `, ${behind} diff${behind === 1 ? "" : "s"} not in the bucket`;
    return `${count} volume${count === 1 ? "" : "s"}${bucket}`;
  }

  stats() {
    const volumes = [...this.#volumes.values()].map(volumeFigures);
    return {
      ...this.#server.figures,
      bucketLagSeconds: bucketLag(this.#bucket?.homes).lagSeconds,
      bucketMissingDiffs: bucketLag(this.#bucket?.homes).missingDiffs,
      ...(this.#bucket !== undefined && { bucket: this.#bucket.homes.stats() }),
      volumes,
    };
  }

  addMetrics(): void {
    const { metrics, clock } = this.#context;
    bucketMetrics(metrics, this.#bucket?.homes);
    const sum = (read: (volume: VolumeFigures) => number) => () =>
      [...this.#volumes.values()].reduce((total, volume) => total + read(volumeFigures(volume)), 0);
    metrics.gauge("node_x_archive_volumes", "Volumes.", () => this.#volumes.size);
    metrics.gauge(
      "node_x_archive_diffs",
      "Diffs of all volumes.",
      sum(({ diffs }) => diffs),
    );
    metrics.gauge(
      "node_x_archive_diff_bytes",
      "Bytes of those.",
      sum(({ diffBytes }) => diffBytes),
    );
    metrics.gauge(
      "node_x_archive_newest_point_age_seconds",
      "Age of the newest point of the volume that is furthest behind; 0 without volumes.",
      () => {
        const times = [...this.#volumes.values()].map((volume) => volumeFigures(volume).newestTime);
        return times.length === 0 ? 0 : Math.max(0, clock.nowMs() / 1000 - Math.min(...times));
      },
    );
  }

  async drain(): Promise<void> {
    this.#server.stopListening();
    this.#nbd?.stopListening();
  }

  async stop(): Promise<void> {
    for (const volume of this.#volumes.values()) volume.stopState = "ForceStopping";
    this.#pointTimer?.cancel();
    this.#nbd?.close();
    await this.#maintenance?.stop();
    await this.#bucket?.homes.stop();
    await this.#server.close();
  }
}

/** Points that `/stats` lists of a volume: the newest ones. */
const POINTS_TOLD = 200;

type VolumeFigures = ReturnType<typeof volumeFigures>;

function volumeFigures(volume: ArchiveVolume) {
  const hasBase = volume.isActive || volume.state === "Stopped";
  const points = hasBase ? restorePoints(volume.base, volume.diffs.all) : [];
  return {
    name: volume.name,
    state: volume.state,
    trouble: volume.trouble,
    diffs: volume.diffs.all.length,
    diffBytes: volume.diffs.all.reduce((sum, { dataBytes }) => sum + dataBytes, 0),
    newestGid: String(volume.newest.to.begin),
    newestTime: volume.newest.timestamp,
    lastDiffTime: volume.lastDiffTime,
    restorable: points.slice(-POINTS_TOLD).map(({ gid, timestamp, isExplicit }) => ({
      gid: String(gid),
      time: timestamp,
      isKept: isExplicit,
    })),
  };
}

export const archive = defineRole({
  ...archiveAbout,
  async start(context) {
    const running = new Archive(context);
    await running.open();
    running.addMetrics();
    return running;
  },
});
