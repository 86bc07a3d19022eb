import { expect, test } from "bun:test";
import { crc32c } from "../../src/native/crc32c.ts";

test("gives RFC 3720's vectors, for parts of arrays too", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 64 }, (_, index) => index - 16).subarray(16, 48))).toBe(0x46dd794e);
});

test("pieces chain, the empty piece included", () => {
  const bytes = Uint8Array.from({ length: 20_000 }, (_, index) => (index * 7) & 0xff);
  for (const cut of [0, 1, 384, 6144, 20_000]) {
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
  }
});
