/** The self-test turns red when something is wrong: broken checksums in place of the real ones. */
import { expect, test } from "bun:test";
import { crc32cVectors, frameGoldenBytes } from "../../src/cli/selftests/codec.ts";
import { crc32c } from "../../src/core/crc32c.ts";

test("a checksum with the wrong polynomial fails its vectors and the golden bytes", () => {
  const crc32 = (bytes: Uint8Array, seed: number) => Bun.hash.crc32(bytes, seed);
  expect(() => crc32cVectors(crc32)).toThrow("CRC-32C of 32 zeros is wrong");
  expect(() => frameGoldenBytes(crc32)).toThrow("other bytes than the format says");
});

test("a checksum that cannot be continued fails", () => {
  expect(() => crc32cVectors((bytes, seed) => (seed === 0 ? crc32c(bytes, 0) : crc32c(bytes, 0)))).toThrow(
    "cannot be continued",
  );
});

test("a checksum that skips the payload is noticed by the flipped bit", () => {
  const skipsPayload = (bytes: Uint8Array, seed: number) =>
    bytes.byteLength === 16 && seed !== 0 ? 0xd4ca0e5f : crc32c(bytes, seed);
  expect(() => frameGoldenBytes(skipsPayload)).toThrow("a flipped bit in a frame goes unnoticed");
});

test("the real ones pass", () => {
  expect(crc32cVectors(crc32c)).toContain("RFC 3720");
  expect(frameGoldenBytes(crc32c)).toContain("golden bytes");
});
