/** Blocks: every byte in exactly one, the same borders around a change, tables that lie are refused. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  cut,
  decodeBitmap,
  decodeTable,
  digestOf,
  encodeBitmap,
  encodeTable,
} from "../../../src/cluster/release/blocks.ts";
import { platformOf, whyUnfit } from "../../../src/cluster/release/executable.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { programBytes } from "../deploy/model-cluster.ts";
import { readFileSync } from "node:fs";

const content = seededRandom(7).bytes(600_000);

test("blocks follow each other without a gap and keep their limits", () => {
  for (const bytes of [content, new Uint8Array(300_000), new Uint8Array(0), content.subarray(0, 10)]) {
    const blocks = cut(bytes);
    let at = 0;
    for (const { offset, bytes: length, digest } of blocks) {
      expect(offset).toBe(at);
      expect(length).toBeLessThanOrEqual(BLOCK_BYTES_MAX);
      expect(digest).toBe(digestOf(bytes.subarray(offset, offset + length)));
      at += length;
    }
    expect(at).toBe(bytes.byteLength);
    for (const { bytes: length } of blocks.slice(0, -1))
      expect(length).toBeGreaterThanOrEqual(BLOCK_BYTES_MIN);
  }
});

test("bytes that are put in or taken out change the blocks around them only", () => {
  const known = new Set(cut(content).map(({ digest }) => digest));
  fc.assert(
    fc.property(fc.nat(content.byteLength - 1000), fc.uint8Array({ maxLength: 50 }), (at, added) => {
      const changed = Buffer.concat([content.subarray(0, at), added, content.subarray(at + 20)]);
      const fresh = cut(changed).filter(({ digest }) => !known.has(digest));
      const freshBytes = fresh.reduce((sum, { bytes }) => sum + bytes, 0);
      expect(freshBytes).toBeLessThanOrEqual(4 * BLOCK_BYTES_MAX);
    }),
    { numRuns: 20 },
  );
});

test("the borders are the same on every machine and in every version of the protocol", () => {
  const digest = new Bun.CryptoHasher("sha256").update(encodeTable(cut(content))).digest("hex");
  expect(digest).toBe("f918c777f3411311a9eb961eab70c2bfa8bef0cf2fbce6718d87dc2bb8765bc9");
});

test("a table comes back; one that lies about lengths is refused", () => {
  const blocks = cut(content);
  const table = encodeTable(blocks);
  expect(decodeTable(table, content.byteLength)).toEqual(blocks);
  expect(() => decodeTable(table, content.byteLength + 1)).toThrow("covers");
  expect(() => decodeTable(table.subarray(1), content.byteLength)).toThrow("within an entry");
  const long = Buffer.from(table);
  long.writeUInt32LE(0xffffffff, 0);
  expect(() => decodeTable(long, content.byteLength)).toThrow("claims");
});

test("a bitmap comes back", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(99)), (wanted) => {
      const sorted = wanted.toSorted((a, b) => a - b);
      expect(decodeBitmap(encodeBitmap(100, wanted), 100)).toEqual(sorted);
    }),
  );
  expect(() => decodeBitmap(new Uint8Array(3), 100)).toThrow();
});

test("an executable's own header says what it runs on", () => {
  expect(platformOf(readFileSync(process.execPath))).toMatchObject({ libc: "glibc" });
  const program = programBytes(1);
  expect(platformOf(program)).toEqual({ machine: "x86_64", libc: "static" });
  program[18] = 0xb7;
  expect(platformOf(program)).toEqual({ machine: "aarch64", libc: "static" });
  expect(platformOf(Buffer.from("#!/bin/sh\n".padEnd(100)))).toBeUndefined();
  // A header that points beyond the end is no header.
  program[56] = 1;
  new DataView(program.buffer, program.byteOffset).setBigUint64(32, 1n << 40n, true);
  expect(platformOf(program)).toBeUndefined();
  const glibc = { machine: "x86_64", libc: "glibc" } as const;
  expect(whyUnfit(glibc, { machine: "aarch64", libc: "glibc" })).toContain("aarch64");
  expect(whyUnfit(glibc, { machine: "x86_64", libc: "musl" })).toContain("musl");
  expect(whyUnfit(glibc, { machine: "x86_64", libc: "glibc" })).toBeUndefined();
});
