/** Frames that are written one behind the other are read one after the other. */
import { expect, test } from "bun:test";
import { FrameBuffer } from "../../../src/reactive/wire/frame-buffer.ts";
import { FrameReader } from "../../../src/reactive/wire/frame.ts";
import { crc32c } from "../../../src/native/crc32c.ts";

function payloadsOf(bytes: Uint8Array): number[][] {
  const found: number[][] = [];
  new FrameReader(crc32c, () => 1 << 20).feed(bytes, (type, payload) => void found.push([type, ...payload]));
  return found;
}

function add(frames: FrameBuffer, type: number, payload: readonly number[]): void {
  frames.begin();
  frames.raw(Uint8Array.from(payload));
  frames.seal(type);
}

test("frames of one buffer are whole, in order and there once", () => {
  const frames = new FrameBuffer();
  for (const first of [1, 2]) {
    expect(frames.isEmpty).toBe(true);
    add(frames, 48, [first]);
    add(frames, 49, []);
    add(frames, 50, Array(300).fill(first));
    expect(payloadsOf(frames.take())).toEqual([[48, first], [49], [50, ...Array(300).fill(first)]]);
  }
  expect(frames.take().byteLength).toBe(0);
});

test("a frame whose writing was broken off leaves nothing in its buffer", () => {
  const frames = new FrameBuffer();
  add(frames, 48, [1]);
  frames.begin();
  frames.u64(7);
  add(frames, 49, [2]);
  expect(payloadsOf(frames.take())).toEqual([
    [48, 1],
    [49, 2],
  ]);
});

test("a buffer that had to grow far is let go of", () => {
  const frames = new FrameBuffer();
  add(frames, 48, Array(100_000).fill(3));
  const large = frames.take();
  add(frames, 49, [4]);
  expect(payloadsOf(large)[0]).toHaveLength(100_001);
  expect(frames.take().buffer.byteLength).toBeLessThan(1000);
});
