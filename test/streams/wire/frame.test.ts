/** Bodies come out whole, in order and once, however the bytes were cut. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../../src/streams/wire/bytes.ts";
import { FrameReader, frameOf } from "../../../src/streams/wire/frame.ts";

/** Bytes in chunks, each of which is overwritten once it was taken: nothing may be kept of it. */
function feed(reader: FrameReader, bytes: Uint8Array, sizes: number[]): Buffer[] {
  const bodies: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    reader.feed(chunk, (body, start, end) => void bodies.push(Buffer.from(body.subarray(start, end))));
    chunk.fill(0xee);
    at += size;
  }
  return bodies;
}

describe("frames", () => {
  test("have a big-endian length of the body in front", () => {
    expect(Buffer.from(frameOf(Buffer.from("abc"))).toString("hex")).toBe("00000003616263");
  });

  test("come out as they went in, whatever the chunks", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
        (bodies, sizes) => {
          const reader = new FrameReader();
          const found = feed(reader, Buffer.concat(bodies.map(frameOf)), sizes);
          expect(found.map((body) => body.toString("hex"))).toEqual(
            bodies.map((body) => Buffer.from(body).toString("hex")),
          );
          expect(reader.waitingBytes).toBe(0);
        },
      ),
    );
  });

  test("an unfinished one is told by waitingBytes", () => {
    const reader = new FrameReader();
    feed(reader, frameOf(new Uint8Array(10)).subarray(0, 9), [4]);
    expect(reader.waitingBytes).toBe(9);
  });

  test("a length beyond the limit is refused at its fourth byte, in one chunk or many", () => {
    for (const size of [1, 3, 100]) {
      const reader = new FrameReader(() => 10);
      const bytes = Buffer.concat([frameOf(new Uint8Array(10)), frameOf(new Uint8Array(11))]);
      expect(() => feed(reader, bytes, [size])).toThrow(WireError);
    }
  });

  test("a reader that is told to stop hands nothing further out", () => {
    const reader = new FrameReader();
    let bodies = 0;
    reader.feed(Buffer.concat([frameOf(new Uint8Array(1)), frameOf(new Uint8Array(1))]), () => {
      bodies++;
      return false;
    });
    expect(bodies).toBe(1);
  });
});

test("a stopped reader tells how far it got, whatever the chunks", () => {
  const [first, second] = [frameOf(Buffer.from("abc")), Buffer.from("no frame, raw bytes")];
  for (let cut = 0; cut < first.byteLength; cut++) {
    const reader = new FrameReader();
    const bytes = Buffer.concat([first, second]);
    expect(reader.feed(bytes.subarray(0, cut), () => false)).toBe(cut);
    expect(reader.feed(bytes.subarray(cut), () => false)).toBe(first.byteLength - cut);
  }
});
