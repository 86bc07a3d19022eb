import { expect, test } from "bun:test";
import { crc32c } from "../../../src/core/crc32c.ts";
import { crc32c as nativeCrc32c } from "../../../src/native/crc32c.ts";
import { NxError } from "../../../src/core/errors.ts";
import {
  decodeFileHeader,
  encodeFileHeader,
  FileKind,
  frameBytes,
  FrameCodec,
  FrameKind,
  getUint64,
  setUint64,
  viewOf,
} from "../../../src/core/append-log/frame.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";

const id = Uint8Array.from({ length: 16 }, (_, index) => index);
const header = {
  kind: FileKind.segment,
  sequence: 7,
  id,
  position: 0x1_0000_0002,
  firstFrame: 5,
  payloadFormat: 3,
};

test("a file header has the bytes of the table", () => {
  const hex = Buffer.from(encodeFileHeader(header, crc32c)).toString("hex");
  expect(hex.slice(0, 120)).toBe(
    "4e584c4f470d0a1a" + // magic
      "01000000" + // format version
      "01000000" + // kind: segment
      "0700000000000000" + // sequence
      "000102030405060708090a0b0c0d0e0f" + // file id
      "0200000001000000" + // position
      "0500000000000000" + // first frame
      "03000000", // payload format
  );
  expect(decodeFileHeader(encodeFileHeader(header, crc32c), "f", crc32c)).toEqual(header);
});

test("a frame has the bytes of the table", () => {
  const frame = new Uint8Array(frameBytes(5)).fill(0xff);
  frame.set([1, 2, 3, 4, 5], 32);
  new FrameCodec(id, crc32c).seal(frame, FrameKind.data, 9, 5, 0x40);
  const hex = Buffer.from(frame).toString("hex");
  expect(hex.slice(0, 48)).toBe("4e584652" + "01000000" + "0900000000000000" + "05000000" + "04000000");
  expect(hex.slice(64)).toBe("0102030405" + "00".repeat(11));
  const seed = crc32c(id, 0);
  expect(viewOf(frame).getUint32(24, true)).toBe(crc32c(frame.subarray(32), seed));
  expect(viewOf(frame).getUint32(28, true)).toBe(crc32c(frame.subarray(0, 28), seed));
});

test("a frame is valid in its own file and at its own offset only", () => {
  const codec = new FrameCodec(id, crc32c);
  const frame = new Uint8Array(frameBytes(100));
  codec.seal(frame, FrameKind.data, 1, 100, 64);
  expect(codec.headerAt(viewOf(frame), 0, 64)).toEqual({
    kind: FrameKind.data,
    number: 1,
    payloadBytes: 100,
    payloadCrc: viewOf(frame).getUint32(24, true),
  });
  expect(codec.headerAt(viewOf(frame), 0, 80)).toBeUndefined();
  const otherFile = new FrameCodec(
    id.map((byte) => byte ^ 1),
    crc32c,
  );
  expect(otherFile.headerAt(viewOf(frame), 0, 64)).toBeUndefined();
});

test("every flipped bit of a header or a frame is noticed", () => {
  const bytes = encodeFileHeader(header, crc32c);
  for (let bit = 0; bit < 8 * bytes.byteLength; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(() => decodeFileHeader(flipped, "f", crc32c)).toThrow(NxError);
  }
  const codec = new FrameCodec(id, crc32c);
  const frame = new Uint8Array(frameBytes(21));
  codec.seal(frame, FrameKind.data, 1, 21, 64);
  for (let bit = 0; bit < 8 * frame.byteLength; bit++) {
    const flipped = frame.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    const found = codec.headerAt(viewOf(flipped), 0, 64);
    expect(found !== undefined && codec.isIntact(found, flipped.subarray(32))).toBe(false);
  }
});

test("another format version is refused as such, not as damage", () => {
  const bytes = encodeFileHeader(header, crc32c);
  viewOf(bytes).setUint32(8, 2, true);
  viewOf(bytes).setUint32(60, crc32c(bytes.subarray(0, 60), 0), true);
  expect(() => decodeFileHeader(bytes, "dir/log-1", crc32c)).toThrow(
    "dir/log-1 has log format 2, this program reads 1",
  );
});

test("64-bit integers keep every safe integer, and anything larger is not taken for a number", () => {
  const view = viewOf(new Uint8Array(8));
  for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER]) {
    setUint64(view, 0, value);
    expect(getUint64(view, 0)).toBe(value);
  }
  view.setBigUint64(0, 1n << 60n, true);
  expect(getUint64(view, 0)).toBeNaN();
});

test("the checksum is that of RFC 3720, chains, and equals the C library's", () => {
  expect(crc32c(new TextEncoder().encode("123456789"), 0)).toBe(0xe3069283);
  const random = seededRandom(3);
  for (let round = 0; round < 200; round++) {
    const bytes = random.bytes(random.integer(300));
    const cut = random.integer(bytes.byteLength + 1);
    const seed = random.integer(0x1_0000_0000);
    const expected = crc32c(bytes, seed);
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut), seed))).toBe(expected);
    expect(nativeCrc32c(bytes, seed)).toBe(expected);
  }
});
