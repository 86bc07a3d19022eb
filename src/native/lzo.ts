/**
 * LZO1X (native/lzo.h): the compression of the batches of the swarm protocols.
 *
 * Invariant: whatever the bytes are, decoding reads and writes only inside its two buffers. Keeps nothing between calls.
 */
import { FFIType } from "bun:ffi";
import { addressable } from "./addressable.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_lzo_ffi_encode: { args: ["ptr", "usize", "ptr"], returns: FFIType.u64_fast },
  nx_lzo_ffi_decode: { args: ["ptr", "usize", "ptr", "usize"], returns: FFIType.i64_fast },
} as const;

/** A stream is never longer than this for content of `byteLength` bytes. */
export const lzoBound = (byteLength: number) => byteLength + Math.floor(byteLength / 16) + 67;

const library = linked(symbols);

/** Compresses less than 2^31 bytes. */
export function lzoEncode(content: Uint8Array): Uint8Array {
  const stream = new Uint8Array(lzoBound(content.byteLength));
  const length = library().nx_lzo_ffi_encode(addressable(content), content.byteLength, stream);
  return stream.subarray(0, Number(length));
}

/** The content, or undefined when the stream is malformed or does not hold exactly `byteLength` bytes. */
export function lzoDecode(stream: Uint8Array, byteLength: number): Uint8Array | undefined {
  const content = new Uint8Array(byteLength);
  const length = library().nx_lzo_ffi_decode(
    addressable(stream),
    stream.byteLength,
    addressable(content),
    byteLength,
  );
  return Number(length) === byteLength ? content : undefined;
}
