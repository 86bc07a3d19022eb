/**
 * Self-test: the C library has the digest it was built with, loads here, speaks our ABI and computes what it
 * should.
 */
import { assert } from "../../core/errors.ts";
import { crc32c } from "../../native/crc32c.ts";
import { linked, NATIVE_ABI } from "../../native/library.ts";
import { crc32cVectors, frameGoldenBytes } from "./codec.ts";

export function nativeAbi(): string {
  const abi = linked({ nx_abi: { args: [], returns: "u32" } })().nx_abi();
  assert(abi === NATIVE_ABI, `the C library has ABI ${abi}, wanted ${NATIVE_ABI}`);
  return `C library loaded and sealed, ABI ${abi}`;
}

export function nativeCrc32c(): string {
  return crc32cVectors(crc32c);
}

export function nativeFrames(): string {
  return frameGoldenBytes(crc32c);
}
