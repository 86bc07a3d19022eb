/** Keys as text, a character per byte: what maps and sets are keyed by. */

/** Copies: to ask a short array for its buffer is five times as dear. */
export const nameOf = (key: Uint8Array) => Buffer.from(key).toString("latin1");
