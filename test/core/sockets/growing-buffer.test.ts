/** The buffer of bytes that wait: what it keeps, how often it is replaced, what goes back to the spares. */
import { describe, expect, test } from "bun:test";
import { GrowingBuffer } from "../../../src/core/sockets/growing-buffer.ts";
import { SpareBuffers } from "../../../src/core/sockets/spare-buffers.ts";

const PIECE = Uint8Array.from({ length: 1000 }, (_, index) => index);

/** Puts pieces behind each other; the lengths that the buffer had on the way. */
function fill(buffer: GrowingBuffer, pieces: number): Set<number> {
  const lengths = new Set<number>();
  for (let length = 0; length < pieces * PIECE.byteLength; length += PIECE.byteLength) {
    const needed = length + PIECE.byteLength;
    if (needed > buffer.bytes.byteLength) buffer.makeRoom(needed, 0, length);
    buffer.bytes.set(PIECE, length);
    lengths.add(buffer.bytes.byteLength);
  }
  return lengths;
}

describe("a growing buffer", () => {
  for (const [name, spares] of [
    ["without spares", undefined],
    ["with spares", new SpareBuffers(16 << 20)],
  ] as const)
    test(`keeps what is in it, and is not replaced for each small piece, ${name}`, () => {
      const buffer = new GrowingBuffer(spares);
      // 10 MB by pieces of 1 kB: from 1 KiB on it doubles some 14 times.
      expect(fill(buffer, 10_000).size).toBeLessThanOrEqual(16);
      for (let piece = 0; piece < 10_000; piece++) {
        const start = piece * PIECE.byteLength;
        expect(buffer.bytes.subarray(start, start + PIECE.byteLength).every((byte, at) => byte === PIECE[at])).toBe(true); // prettier-ignore
      }
      buffer.close();
    });

  test("moves what waits to the front, in the same buffer when it is long enough", () => {
    const buffer = new GrowingBuffer();
    fill(buffer, 1);
    const { bytes } = buffer;
    buffer.makeRoom(1000, 900, 1000);
    expect(buffer.bytes).toBe(bytes);
    expect(buffer.bytes.subarray(0, 100)).toEqual(PIECE.subarray(900));
    buffer.makeRoom(5000, 0, 100);
    expect(buffer.bytes.subarray(0, 100)).toEqual(PIECE.subarray(900));
    expect(buffer.bytes.byteLength).toBe(5000);
  });

  test("is never longer than anybody may ask for", () => {
    const buffer = new GrowingBuffer(undefined, 3000);
    fill(buffer, 3);
    expect(buffer.bytes.byteLength).toBe(3000);
  });

  test("keeps a small buffer for the next burst, and gives large ones back once", () => {
    const spares = new SpareBuffers(1 << 20);
    const buffer = new GrowingBuffer(spares);
    fill(buffer, 10);
    buffer.clear();
    expect(buffer.bytes.byteLength).toBeGreaterThan(10_000);
    buffer.makeRoom(200_000, 0, 0);
    const lent = buffer.bytes.byteLength;
    buffer.clear();
    buffer.close();
    expect(spares.keptBytes).toBe(lent);
    expect(buffer.bytes.byteLength).toBe(0);
  });
});
