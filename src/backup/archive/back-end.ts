/**
 * Where an archive keeps images: one interface, so that files, LVM and LVM thin volumes are exchangeable.
 *
 * Names are those of the original everywhere: base `wb_VOL`, restored `wr_VOL_GID`, while it is made `wr_VOL_GID_tmp`.
 *
 * Invariant: a restored image has its name only when it is complete and synced. What has a name ending in `_tmp` after a
 * crash is removed by `collect`.
 */
import type { DiskFile } from "../../core/seams/disk.ts";

export interface OpenImage {
  file: DiskFile;
  bytes: number;
  /** For messages and listings. */
  path: string;
}

export interface ImageBackEnd {
  /** For `get volume-group` and `get thinpool`; empty where there is none. */
  readonly volumeGroup: string;
  readonly thinPool: string;
  /** A new base reads as zeros, so zeros need not be written. */
  readonly newBaseIsZero: boolean;
  /** Bytes of the base, or undefined when there is none. */
  baseBytes(volume: string): Promise<number | undefined>;
  /** Makes the base anew, reading as zeros; an older one is gone. */
  createBase(volume: string, bytes: number): Promise<OpenImage>;
  openBase(volume: string, mode: "read" | "readWrite"): Promise<OpenImage>;
  growBase(volume: string, bytes: number, isZeroed: boolean): Promise<void>;
  removeBase(volume: string): Promise<void>;
  restored(volume: string): Promise<bigint[]>;
  /** Where users find it. */
  restoredPath(volume: string, gid: bigint): string;
  /** An image of this size under its temporary name, reading as zeros, or as the base where a copy costs nothing. */
  beginRestore(volume: string, gid: bigint): Promise<OpenImage & { isCopyOfBase: boolean }>;
  finishRestore(volume: string, gid: bigint): Promise<void>;
  removeRestored(volume: string, gid: bigint): Promise<void>;
  /** Removes what a crash left under temporary names. */
  collect(volume: string): Promise<void>;
  /** Removes every image of the volume. */
  removeAll(volume: string): Promise<void>;
}
