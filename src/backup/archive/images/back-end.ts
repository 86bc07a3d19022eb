/**
 * Where an archive keeps images: one interface, so that files, LVM and LVM thin volumes are exchangeable.
 *
 * Names are those of the original everywhere: base `wb_VOL`, restored `wr_VOL_GID`, while it is made `wr_VOL_GID_tmp`, cold
 * snapshot `wc_VOL_GID`, and one that is becoming the base `wb_VOL_GID_tmp`.
 *
 * Invariant: a restored image has its name only when it is complete and synced. What has a name ending in `_tmp` after a
 * crash is removed by `collect`, but for a cold snapshot that was becoming the base: archive/cold.ts settles that.
 */
import type { DiskFile } from "../../../core/seams/disk.ts";

export interface OpenImage {
  file: DiskFile;
  bytes: number;
  /** For messages and listings. */
  path: string;
}

/** An image that is being restored. */
export interface BegunRestore extends OpenImage {
  /** It has the content of what it was begun from; else it reads as zeros. */
  isCopy: boolean;
}

export interface ImageBackEnd {
  /** For `get volume-group` and `get thinpool`; empty where there is none. */
  readonly volumeGroup: string;
  readonly thinPool: string;
  /** A new base reads as zeros, so zeros need not be written; what a base grows by, too. */
  readonly newBaseIsZero: boolean;
  /** Read-only snapshots cost nothing, so that points are kept from which later restores begin. */
  readonly keepsCold: boolean;
  /** Throws when images cannot be kept here, and says why. */
  check(): Promise<void>;
  /** Bytes of the base, or undefined when there is none. */
  baseBytes(volume: string): Promise<number | undefined>;
  /** Makes the base anew; an older one is gone. */
  createBase(volume: string, bytes: number): Promise<OpenImage>;
  openBase(volume: string, mode: "read" | "readWrite"): Promise<OpenImage>;
  growBase(volume: string, bytes: number): Promise<void>;
  removeBase(volume: string): Promise<void>;
  restored(volume: string): Promise<bigint[]>;
  /** Where users find it. */
  restoredPath(volume: string, gid: bigint): string;
  /** An image under its temporary name: a copy of the base, or of a cold snapshot, where a copy costs nothing. */
  beginRestore(volume: string, gid: bigint, cold?: bigint): Promise<BegunRestore>;
  finishRestore(volume: string, gid: bigint): Promise<void>;
  removeRestored(volume: string, gid: bigint): Promise<void>;
  /** Cold snapshots; always none where `keepsCold` is false. */
  cold(volume: string): Promise<bigint[]>;
  /** Keeps the state of the restore of `gid` that is under its temporary name. */
  keepCold(volume: string, gid: bigint): Promise<void>;
  removeCold(volume: string, gid: bigint): Promise<void>;
  /** A cold snapshot takes the name of a base to be, and gives it up again. */
  beginColdToBase(volume: string, gid: bigint): Promise<void>;
  undoColdToBase(volume: string, gid: bigint): Promise<void>;
  /** The base to be becomes the base; there must be none. */
  finishColdToBase(volume: string, gid: bigint): Promise<void>;
  /** The base to be that a crash left. */
  coldBecomingBase(volume: string): Promise<bigint | undefined>;
  /** Removes restores that a crash left under their temporary names. */
  collect(volume: string): Promise<void>;
  /** Removes every image of the volume. */
  removeAll(volume: string): Promise<void>;
}

/** The gids behind a prefix, in rising order. */
export function gidsBehind(names: readonly string[], prefix: string): bigint[] {
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((text) => /^\d+$/.test(text))
    .map(BigInt)
    .sort((a, b) => (a < b ? -1 : 1));
}

/** What a back end without cold snapshots says of them. */
export abstract class WithoutCold {
  readonly keepsCold = false;

  async cold(_volume: string): Promise<bigint[]> {
    return [];
  }

  async coldBecomingBase(_volume: string): Promise<undefined> {
    return undefined;
  }

  keepCold(_volume: string, _gid: bigint): Promise<void> {
    throw new Error("this back end keeps no cold snapshots");
  }

  removeCold = this.keepCold;
  beginColdToBase = this.keepCold;
  undoColdToBase = this.keepCold;
  finishColdToBase = this.keepCold;
}
