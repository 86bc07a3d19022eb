/** A whole backup group inside the test's process: storages, proxies, archives, a writer, and the questions of a test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storageConfig } from "../../../src/backup/storage/config.ts";
import { storage } from "../../../src/backup/storage/role.ts";
import { Controller } from "../../../src/backup/client/controller.ts";
import { snappy } from "../../../src/backup/formats/compression.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import { seededRandom, type Random } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import type { World } from "../../../src/core/role.ts";
import { imageHash } from "../hash.ts";
import { contextFor, type Running, running, startArchive, startProxy, VOLUME } from "../servers.ts";
import { NbdClient } from "../../../src/backup/nbd/client.ts";

export const BULK = 65536;

/** A server that is stopped and started again on the same directory and port. */
export class Node {
  readonly name: string;
  readonly #start: (port: number) => Promise<Running & { nbdPort?: number }>;
  #running: (Running & { nbdPort?: number }) | undefined;
  port = 0;

  constructor(name: string, start: (port: number) => Promise<Running & { nbdPort?: number }>) {
    this.name = name;
    this.#start = start;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  async start(): Promise<void> {
    if (this.#running !== undefined) return;
    this.#running = await this.#start(this.port);
    this.port = this.#running.port;
  }

  async stop(): Promise<void> {
    await this.#running?.[Symbol.asyncDispose]();
    this.#running = undefined;
  }

  get controller(): Controller {
    return (this.#running as Running).controller;
  }

  get nbdPort(): number {
    return this.#running?.nbdPort ?? 0;
  }

  get role() {
    return (this.#running as Running).role;
  }
}

export interface StorageOptions {
  directory: string;
  archive: () => number;
  proxies: () => number[];
  config?: Record<string, unknown>;
}

/** Everything happens at once, so that a test takes no time. */
const quick = {
  shipDelayMs: 5,
  snapshotIntervalMs: 1000,
  retryMinMs: 20,
  retryMaxMs: 100,
  heartbeatMs: 200,
  lagIntervalMs: 200,
  connectionsMax: 50,
};

export async function startStorage(
  world: World,
  port: number,
  { directory, archive, proxies, config }: StorageOptions,
) {
  const parsed = storageConfig.parse({
    role: "storage",
    instance: "s0",
    dataDir: directory,
    host: "127.0.0.1",
    port,
    nbdPort: 0,
    archive: `127.0.0.1:${archive()}`,
    proxies: proxies().map((each) => `127.0.0.1:${each}`),
    ...quick,
    ...config,
  });
  const { context } = contextFor(world, parsed, { dataDir: directory, instance: "s0" });
  const ports: Record<string, number> = {};
  context.announcePort = (key, announced) => (ports[key] = announced);
  context.metrics = createMetrics("s0", "storage");
  const role = await storage.start(context as never);
  return { ...running(world, role, "127.0.0.1", ports.port as number), nbdPort: ports.nbdPort as number };
}

export interface GroupOptions {
  /** Names of the volumes; one when absent. */
  volumes?: string[];
  bytes?: number;
  logBytes?: number;
  storages?: number;
  proxies?: number;
  archives?: number;
  storageConfig?: Record<string, unknown>;
  /** Of archives and proxies. */
  serverConfig?: Record<string, unknown>;
  /** What is other than the machine's. */
  world?: Partial<World>;
  /** Where a storage finds its archive and proxies, instead of at their own ports. */
  archivePort?: (group: Group) => number;
  proxyPorts?: (group: Group) => number[];
}

export class Group implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-group-"));
  readonly world: World;
  readonly options: Required<Pick<GroupOptions, "bytes" | "logBytes">> & GroupOptions;
  readonly storages: Node[] = [];
  readonly proxies: Node[] = [];
  readonly archives: Node[] = [];

  private constructor(options: GroupOptions) {
    this.options = { bytes: 4 << 20, logBytes: 4 << 20, ...options };
    this.world = { ...realWorld((error) => console.error(error)), ...options.world };
  }

  static async start(options: GroupOptions = {}): Promise<Group> {
    const group = new Group(options);
    for (let index = 0; index < (options.archives ?? 1); index++) await group.addArchive();
    for (let index = 0; index < (options.proxies ?? 1); index++) await group.addProxy();
    for (let index = 0; index < (options.storages ?? 1); index++) await group.addStorage();
    return group;
  }

  async addArchive(name = `a${this.archives.length}`): Promise<Node> {
    const config = { connectionsMax: 50, foregroundMax: 10, ...this.options.serverConfig };
    const node = new Node(name, (port) =>
      startArchive(this.world, {
        dataDir: join(this.directory, name),
        instance: name,
        config: { ...config, port },
      }),
    );
    this.archives.push(node);
    await node.start();
    for (const volume of this.volumes) await node.controller.command("init-vol", [volume], "ok");
    return node;
  }

  async addProxy(name = `p${this.proxies.length}`): Promise<Node> {
    const config = { connectionsMax: 50, foregroundMax: 10, ...this.options.serverConfig };
    const node = new Node(name, (port) =>
      startProxy(this.world, {
        dataDir: join(this.directory, name),
        instance: name,
        config: { ...config, port },
      }),
    );
    this.proxies.push(node);
    await node.start();
    if (this.archives.length > 0) await this.registerArchive(node, 0);
    return node;
  }

  async registerArchive(proxy: Node, index: number): Promise<void> {
    const archive = this.archives[index] as Node;
    const forwarding = {
      archive: { host: "127.0.0.1", port: archive.port },
      compression: snappy,
      delaySeconds: 0,
    };
    for (const volume of this.volumes) {
      await proxy.controller.changeForwarding("add", volume, archive.name, forwarding);
      await proxy.controller.command("start", [volume], "ok");
    }
  }

  async addStorage(name = `s${this.storages.length}`): Promise<Node> {
    const { bytes, logBytes } = this.options;
    const node = new Node(name, (port) =>
      startStorage(this.world, port, {
        directory: join(this.directory, name),
        archive: () => this.options.archivePort?.(this) ?? (this.archives[0]?.port as number),
        proxies: () => this.options.proxyPorts?.(this) ?? this.proxies.map((each) => each.port),
        config: {
          volumes: this.volumes.map((each) => ({
            name: each,
            size: String(bytes),
            logSize: String(logBytes),
          })),
          ...this.options.storageConfig,
        },
      }),
    );
    this.storages.push(node);
    await node.start();
    return node;
  }

  get volumes(): string[] {
    return this.options.volumes ?? [VOLUME];
  }

  get storage(): Node {
    return this.storages[0] as Node;
  }

  get archive(): Node {
    return this.archives[0] as Node;
  }

  get proxy(): Node {
    return this.proxies[0] as Node;
  }

  /** A client of the volume on a storage. */
  client(storage = this.storage, name = VOLUME): Promise<NbdClient> {
    return NbdClient.connect(this.world, { host: "127.0.0.1", port: storage.nbdPort, name });
  }

  /** What the volume holds. */
  async image(storage = this.storage, name = VOLUME): Promise<Buffer> {
    await using client = await this.client(storage, name);
    return await client.readAll();
  }

  async state(node: Node, name = VOLUME): Promise<string> {
    return String(await node.controller.get("state", name));
  }

  async untilState(node: Node, state: string, name = VOLUME): Promise<void> {
    await until(`${node.name} is ${state}`, async () => (await this.state(node, name)) === state);
  }

  async restorable(archive = this.archive, name = VOLUME): Promise<bigint[]> {
    const lines = (await archive.controller.get("restorable", name)) as string[];
    return lines.map((line) => BigInt(line.split(" ")[0] as string));
  }

  async untilRestorable(gid: bigint, archive = this.archive, name = VOLUME): Promise<void> {
    await until(`${gid} is restorable on ${archive.name}`, async () =>
      (await this.restorable(archive, name)).includes(gid),
    );
  }

  /** The hash of the image of a point, and that of what it should be. */
  async hashes(
    gid: bigint,
    image: Buffer,
    archive = this.archive,
    name = VOLUME,
  ): Promise<[got: string, wanted: string]> {
    const hash = await archive.controller.blockHash([name, String(gid), String(BULK)]);
    return [Buffer.from(hash).toString("hex"), imageHash(image, BULK)];
  }

  /** Takes a snapshot, waits until it can be restored and compares it with the volume, which nobody writes to. */
  async compareSnapshot(storage = this.storage, archives = [this.archive], name = VOLUME): Promise<bigint> {
    const image = await this.image(storage, name);
    const gid = await storage.controller.snapshot(name);
    for (const archive of archives) {
      await this.untilRestorable(gid, archive, name);
      const [got, wanted] = await this.hashes(gid, image, archive, name);
      if (got !== wanted) throw new Error(`the image of ${gid} on ${archive.name} is not the volume's`);
    }
    return gid;
  }

  async initStorage(storage = this.storage, name = VOLUME): Promise<void> {
    await storage.controller.command("init-vol", [name, name], "ok");
  }

  /** `full-bkp` or `hash-bkp`, to the first point that can be restored. */
  async backup(kind: "full-bkp" | "hash-bkp", storage = this.storage, name = VOLUME): Promise<void> {
    await storage.controller.command(kind, [name, String(BULK)], "accept");
    await this.untilState(storage, "Target", name);
  }

  /** From anywhere to a hash backup: what an operator does after trouble. */
  async hashBackupAnew(storage = this.storage, name = VOLUME): Promise<void> {
    if ((await this.state(storage, name)) === "Target") {
      await storage.controller.command("stop", [name, "force"], "accept");
      await this.untilState(storage, "Stopped", name);
    }
    if ((await this.state(storage, name)) === "Stopped")
      await storage.controller.command("reset-vol", [name], "ok");
    await this.backup("hash-bkp", storage, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of [...this.storages, ...this.proxies, ...this.archives]) await node.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** An order of all, by chance. */
export function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const rest = [...items];
  return items.map(() => rest.splice(random.integer(rest.length), 1)[0] as Item);
}

/** Waits until it is so; throws with its name after a minute. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    if (await Promise.resolve(isSo()).catch(() => false)) return;
    if (performance.now() > deadline) throw new Error(`not within a minute: ${what}`);
    await Bun.sleep(10);
  }
}

/** Writes here and there, until it is stopped. What the volume holds then is read from the volume. */
export class Writer {
  readonly #random: Random;
  readonly #client: () => Promise<NbdClient>;
  #isStopped = false;
  #running: Promise<void> | undefined;
  writes = 0;

  constructor(seed: number, client: () => Promise<NbdClient>) {
    this.#random = seededRandom(seed);
    this.#client = client;
  }

  /** So many writes. */
  async write(count: number): Promise<void> {
    await using client = await this.#client();
    for (let index = 0; index < count; index++) await this.#once(client);
    await client.flush();
  }

  async #once(client: NbdClient): Promise<void> {
    const random = this.#random;
    const blocks = 1 + random.integer(random.integer(4) === 0 ? 128 : 16);
    const offset = random.integer(client.bytes / 512 - blocks + 1) * 512;
    const kind = random.integer(16);
    if (kind === 0) await client.trim(offset, blocks * 512);
    else if (kind === 1) await client.zero(offset, blocks * 512);
    else {
      const data = Buffer.alloc(blocks * 512, random.integer(256));
      data.set(random.bytes(64), random.integer(data.byteLength - 64));
      await client.write(data, offset);
    }
    this.writes += 1;
  }

  /** Writes in the background; a storage that goes away is tried again. */
  begin(): void {
    this.#isStopped = false;
    this.#running = (async () => {
      while (!this.#isStopped) {
        try {
          await using client = await this.#client();
          while (!this.#isStopped) {
            await this.#once(client);
            await Bun.sleep(1);
          }
        } catch {
          await Bun.sleep(5);
        }
      }
    })();
  }

  async end(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }
}
