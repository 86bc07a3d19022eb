/**
 * Writes the dump of a channel and puts it in the place of the one before.
 *
 * The steps, `S` being a sync of the directory; those in brackets only when there is or was a `.nxs`:
 *
 *   1  write <ch>.tcm.dumpingXXXXXX, sync it          [write <ch>.nxs.dumpingXXXXXX, sync it]
 *   2  [rename that to <ch>.nxs.new, S]
 *   3  unlink <ch>.tcm.backup, link <ch>.tcm to <ch>.tcm.backup
 *   4  rename <ch>.tcm.dumpingXXXXXX to <ch>.tcm, S
 *   5  [unlink <ch>.nxs.backup, link <ch>.nxs to it, rename <ch>.nxs.new to <ch>.nxs, S; remove it when it is empty]
 *
 * Invariant: at every moment one complete `<ch>.tcm` exists once there was one. Step 4 is the one at which the new dump
 * takes the place of the old: a `.nxs` names the `.tcm` it belongs to by size and checksum, and before step 4 the old
 * one is `<ch>.nxs`, after it the new one is there as `<ch>.nxs.new` or `<ch>.nxs`. So power loss leaves the old dump or
 * the new one, both files of it, never a mix. Each record was written to exactly one of the two files as it was met; a
 * record that changed its kind while the dump went on may be in both, then the `.nxs` is loaded last.
 */
import { dirname, join } from "node:path";
import { errnoOf } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { Store } from "../../native/store.ts";
import { TcmDumper } from "../../native/tcm.ts";
import { asideName, nextSideName, sideName, tcmName, temporaryName } from "./names.ts";
import { SideReader, SideWriter, type TcmIdentity } from "./side-file.ts";

/** One slice: bounds the time that requests wait for it. */
const SLICE_BYTES = 128 * 1024;
/** Written between two syncs, so that the last one is short. */
const SYNC_STEP_BYTES = 32 << 20;

export interface DumpDirectoryOptions {
  world: Pick<World, "disk">;
  directory: string;
}

export interface DumpOptions extends DumpDirectoryOptions {
  world: Pick<World, "disk" | "clock" | "random">;
  store: Store;
  /** Longer values go to the `.nxs`. */
  valueBytesMax: number;
}

export interface WrittenDump {
  channel: string;
  temporary: string;
  /** Undefined when there is nothing that a `.tcm` cannot carry, and there was nothing before. */
  sideTemporary: string | undefined;
  records: number;
  /** Key, value and 16 per record, as dhtdump counts. */
  bytes: number;
  sideRecords: number;
  tcm: TcmIdentity;
}

/** Puts dumps of one directory in place, whoever wrote them. Calls for one channel must not overlap. */
export class DumpDirectory {
  readonly #place: DumpDirectoryOptions;
  /** Channels whose last commit failed in its second half: which `.nxs` is current must be found out first. */
  readonly #unsettled = new Set<string>();

  constructor(place: DumpDirectoryOptions) {
    this.#place = place;
  }

  /** Puts a written dump in place. When it fails, the old dump or the new one is in place. */
  async commit(dump: WrittenDump): Promise<void> {
    const { world, directory } = this.#place;
    const { disk } = world;
    const { channel, temporary, sideTemporary } = dump;
    const at = (name: string) => join(directory, name);
    if (this.#unsettled.has(channel)) await this.#settle(channel);
    if (sideTemporary !== undefined) {
      await disk.rename(sideTemporary, at(nextSideName(channel)));
      await disk.syncDirectory(directory);
    }
    await keepBackup(disk, at(tcmName(channel)));
    this.#unsettled.add(channel);
    await disk.rename(temporary, at(tcmName(channel)));
    await disk.syncDirectory(directory);
    if (sideTemporary !== undefined) {
      await keepBackup(disk, at(sideName(channel)));
      await disk.rename(at(nextSideName(channel)), at(sideName(channel)));
      await disk.syncDirectory(directory);
      if (dump.sideRecords === 0) await disk.remove(at(sideName(channel)));
    } else {
      await removeIfThere(disk, at(`${sideName(channel)}.backup`));
    }
    this.#unsettled.delete(channel);
  }

  /** Finds out whether the `.nxs.new` of a commit that failed belongs to the `.tcm` that is there. */
  async #settle(channel: string): Promise<void> {
    const { world, directory } = this.#place;
    const { disk } = world;
    await disk.syncDirectory(directory);
    const next = join(directory, nextSideName(channel));
    if (await disk.exists(next)) {
      const reader = await SideReader.open(disk, next);
      await reader.close();
      if (reader.belongsTo(await identityOf(disk, join(directory, tcmName(channel))))) {
        await disk.rename(next, join(directory, sideName(channel)));
        await disk.syncDirectory(directory);
      }
    }
    this.#unsettled.delete(channel);
  }

  /** Removes the temporary files of a dump that is not wanted any more. */
  async discard(dump: WrittenDump): Promise<void> {
    const { disk } = this.#place.world;
    await discardFile(disk, dump.temporary);
    if (dump.sideTemporary !== undefined) await discardFile(disk, dump.sideTemporary);
  }

  /**
   * Moves the files of a channel away, so that no start loads them: the `.tcm` first, since a `.nxs` alone is not
   * loaded. With "deleted" the backups go along.
   */
  async setAside(channel: string, reason: "deleted" | "imported" | "superseded"): Promise<void> {
    const { world, directory } = this.#place;
    await moveAside(world.disk, directory, tcmName(channel), reason);
    await world.disk.syncDirectory(directory);
    await removeIfThere(world.disk, join(directory, nextSideName(channel)));
    await moveAside(world.disk, directory, sideName(channel), reason);
    if (reason === "deleted") {
      await moveAside(world.disk, directory, `${tcmName(channel)}.backup`, reason);
      await moveAside(world.disk, directory, `${sideName(channel)}.backup`, reason);
    }
    await world.disk.syncDirectory(directory);
    this.#unsettled.delete(channel);
  }
}

/** Dumps of the channels of a store. Calls for one channel must not overlap. */
export class DumpFiles extends DumpDirectory {
  readonly #options: DumpOptions;

  constructor(options: DumpOptions) {
    super(options);
    this.#options = options;
  }

  /** Writes and syncs the temporary files. Undefined when the channel is gone. Leaves nothing when it fails. */
  async write(channel: string): Promise<WrittenDump | undefined> {
    const { world, store, valueBytesMax, directory } = this.#options;
    const dumper = new TcmDumper(store, channel, valueBytesMax);
    const path = (suffix: "tcm" | "nxs") => join(directory, temporaryName(channel, suffix, world.random));
    const output = new DumpOutput(
      world.disk,
      dumper,
      path("tcm"),
      path("nxs"),
      world.random.integer(2 ** 32),
    );
    try {
      await output.open(await this.#hasSide(channel));
      for (;;) {
        const state = dumper.next(world.clock.nowMs(), SLICE_BYTES);
        if (state === "gone") {
          await output.discard();
          return undefined;
        }
        if (state === "end") break;
        await output.flush();
      }
      const tcm = await output.finish();
      const { records, bytes, sideRecords } = dumper;
      const { temporary, sideTemporary } = output;
      return {
        channel,
        temporary,
        sideTemporary,
        records,
        bytes,
        sideRecords,
        tcm,
      };
    } catch (error) {
      await output.discard();
      throw error;
    } finally {
      dumper.free();
    }
  }

  async #hasSide(channel: string): Promise<boolean> {
    const { disk } = this.#options.world;
    const { directory } = this.#options;
    return (
      (await disk.exists(join(directory, sideName(channel)))) ||
      (await disk.exists(join(directory, nextSideName(channel))))
    );
  }
}

/** The temporary files while they are written. */
class DumpOutput {
  readonly temporary: string;
  sideTemporary: string | undefined;
  readonly #disk: Disk;
  readonly #dumper: TcmDumper;
  readonly #sidePath: string;
  readonly #id: number;
  #file: DiskFile | undefined;
  #sideFile: DiskFile | undefined;
  #side: SideWriter | undefined;
  #bytes = 0;
  #checksum = 0;
  #unsyncedBytes = 0;

  constructor(disk: Disk, dumper: TcmDumper, temporary: string, sidePath: string, id: number) {
    this.#disk = disk;
    this.#dumper = dumper;
    this.temporary = temporary;
    this.#sidePath = sidePath;
    this.#id = id;
  }

  async open(wantsSide: boolean): Promise<void> {
    this.#file = await this.#disk.open(this.temporary, "exclusive");
    if (wantsSide) await this.#openSide();
  }

  async #openSide(): Promise<SideWriter> {
    this.#sideFile = await this.#disk.open(this.#sidePath, "exclusive");
    this.sideTemporary = this.#sidePath;
    this.#side = new SideWriter(this.#sideFile, this.#id);
    return this.#side;
  }

  /** Writes what the dumper has; its buffers do not change before this resolves. */
  async flush(): Promise<void> {
    const { tcm, side } = this.#dumper;
    if (tcm.length > 0) {
      const bytes = tcm.view();
      this.#checksum = crc32c(bytes, this.#checksum);
      await this.#file?.write(bytes, this.#bytes);
      this.#bytes += bytes.byteLength;
      this.#unsyncedBytes += bytes.byteLength;
      tcm.clear();
    }
    if (side.length > 0) {
      await (this.#side ?? (await this.#openSide())).add(side.view());
      this.#unsyncedBytes += side.length;
      side.clear();
    }
    if (this.#unsyncedBytes < SYNC_STEP_BYTES) return;
    await this.#file?.sync();
    await this.#sideFile?.sync();
    this.#unsyncedBytes = 0;
  }

  async finish(): Promise<TcmIdentity> {
    this.#dumper.end(this.#bytes);
    await this.flush();
    await this.#file?.sync();
    const tcm = { bytes: this.#bytes, crc32c: this.#checksum };
    await this.#side?.finish(this.#dumper.sideRecords, tcm);
    await this.#close();
    return tcm;
  }

  async #close(): Promise<void> {
    const files = [this.#file, this.#sideFile];
    [this.#file, this.#sideFile] = [undefined, undefined];
    for (const file of files) await file?.close();
  }

  /** Best effort: what cannot be removed is reported by the next start. */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await discardFile(this.#disk, this.temporary);
    if (this.sideTemporary !== undefined) await discardFile(this.#disk, this.sideTemporary);
  }
}

async function removeIfThere(disk: Disk, path: string): Promise<void> {
  if (await disk.exists(path)) await disk.remove(path);
}

async function discardFile(disk: Disk, path: string): Promise<void> {
  try {
    await removeIfThere(disk, path);
  } catch (error) {
    // What failed before is the error that counts.
    if (errnoOf(error) === undefined && !(error instanceof Error)) throw error;
  }
}

/** Makes `<path>.backup` a second name of `path`, if there is such a file. */
async function keepBackup(disk: Disk, path: string): Promise<void> {
  const backup = `${path}.backup`;
  await removeIfThere(disk, backup);
  if (await disk.exists(path)) await disk.link(path, backup);
}

async function moveAside(
  disk: Disk,
  directory: string,
  name: string,
  reason: Parameters<typeof asideName>[1],
): Promise<void> {
  const from = join(directory, name);
  if (!(await disk.exists(from))) return;
  const to = asideName(name, reason);
  if (to === undefined) await disk.remove(from);
  else await disk.rename(from, join(dirname(from), to));
}

/** Size and checksum of a file. */
export async function identityOf(disk: Disk, path: string): Promise<TcmIdentity> {
  const file = await disk.open(path, "read");
  try {
    const buffer = new Uint8Array(1 << 20);
    let [bytes, checksum] = [0, 0];
    for (;;) {
      const count = await file.read(buffer, bytes);
      if (count === 0) return { bytes, crc32c: checksum };
      checksum = crc32c(buffer.subarray(0, count), checksum);
      bytes += count;
    }
  } finally {
    await file.close();
  }
}
