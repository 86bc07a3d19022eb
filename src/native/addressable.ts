/** Bytes as bun:ffi takes them: it refuses the address of an empty array, and C does not read where the length is 0. */
const placeholder = new Uint8Array(8);

export const addressable = <Bytes extends Uint8Array | Uint32Array>(bytes: Bytes): Bytes | Uint8Array =>
  bytes.byteLength === 0 ? placeholder : bytes;
