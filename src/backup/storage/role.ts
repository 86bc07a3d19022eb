/**
 * The storage: serves volumes over NBD, logs every write, and ships the logs.
 *
 * What a client was told is in the log; what a proxy has acknowledged is noted in `done`. After a crash each volume's log
 * is redone, and shipping goes on where `done` says.
 */
import { resolve } from "node:path";
import type { z } from "zod";
import { NxError } from "../../core/errors.ts";
import type { Net } from "../../core/seams/net.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { ThreadCalls } from "../../core/threads/thread-calls.ts";
import { parseSize } from "../formats/units.ts";
import { controlProtocols, volumeOf } from "../server/control.ts";
import { peerNet, secureOptionsOf } from "../server/security.ts";
import { WalbServer } from "../server/server.ts";
import { Volumes } from "../volume/volumes.ts";
import { RateLimit } from "../wire/rate-limit.ts";
import { type AddressPort, parseAddress } from "../wire/values.ts";
import { type CommandOptions, stopVolume, storageCommands } from "./commands.ts";
import { storageAbout, type storageConfig } from "./config.ts";
import { storageStatus, storageTargets, type StorageView, volumeStatus } from "./control.ts";
import { storageMetrics, troubles, volumeFigures } from "./figures.ts";
import type { FrameReply, FrameRequest } from "./frame.thread.ts";
import { Lag } from "./lag.ts";
import { Proxies } from "./proxies.ts";
import { Shipper } from "./shipper.ts";
import { StorageVolume } from "./volume.ts";
import { volumeCommand } from "./volume-command.ts";

type Config = z.output<typeof storageConfig>;

function addressOf(text: string): AddressPort {
  const address = parseAddress(text);
  if (address === undefined) throw new NxError("NX_CONFIG_INVALID", `"${text}" is no HOST:PORT of a server`);
  return address;
}

class Storage implements RunningRole<Config> {
  readonly #context: RoleContext<Config>;
  readonly #backups = new Map<string, StorageVolume>();
  readonly #shippers = new Map<StorageVolume, Shipper>();
  readonly #volumes: Volumes;
  readonly #proxies: Proxies;
  readonly #lag: Lag;
  readonly #server: WalbServer;
  /** The network towards archives and proxies. */
  readonly #peers: Net;
  readonly #framer = new ThreadCalls<FrameRequest, FrameReply>("backup/storage/frame.thread.ts");
  readonly #limit: RateLimit;
  readonly #directory: string;
  readonly #nodeId: string;
  readonly #commands: CommandOptions;
  #shipping = 0;
  readonly #turns: (() => void)[] = [];

  constructor(context: RoleContext<Config>) {
    this.#context = context;
    const { disk, random, clock, net, log, config, tls, dataDir } = context;
    this.#directory = resolve(dataDir, config.baseDir);
    this.#limit = new RateLimit(clock, () => config.sendBytesPerSecond);
    this.#nodeId = config.nodeId ?? context.instance;
    const nodeId = this.#nodeId;
    const { host, nbdPort, nbdConnectionsMax, socketTimeoutMs: timeoutMs } = config;
    this.#volumes = new Volumes({ disk, random, clock, log }, resolve(dataDir, config.volumesDir), {
      ...{ net, clock, log, tls, port: nbdPort, connectionsMax: nbdConnectionsMax },
      host: config.nbdHost ?? host,
    });
    this.#volumes.onLog = (name) => this.#onLog(name);
    const archive = addressOf(config.archive);
    const peers = peerNet(net, clock, config);
    this.#peers = peers;
    this.#proxies = new Proxies(
      { net: peers, clock, nodeId },
      config.proxies.map(addressOf),
      config.heartbeatMs,
    );
    const volumes = () => this.#backups.values();
    this.#lag = new Lag({
      net: peers,
      clock,
      nodeId,
      timeoutMs,
      archive,
      intervalMs: config.lagIntervalMs,
      volumes,
    });
    const server = () => this.#server;
    const volume = (name: string) => this.#backups.get(name) ?? this.#newBackup(name);
    const fullScan = { bytesPerSecond: config.fullScanBytesPerSecond };
    this.#commands = {
      ...{
        net: peers,
        clock,
        disk,
        log,
        nodeId,
        timeoutMs,
        archive,
        framer: this.#framer,
        volumes: this.#volumes,
      },
      ...{ server, volume, fullScan, compression: config.syncCompression },
      onInit: (each) => this.#backups.set(each.name, each),
      onClear: (each) => this.#backups.delete(each.name),
      onTarget: (each) => this.#ship(each),
      onNoTarget: (each, isForced) => this.#stopShipping(each, isForced),
      onStillTarget: (each) => this.#shippers.get(each)?.goOn(),
      kick: () => this.#kick(),
      kickVolume: (each) => this.#shippers.get(each)?.kick(),
    };
    const view: StorageView = {
      ...{
        nodeId,
        config,
        archive,
        server,
        volume,
        volumes: this.#backups,
        proxies: this.#proxies,
        lag: this.#lag,
      },
      baseDir: this.#directory,
      fullScanBytesPerSecond: () => fullScan.bytesPerSecond,
      processId: process.pid,
    };
    this.#server = new WalbServer({
      ...{ net, clock, log, nodeId, host, port: config.port, tls, timeoutMs },
      secure: secureOptionsOf(config, clock.nowMs()),
      keepAlive: config.keepAlive,
      connectionsMax: config.connectionsMax,
      foregroundMax: config.foregroundMax,
      protocols: {
        ...controlProtocols({
          clock,
          server,
          allowsExec: config.allowsExec,
          targets: storageTargets(view),
          status: (name) => (name === undefined ? storageStatus(view) : volumeStatus(volume(volumeOf(name)))),
          onShutdown: () => process.kill(process.pid, "SIGTERM"),
        }),
        ...storageCommands(this.#commands),
        volume: volumeCommand({ volumes: this.#volumes, backupsOf: (name) => this.#backupsOf(name) }),
      },
    });
  }

  get #sources() {
    const shipper = (volume: StorageVolume) => this.#shippers.get(volume);
    return { volumes: this.#volumes, backups: this.#backups, shipper, lag: this.#lag };
  }

  #newBackup(name: string): StorageVolume {
    const { disk, random, clock, log, config } = this.#context;
    return new StorageVolume({ disk, random, clock, log }, this.#directory, name, config.shipBytesMax);
  }

  #backupsOf(name: string): StorageVolume[] {
    return [...this.#backups.values()].filter(({ engine }) => engine?.name === name);
  }

  #onLog(name: string): void {
    for (const backup of this.#backupsOf(name)) this.#shippers.get(backup)?.onLog();
  }

  #ship(volume: StorageVolume): void {
    const { clock, log, config } = this.#context;
    const shipper = new Shipper(
      {
        ...{
          net: this.#peers,
          clock,
          log,
          nodeId: this.#nodeId,
          proxies: this.#proxies,
          framer: this.#framer,
        },
        limit: this.#limit,
        timeoutMs: config.socketTimeoutMs,
        shipDelayMs: config.shipDelayMs,
        snapshotIntervalMs: config.snapshotIntervalMs,
        retryMinMs: config.retryMinMs,
        retryMaxMs: config.retryMaxMs,
        inTurn: (work) => this.#inTurn(work),
        onOverflow: (each) => this.#overflowed(each),
      },
      volume,
    );
    this.#shippers.set(volume, shipper);
  }

  async #stopShipping(volume: StorageVolume, isForced: boolean): Promise<void> {
    const shipper = this.#shippers.get(volume);
    await shipper?.stop(isForced);
    if (shipper?.isStopped === true) this.#shippers.delete(volume);
  }

  /** The log was overwritten before it was shipped: nothing of it may be shipped any more. */
  async #overflowed(volume: StorageVolume): Promise<void> {
    this.#context.log.error(`the log of ${volume.name} has overflowed: reset-vol, then hash-bkp`);
    if (volume.state !== "Target") return;
    this.#shippers.delete(volume);
    await stopVolume(this.#commands, volume, false);
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#shipping >= this.#context.config.backgroundMax)
      await new Promise<void>((resolve) => this.#turns.push(resolve));
    this.#shipping += 1;
    try {
      return await work();
    } finally {
      this.#shipping -= 1;
      this.#turns.shift()?.();
    }
  }

  async #kick(): Promise<void> {
    await this.#proxies.check();
    for (const shipper of this.#shippers.values()) shipper.kick();
  }

  async open(): Promise<void> {
    const { disk, announcePort, progress, config, log, metrics } = this.#context;
    await makeDurableDirectory(disk, this.#directory);
    await this.#volumes.openAll(progress);
    for (const { name, size, logSize } of config.volumes) {
      if (this.#volumes.get(name) !== undefined) continue;
      progress(`making volume ${name}`);
      const [bytes, logBytes] = [parseSize(size) ?? 0, parseSize(logSize) ?? 0];
      await this.#volumes.create(name, { bytes, logBytes, physicalBytes: 4096 });
    }
    for (const { name, kind } of await disk.list(this.#directory)) {
      if (kind !== "directory" || !/^[0-9A-Za-z-]{1,64}$/.test(name)) continue;
      const backup = this.#newBackup(name);
      await backup.load();
      if (backup.state === "Clear") continue;
      this.#backups.set(name, backup);
      const engine = this.#volumes.find(backup.path);
      if (engine === undefined) log.error(`${name}: the volume ${backup.path} is not there`);
      else backup.attach(engine);
    }
    storageMetrics(metrics, this.#sources);
    announcePort("nbdPort", await this.#volumes.nbd.listen());
    announcePort("port", await this.#server.listen());
    if (this.#server.securePort !== undefined) announcePort("securePort", this.#server.securePort);
    for (const backup of this.#backups.values())
      if (backup.steadyState === "Target" && backup.engine !== undefined) this.#ship(backup);
    this.#proxies.start();
    this.#lag.start();
  }

  notReady(): string[] {
    return troubles(this.#sources);
  }

  throughput() {
    const figures = volumeFigures(this.#sources);
    return {
      total: figures.reduce((sum, { reads, writes }) => sum + reads + writes, 0),
      unit: "reads and writes",
    };
  }

  keyFigure(): string {
    const count = this.#volumes.all.size;
    return `${count} volume${count === 1 ? "" : "s"}`;
  }

  stats() {
    return {
      ...this.#server.figures,
      nbd: { ...this.#volumes.nbd.table.figures },
      volumes: volumeFigures(this.#sources),
    };
  }

  async drain(): Promise<void> {
    this.#server.stopListening();
    this.#volumes.nbd.stopListening();
  }

  async stop(): Promise<void> {
    this.#proxies.stop();
    this.#lag.stop();
    for (const volume of this.#backups.values()) volume.stopState = "ForceStopping";
    await this.#server.close();
    for (const shipper of this.#shippers.values()) await shipper.stop(true);
    await this.#volumes.close();
    this.#framer.close();
  }
}

export const storage = defineRole({
  ...storageAbout,
  async start(context) {
    const running = new Storage(context);
    try {
      await running.open();
    } catch (error) {
      await running.stop();
      throw error;
    }
    return running;
  },
});
