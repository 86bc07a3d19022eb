/** Frames: any cut of the stream gives the same frames, and no damage passes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "../../../src/core/crc32c.ts";
import { WireError } from "../../../src/reactive/wire/bytes.ts";
import { FRAME_HEADER_BYTES, FrameReader, sealFrame } from "../../../src/reactive/wire/frame.ts";

function frameOf(type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength);
  frame.set(payload, FRAME_HEADER_BYTES);
  return sealFrame(frame, type, crc32c);
}

const reader = (limit = 1000) => new FrameReader(crc32c, () => limit);

interface Found {
  type: number;
  payload: Uint8Array;
}

/** Feeds `stream` in pieces, each overwritten after its call as the network does. */
function feed(to: FrameReader, stream: Uint8Array, cuts: readonly number[]): Found[] {
  const found: Found[] = [];
  const bounds = [
    0,
    ...cuts.map((cut) => cut % (stream.byteLength + 1)).sort((a, b) => a - b),
    stream.byteLength,
  ];
  for (let index = 1; index < bounds.length; index++) {
    const piece = stream.slice(bounds[index - 1], bounds[index]);
    to.feed(piece, (type, payload) => void found.push({ type, payload: payload.slice() }));
    piece.fill(0xee);
  }
  return found;
}

const frames = fc.array(
  fc.record({ type: fc.integer({ min: 1, max: 255 }), payload: fc.uint8Array({ maxLength: 300 }) }),
);

test("frames come out as they went in, however the stream is cut", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(3000), { maxLength: 12 }), (sent, cuts) => {
      const stream = new Uint8Array(Buffer.concat(sent.map(({ type, payload }) => frameOf(type, payload))));
      const to = reader();
      expect(feed(to, stream, cuts)).toEqual(sent);
      expect(to.waitingBytes).toBe(0);
    }),
  );
});

test("every flipped bit of a frame is noticed", () => {
  const frame = frameOf(16, new Uint8Array([1, 2, 3, 4, 5]));
  for (let bit = 0; bit < 8 * frame.byteLength; bit++) {
    const damaged = frame.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    const to = reader();
    let frameCount = 0;
    const attempt = () => to.feed(damaged, () => void frameCount++);
    try {
      attempt();
      // Only a longer length can pass so far: the frame is not whole yet.
      expect(to.waitingBytes).toBe(frame.byteLength);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
    }
    expect(frameCount).toBe(0);
  }
});

test("a length beyond the limit is refused before the frame has arrived", () => {
  const header = frameOf(16, new Uint8Array(101)).slice(0, FRAME_HEADER_BYTES);
  expect(() => reader(100).feed(header, () => {})).toThrow("101 bytes is announced, 100 are allowed");
});

test("another protocol and another version are named", () => {
  expect(() => reader().feed(Buffer.from("GET / HTTP/1.1\r\n\r\n"), () => {})).toThrow("not a frame");
  const frame = frameOf(1, new Uint8Array(0));
  frame[2] = 9;
  expect(() => reader().feed(frame, () => {})).toThrow("version 9 is spoken, this program speaks 1");
});
