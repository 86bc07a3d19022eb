/**
 * Small operations on bytes that every part of the protocol uses. Runs in any JavaScript engine.
 *
 * Invariant: `isEqual` takes the same time wherever two inputs of one length differ, so comparing identifiers tells
 * nobody how much of them matched.
 */

export const EPOCH_BYTES = 4;
export const EPOCH_MAX = 0xffff_ffff;

/** An epoch as 4 bytes, big-endian. */
export function epochBytes(epoch: number): Uint8Array {
  const bytes = new Uint8Array(EPOCH_BYTES);
  viewOf(bytes).setUint32(0, epoch);
  return bytes;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

/** Constant time for inputs of equal length. */
export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.byteLength !== other.byteLength) return false;
  let difference = 0;
  for (let index = 0; index < one.byteLength; index++)
    difference |= (one[index] as number) ^ (other[index] as number);
  return difference === 0;
}

/** Bytewise order, the shorter of two first where one begins with the other. */
export function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.byteLength, other.byteLength);
  for (let index = 0; index < length; index++) {
    const difference = (one[index] as number) - (other[index] as number);
    if (difference !== 0) return difference;
  }
  return one.byteLength - other.byteLength;
}

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let index = 0; index < bytes.byteLength; index++) text += hexPairs[bytes[index] as number];
  return text;
}

/** The bytes of an even number of hex digits; undefined for any other text. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, index) =>
    Number.parseInt(text.slice(2 * index, 2 * index + 2), 16),
  );
}

const encoder = new TextEncoder();

/** A label as bytes, for hashes and key derivation. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
