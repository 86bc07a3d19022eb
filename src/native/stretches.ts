/** Many stretches of two files at a time (native/stretches.h): reads that do not wait, copies, holes. */
import { FFIType, type Pointer } from "bun:ffi";
import { linked } from "./library.ts";
import type { NativeBuffer } from "./buffer.ts";

const symbols = {
  nx_stretches_read_now: { args: ["i32", "i32", "ptr", "u64", "ptr", "u64"], returns: FFIType.u64_fast },
  nx_stretches_copy: { args: ["i32", "i32", "ptr", "u64"], returns: "i32" },
  nx_stretches_write: { args: ["i32", "ptr", "u64", "ptr", "u64"], returns: "i32" },
  nx_extent_end: { args: ["i32", "u64", "u64", "ptr"], returns: FFIType.u64_fast },
} as const;

const native = linked(symbols);

/** Bytes of one nx_stretch. */
export const STRETCH_BYTES = 32;
/** Where the bytes of a stretch come from; `late` is added to what was not filled, `soon` to copies that are synced soon. */
export const StretchSource = { data: 0, log: 1, zero: 2, late: 0x100, soon: 0x200 } as const;

/** Fills what the page cache has; returns how many stretches it marked as late. */
export function readStretchesNow(
  logFd: number,
  dataFd: number,
  stretches: NativeBuffer,
  out: NativeBuffer,
): number {
  const [list, target] = [stretches.view(), out.view()];
  if (list.byteLength === 0 || target.byteLength === 0) return 0;
  const count = list.byteLength / STRETCH_BYTES;
  return Number(native().nx_stretches_read_now(logFd, dataFd, list, count, target, target.byteLength));
}

/** Blocks until all are copied: 0 or a negative errno. */
export function copyStretches(logFd: number, dataFd: number, stretches: Uint8Array): number {
  if (stretches.byteLength === 0) return 0;
  return native().nx_stretches_copy(logFd, dataFd, stretches, stretches.byteLength / STRETCH_BYTES);
}

/**
 * Blocks until all stretches of C's memory at `address` are written: 0 or a negative errno. Whoever owns the memory keeps
 * it where it is meanwhile; this may be called in another thread than its owner's.
 */
export function writeStretches(fd: number, address: number, length: number, stretches: Uint8Array): number {
  if (stretches.byteLength === 0) return 0;
  const count = stretches.byteLength / STRETCH_BYTES;
  return native().nx_stretches_write(fd, address as Pointer, length, stretches, count);
}

/** Where the data or the hole at `offset` ends. */
export function extentEnd(fd: number, offset: number, size: number): { isHole: boolean; end: number } {
  const isHole = new Uint8Array(8);
  const end = Number(native().nx_extent_end(fd, offset, size, isHole));
  return { isHole: isHole[0] !== 0, end };
}
