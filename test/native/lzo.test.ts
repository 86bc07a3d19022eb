/** LZO1X through its handle: the reference streams, the sizes beside the reference's, round trips. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { lzoBound, lzoDecode, lzoEncode } from "../../src/native/lzo.ts";

const vectors = join(import.meta.dir, "../vectors/swarm");
const streams = readdirSync(vectors)
  .filter((name) => name.endsWith(".lzo"))
  .map((name) => ({
    name,
    stream: readFileSync(join(vectors, name)),
    content: readFileSync(join(vectors, name.replace(/lzo$/, "raw"))),
  }));

test("decodes every reference stream", () => {
  expect(streams.length).toBeGreaterThan(12);
  for (const { name, stream, content } of streams) {
    const decoded = lzoDecode(stream, content.byteLength);
    expect({ name, isSame: decoded !== undefined && content.equals(decoded) }).toEqual({
      name,
      isSame: true,
    });
  }
});

test("is at most 1.15 times as long as the reference on every one of them", () => {
  for (const { name, stream, content } of streams) {
    const encoded = lzoEncode(content);
    const ratio = encoded.byteLength / stream.byteLength;
    expect({
      name,
      isShort: ratio <= 1.15 || encoded.byteLength - stream.byteLength <= 16,
      ratio,
    }).toMatchObject({
      name,
      isShort: true,
    });
    expect(content.equals(lzoDecode(encoded, content.byteLength) as Uint8Array)).toBe(true);
  }
});

const pieces = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 3000 }))
      .map(([byte, length]) => new Uint8Array(length).fill(byte)),
    fc.constantFrom("the quick brown fox ", "0000000000000000", "a").map((text) => Buffer.from(text)),
  ),
  { maxLength: 40 },
);

describe("any content", () => {
  test("comes back, and its stream keeps the bound", () => {
    fc.assert(
      fc.property(pieces, fc.integer({ min: 0, max: 60_000 }), (parts, gap) => {
        // The same content again behind a gap: matches near and far.
        const once = Buffer.concat(parts);
        const content = Buffer.concat([once, new Uint8Array(gap).map((_, index) => index * 7), once]);
        const stream = lzoEncode(content);
        expect(stream.byteLength).toBeLessThanOrEqual(lzoBound(content.byteLength));
        expect(content.equals(lzoDecode(stream, content.byteLength) as Uint8Array)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("that is random keeps the bound", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (content) => {
        const stream = lzoEncode(content);
        expect(stream.byteLength).toBeLessThanOrEqual(lzoBound(content.byteLength));
        expect(lzoDecode(stream, content.byteLength)).toEqual(content);
      }),
    );
  });

  test("is refused when the stream is cut, or the length is another", () => {
    const content = Buffer.from("abcabcabcabcabcabc the end of abcabc");
    const stream = lzoEncode(content);
    for (let length = 0; length < stream.byteLength; length++)
      expect(lzoDecode(stream.subarray(0, length), content.byteLength)).toBeUndefined();
    expect(lzoDecode(stream, content.byteLength - 1)).toBeUndefined();
    expect(lzoDecode(stream, content.byteLength + 1)).toBeUndefined();
    expect(lzoDecode(Buffer.concat([stream, Buffer.from([0])]), content.byteLength)).toBeUndefined();
  });
});

test("the empty stream is the one of every other implementation", () => {
  expect(Buffer.from(lzoEncode(new Uint8Array(0))).toString("hex")).toBe("110000");
  expect(lzoDecode(Buffer.from("110000", "hex"), 0)).toEqual(new Uint8Array(0));
});
