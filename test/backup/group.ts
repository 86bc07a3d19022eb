/** A backup group inside the test's process: archives and proxies by name, a storage of ours, and what tests ask of them. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GroupController } from "../../src/backup/client/group/group-controller.ts";
import {
  K_ARCHIVE,
  K_PROXY,
  ServerConnectionParam,
  type ServerKind,
  ServerLayout,
} from "../../src/backup/client/group/layout.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { type Running, startArchive, startProxy, TestStorage, VOLUME } from "./servers.ts";

export const at = (port: number) => ({ host: "127.0.0.1", port });
export const forwardingTo = (port: number) => ({ archive: at(port), compression: snappy, delaySeconds: 0 });

export async function until(claim: () => Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 4000; tries++) {
    if (await claim()) return;
    await Bun.sleep(5);
  }
  throw new Error(`it did not come to pass: ${what}`);
}

/** Waits until an asynchronous command has ended. */
export async function settled({ controller }: Running, action: string): Promise<void> {
  await until(async () => (await controller.get("num-action", VOLUME, action)) === 0n, `${action} ended`);
}

export async function isState({ controller }: Running, state: string): Promise<void> {
  await until(async () => (await controller.get("state", VOLUME)) === state, `state ${state}`);
}

export const pointsOf = async ({ controller }: Running): Promise<string[]> =>
  (await controller.get("restorable", VOLUME)) as string[];

export const gidsOf = async (archive: Running): Promise<string[]> =>
  (await pointsOf(archive)).map((line) => line.split(" ")[0] as string);

export const hasPoint = (archive: Running, gid: bigint): Promise<void> =>
  until(async () => (await gidsOf(archive)).includes(String(gid)), `${gid} restorable`);

export interface Library {
  walbc: GroupController;
  server(name: string): ServerConnectionParam;
}

export class Group implements AsyncDisposable {
  readonly directory: string;
  #seed: number;
  readonly #running = new Map<string, Running>();
  readonly #ports = new Map<string, number>();

  constructor(directory: string, seed: number) {
    this.directory = directory;
    this.#seed = seed;
    mkdirSync(directory, { recursive: true });
  }

  world() {
    return { ...realWorld(), random: seededRandom(this.#seed++) };
  }

  async #start(
    start: typeof startArchive,
    instance: string,
    config: Record<string, unknown>,
  ): Promise<Running> {
    const port = this.#ports.get(instance) ?? 0;
    const dataDir = join(this.directory, instance);
    const running = await start(this.world(), { dataDir, instance, config: { port, ...config } });
    this.#running.set(instance, running);
    this.#ports.set(instance, running.port);
    return running;
  }

  /** Starts an archive; one that ran before on its old port. */
  archive(name = "a0", config: Record<string, unknown> = {}): Promise<Running> {
    return this.#start(startArchive, name, config);
  }

  proxy(name = "p0", config: Record<string, unknown> = {}): Promise<Running> {
    return this.#start(startProxy, name, config);
  }

  async stop(name: string): Promise<void> {
    await this.#running.get(name)?.[Symbol.asyncDispose]();
    this.#running.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.#running.keys()]) await this.stop(name);
  }

  /** The controller's library over servers of this group: archives in this order, proxies that run. */
  library(archives: string[], proxies: string[] = ["p0"]): Library {
    const server = (name: string, kind: ServerKind) =>
      new ServerConnectionParam(name, "127.0.0.1", this.#ports.get(name) as number, kind);
    const all = new Map<string, ServerConnectionParam>();
    const of = (names: string[], kind: ServerKind) =>
      names.map((name) => {
        all.set(name, server(name, kind));
        return all.get(name) as ServerConnectionParam;
      });
    const layout = new ServerLayout([], of(proxies, K_PROXY), of(archives, K_ARCHIVE));
    const { net, clock } = this.world();
    const world = { net, clock, print: (text: string) => void this.printed.push(text) };
    const walbc = new GroupController("", layout, false, 60, world);
    walbc.pollMs = 5;
    return { walbc, server: (name) => all.get(name) as ServerConnectionParam };
  }

  readonly printed: string[] = [];

  pathOf(archive: string, file: string): string {
    return join(this.directory, archive, "archive", VOLUME, file);
  }

  async restored(archive: Running, gid: bigint, name = "a0"): Promise<Buffer> {
    await archive.controller.command("restore", [VOLUME, String(gid)], "accept");
    await settled(archive, "Restore");
    return readFileSync(this.pathOf(name, `wr_${VOLUME}_${gid}`));
  }

  /** Restores, compares and removes. */
  async expectImage(archive: Running, gid: bigint, image: Buffer, name = "a0"): Promise<void> {
    expect((await this.restored(archive, gid, name)).equals(image)).toBe(true);
    await archive.controller.command("del-restored", [VOLUME, String(gid)], "ok");
  }

  /** Lets a proxy forward to an archive; the volume is started afterwards. */
  async forward(proxy: Running, name: string, port: number): Promise<void> {
    if ((await proxy.controller.get("state", VOLUME)) === "Started") {
      await proxy.controller.command("stop", [VOLUME, "empty"], "accept");
      await isState(proxy, "Stopped");
    }
    await proxy.controller.changeForwarding("add", VOLUME, name, forwardingTo(port));
    await proxy.controller.command("start", [VOLUME], "ok");
  }

  /** A volume of `blocks` whose full copy is on `archive`. */
  async copied(archive: Running, blocks = 2048): Promise<TestStorage> {
    const storage = new TestStorage(this.world(), blocks);
    storage.write(20);
    await archive.controller.command("init-vol", [VOLUME], "ok");
    await storage.fullSync(at(archive.port), { during: () => storage.write(5) });
    return storage;
  }

  /** Cuts and hands the diff straight to an archive, as a proxy would; returns its gid. */
  async point(archive: Running, storage: TestStorage, isMergeable = false): Promise<bigint> {
    const shipment = storage.snapshot(isMergeable);
    expect(await storage.shipAsProxy(at(archive.port), shipment)).toBe("accept");
    return shipment.diff.to.begin;
  }

  /** A group of a storage, p0 and a0 after a full copy; what is shipped to p0 reaches a0, at `archivePort`. */
  async backedUp(archive: Running, proxy: Running, archivePort = archive.port): Promise<TestStorage> {
    await this.forward(proxy, "a0", archivePort);
    const storage = await this.copied(archive);
    await storage.ship(at(proxy.port), storage.snapshot());
    await hasPoint(archive, 1n);
    return storage;
  }
}

/** Brings a volume of `from` to the archive at `port`, up to `gid`; throws what `from` answers. */
export async function replicate(
  from: Running,
  port: number,
  gid: bigint | number,
  ...more: string[]
): Promise<void> {
  await from.controller.command(
    "replicate",
    [VOLUME, "gid", String(gid), `127.0.0.1:${port}`, ...more],
    "accept",
  );
  await settled(from, "ReplSyncAsClient");
}

/** Whether a command to a target was taken; false when it is still at what a cut has ended. */
export const isTaken = (asked: Promise<void>): Promise<boolean> =>
  asked.then(
    () => true,
    (error: Error) => {
      if (/bad state:(ReplSyncAsServer|FullSync|Resync)/.test(error.message)) return false;
      throw error;
    },
  );
