/**
 * Images as logical volumes of LVM, linear or in a thin pool, under the original's names, so that either program finds what
 * the other left.
 *
 * Linear: a restored image is a classic snapshot of the base with room for 1.2 times its size. Thin: snapshots cost
 * nothing, so a restore also keeps its state as a read-only cold snapshot.
 *
 * Invariant: see back-end.ts. A size is rounded up to LVM's extent; what is behind the volume's end is nobody's.
 */
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import { type BegunRestore, gidsBehind, type ImageBackEnd, type OpenImage } from "./back-end.ts";
import type { Lvm } from "./lvm.ts";

const SNAPSHOT_ROOM = 1.2;
/** LVM takes sizes in whole sectors, and rounds them up to its extents. */
const inBlocks = (bytes: number) => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;

export class LogicalVolumes implements ImageBackEnd {
  readonly volumeGroup: string;
  readonly thinPool: string;
  readonly newBaseIsZero: boolean;
  readonly keepsCold: boolean;
  readonly #disk: Disk;
  readonly #lvm: Lvm;

  constructor(disk: Disk, lvm: Lvm, volumeGroup: string, thinPool: string) {
    this.#disk = disk;
    this.#lvm = lvm;
    this.volumeGroup = volumeGroup;
    this.thinPool = thinPool;
    this.newBaseIsZero = thinPool !== "";
    this.keepsCold = thinPool !== "";
  }

  async check(): Promise<void> {
    if (!(await this.#lvm.hasVolumeGroup()))
      throw new NxError("NX_CONFIG_INVALID", `there is no volume group ${this.volumeGroup}`, {
        hint: "`vgs` lists those that are there; `vgcreate` makes one",
      });
    if (this.thinPool === "") return;
    const pool = await this.#lvm.find(this.thinPool);
    if (pool === undefined || !pool.attributes.startsWith("t"))
      throw new NxError("NX_CONFIG_INVALID", `${this.volumeGroup} has no thin pool ${this.thinPool}`, {
        hint: "`lvcreate --type thin-pool` makes one",
      });
  }

  // --- the base ------------------------------------------------------------------------------------------------------

  async baseBytes(volume: string): Promise<number | undefined> {
    return (await this.#lvm.find(`wb_${volume}`))?.bytes;
  }

  async #open(name: string, mode: "read" | "readWrite"): Promise<OpenImage> {
    const found = await this.#lvm.find(name);
    const path = this.#lvm.pathOf(name);
    if (found === undefined)
      throw new NxError("NX_DATA_CORRUPT", `the logical volume ${path} is missing`, {
        hint: "restore it from another archive (replicate), or take a full backup",
      });
    return { file: await this.#disk.open(path, mode), bytes: found.bytes, path };
  }

  async createBase(volume: string, bytes: number): Promise<OpenImage> {
    const name = `wb_${volume}`;
    const before = await this.#lvm.find(name);
    if (before !== undefined && (this.newBaseIsZero || before.bytes < bytes)) await this.#lvm.remove(name);
    if (this.newBaseIsZero) await this.#lvm.createThin(name, bytes, this.thinPool);
    else if (before === undefined || before.bytes < bytes) await this.#lvm.createLinear(name, bytes);
    return await this.#open(name, "readWrite");
  }

  openBase(volume: string, mode: "read" | "readWrite"): Promise<OpenImage> {
    return this.#open(`wb_${volume}`, mode);
  }

  async growBase(volume: string, bytes: number): Promise<void> {
    if (((await this.baseBytes(volume)) ?? 0) < bytes) await this.#lvm.resize(`wb_${volume}`, bytes);
  }

  async removeBase(volume: string): Promise<void> {
    if ((await this.#lvm.find(`wb_${volume}`)) !== undefined) await this.#lvm.remove(`wb_${volume}`);
  }

  // --- restored images -----------------------------------------------------------------------------------------------

  async #names(): Promise<string[]> {
    return (await this.#lvm.list()).map(({ name }) => name);
  }

  async restored(volume: string): Promise<bigint[]> {
    return gidsBehind(await this.#names(), `wr_${volume}_`);
  }

  restoredPath(volume: string, gid: bigint): string {
    return this.#lvm.pathOf(`wr_${volume}_${gid}`);
  }

  async beginRestore(volume: string, gid: bigint, cold?: bigint): Promise<BegunRestore> {
    const origin = cold === undefined ? `wb_${volume}` : `wc_${volume}_${cold}`;
    const name = `wr_${volume}_${gid}_tmp`;
    if ((await this.#lvm.find(name)) !== undefined) await this.#lvm.remove(name);
    if (this.thinPool !== "") {
      await this.#lvm.thinSnapshot(origin, name, "rw");
      await this.#growAsBase(volume, name);
    } else
      await this.#lvm.snapshot(origin, name, inBlocks(((await this.baseBytes(volume)) ?? 0) * SNAPSHOT_ROOM));
    return { ...(await this.#open(name, "readWrite")), isCopy: true };
  }

  /** A cold snapshot may be from before its volume grew; what it grows by reads as zeros, as in the base. */
  async #growAsBase(volume: string, name: string): Promise<void> {
    const bytes = (await this.baseBytes(volume)) ?? 0;
    const found = await this.#lvm.find(name);
    if (found === undefined || found.bytes >= bytes) return;
    if (found.attributes[1] === "r") await this.#lvm.setWritable(name);
    await this.#lvm.resize(name, bytes);
  }

  async finishRestore(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.rename(`wr_${volume}_${gid}_tmp`, `wr_${volume}_${gid}`);
  }

  async removeRestored(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.remove(`wr_${volume}_${gid}`);
  }

  async collect(volume: string): Promise<void> {
    for (const name of await this.#names())
      if (name.startsWith(`wr_${volume}_`) && name.endsWith("_tmp")) await this.#lvm.remove(name);
  }

  async removeAll(volume: string): Promise<void> {
    const ours = new RegExp(`^w[rcb]_${volume}(_\\d+)?(_tmp)?$`);
    // Snapshots before what they are snapshots of.
    for (const name of (await this.#names())
      .filter((each) => ours.test(each))
      .sort()
      .reverse())
      await this.#lvm.remove(name);
  }

  // --- cold snapshots ------------------------------------------------------------------------------------------------

  async cold(volume: string): Promise<bigint[]> {
    return gidsBehind(await this.#names(), `wc_${volume}_`);
  }

  async keepCold(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.thinSnapshot(`wr_${volume}_${gid}_tmp`, `wc_${volume}_${gid}`, "r");
  }

  async removeCold(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.remove(`wc_${volume}_${gid}`);
  }

  async beginColdToBase(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.rename(`wc_${volume}_${gid}`, `wb_${volume}_${gid}_tmp`);
    await this.#growAsBase(volume, `wb_${volume}_${gid}_tmp`);
  }

  async undoColdToBase(volume: string, gid: bigint): Promise<void> {
    await this.#lvm.rename(`wb_${volume}_${gid}_tmp`, `wc_${volume}_${gid}`);
  }

  async finishColdToBase(volume: string, gid: bigint): Promise<void> {
    const name = `wb_${volume}_${gid}_tmp`;
    if ((await this.#lvm.find(name))?.attributes[1] === "r") await this.#lvm.setWritable(name);
    await this.#lvm.rename(name, `wb_${volume}`);
  }

  async coldBecomingBase(volume: string): Promise<bigint | undefined> {
    const prefix = `wb_${volume}_`;
    const names = (await this.#names())
      .filter((name) => name.startsWith(prefix) && name.endsWith("_tmp"))
      .map((name) => name.slice(0, -"_tmp".length));
    return gidsBehind(names, prefix).at(-1);
  }
}
