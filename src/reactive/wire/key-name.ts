/** Keys as text, a character per byte: what maps and sets are keyed by. */

export const nameOf = (key: Uint8Array) =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
