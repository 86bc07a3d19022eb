/**
 * One volume of a proxy: the diffs that came, and a queue of them for each archive.
 *
 *   VOL/size             blocks of the volume, as last announced      VOL/NAME.archive   where and how NAME is reached
 *   VOL/received/        diffs that are not in every queue yet        VOL/sendto/NAME/   the queue of NAME
 *
 * Invariant: a diff is in `received/`, whole and synced, before it is acknowledged; it leaves only when every queue has
 * it. A queue loses a diff only when its archive has acknowledged it, or says that it needs it no more. After a crash
 * what is in `received/` is put into the queues again.
 */
import { dirname, join } from "node:path";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import type { Random } from "../../core/seams/random.ts";
import type { MetaDiff } from "../algebra/snapshot.ts";
import { DiffFiles } from "../files/diff-files.ts";
import { VolumeFiles } from "../files/volume-files.ts";
import { Refusal } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { decodeFile, type Forwarding, readForwarding, writeForwarding } from "../wire/values.ts";

export type ProxyState = "Clear" | "Stopped" | "Started";

export interface ProxyWorld {
  disk: Disk;
  random: Random;
  clock: Clock;
}

/** One archive of a volume, with the diffs that wait for it. */
export interface Queue {
  name: string;
  forwarding: Forwarding;
  diffs: DiffFiles;
}

const ARCHIVE_SUFFIX = ".archive";

export class ProxyVolume {
  readonly name: string;
  readonly directory: string;
  readonly #world: ProxyWorld;
  #files!: VolumeFiles;
  received!: DiffFiles;
  readonly queues = new Map<string, Queue>();
  state: ProxyState = "Clear";
  /** A log is being received. */
  isReceiving = false;
  /** Cuts it. */
  cutReceiving: (() => void) | undefined;
  stopState: "NotStopping" | "WaitingForEmpty" | "Stopping" | "ForceStopping" = "NotStopping";
  blocks = 0;
  lastReceivedTime = 0;
  /** The same by the clock that is never set; undefined: not since the start. */
  lastReceivedMs: number | undefined;

  constructor(world: ProxyWorld, directory: string, name: string) {
    this.#world = world;
    this.directory = join(directory, name);
    this.name = name;
  }

  /** No log is taken; the volume stops when every queue is empty. */
  get isEmptying(): boolean {
    return this.stopState === "WaitingForEmpty";
  }

  get shownState(): string {
    if (this.isReceiving) return "WlogRecv";
    return this.isEmptying ? "WaitForEmpty" : this.state;
  }

  #queueDirectory(archive: string): string {
    return join(this.directory, "sendto", archive);
  }

  async #open(): Promise<void> {
    const { disk, random } = this.#world;
    await makeDurableDirectory(disk, join(this.directory, "received"));
    this.#files = await VolumeFiles.open(disk, this.directory);
    this.received = await DiffFiles.open(disk, random, join(this.directory, "received"));
  }

  async #openQueue(name: string, forwarding: Forwarding): Promise<Queue> {
    const { disk, random } = this.#world;
    await makeDurableDirectory(disk, this.#queueDirectory(name));
    const queue = { name, forwarding, diffs: await DiffFiles.open(disk, random, this.#queueDirectory(name)) };
    this.queues.set(name, queue);
    return queue;
  }

  /** Reads what is there; a directory without an archive is no volume. */
  async load(): Promise<void> {
    const { disk } = this.#world;
    const names = (await disk.list(this.directory))
      .map(({ name }) => name)
      .filter((name) => name.endsWith(ARCHIVE_SUFFIX));
    if (names.length === 0) return;
    await this.#open();
    for (const name of names) {
      const forwarding = await decodeFile(
        (await this.#files.read(name)) ?? new Uint8Array(0),
        readForwarding,
      );
      await this.#openQueue(name.slice(0, -ARCHIVE_SUFFIX.length), forwarding);
    }
    const size = await this.#files.read("size");
    if (size !== undefined) this.blocks = Number(await decodeFile(size, (reader) => reader.u64()));
    await this.#distribute();
    this.state = "Stopped";
  }

  /** Puts what was received into every queue. */
  async #distribute(): Promise<void> {
    for (const diff of [...this.received.all]) {
      for (const { diffs } of this.queues.values()) await diffs.linkFrom(this.received, diff);
      await this.received.remove([diff]);
    }
  }

  /** Stores a diff that is complete; it may be acknowledged when this resolves. */
  async store(write: Parameters<DiffFiles["addLater"]>[0]): Promise<MetaDiff> {
    const diff = await this.received.addLater(write);
    await this.#distribute();
    this.lastReceivedTime = Math.floor(this.#world.clock.nowMs() / 1000);
    this.lastReceivedMs = this.#world.clock.monotonicMs();
    return diff;
  }

  async setBlocks(blocks: number): Promise<void> {
    if (blocks === this.blocks) return;
    await this.#files.write("size", new Writer().u64(blocks).bytes);
    this.blocks = blocks;
  }

  // --- archives --------------------------------------------------------------------------------------------------

  queue(name: string): Queue {
    const queue = this.queues.get(name);
    if (queue === undefined) throw new Refusal(`archive not found:${this.name}:${name}`);
    return queue;
  }

  /** Adds or replaces an archive; the first one makes the volume. */
  async setArchive(name: string, forwarding: Forwarding): Promise<void> {
    if (this.state === "Clear") await this.#open();
    await this.#files.write(`${name}${ARCHIVE_SUFFIX}`, writeForwarding(new Writer(), forwarding).bytes);
    const known = this.queues.get(name);
    if (known === undefined) await this.#openQueue(name, forwarding);
    else known.forwarding = forwarding;
    if (this.state === "Clear") this.state = "Stopped";
  }

  /** Removes an archive with its queue. The last one takes the volume with it. */
  async removeArchive(name: string): Promise<void> {
    const { disk } = this.#world;
    const { diffs } = this.queue(name);
    // The entry first: a queue without one is read by nobody.
    await disk.remove(join(this.directory, `${name}${ARCHIVE_SUFFIX}`));
    await disk.syncDirectory(this.directory);
    this.queues.delete(name);
    await diffs.remove([...diffs.all]);
    await disk.removeDirectory(this.#queueDirectory(name));
    if (this.queues.size === 0) await this.#clear();
  }

  async clear(): Promise<void> {
    for (const name of [...this.queues.keys()]) await this.removeArchive(name);
  }

  async #clear(): Promise<void> {
    const { disk } = this.#world;
    for (const { name, kind } of await disk.list(this.directory))
      if (kind === "file") await disk.remove(join(this.directory, name));
    for (const path of ["received", "sendto", ""]) await disk.removeDirectory(join(this.directory, path));
    await disk.syncDirectory(dirname(this.directory));
    this.blocks = 0;
    this.state = "Clear";
  }
}
