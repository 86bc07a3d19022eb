/** The bytes of manifests and tables of parts: what is written is read, and nothing damaged is believed. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { clean, steady } from "../../../src/backup/algebra/snapshot.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../../src/backup/bucket/manifest.ts";
import { decodePartTable, encodePartTable, type PartTable } from "../../../src/backup/bucket/part-table.ts";
import { metaDiff } from "../../crash/backup-harness.ts";

const sha256 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("hex"));
const ref = fc.record({
  sha256,
  crc32c: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  bytes: fc.integer({ min: 1, max: 2 ** 30 }),
});
const part = fc.option(
  fc.record({ ...{ sha256 }, crc32c: fc.nat(), bytes: fc.integer({ min: 1 }), codec: fc.constantFrom(0, 2) }),
  { nil: undefined },
);
const table: fc.Arbitrary<PartTable> = fc
  .record({
    parts: fc.array(part, { maxLength: 6 }),
    partBytes: fc.integer({ min: 4096, max: 1 << 26 }),
    short: fc.nat(4095),
  })
  .map(({ parts, partBytes, short }) => ({
    partBytes,
    parts,
    bytes: Math.max(0, parts.length * partBytes - short),
  }));
const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 });
const manifest: fc.Arbitrary<Manifest> = fc.record({
  number: fc.nat(),
  writer: fc.stringMatching(/^[a-z0-9]{1,12}$/),
  discard: fc.constantFrom("ignore", "zero", "passdown"),
  uuid,
  archiveUuid: uuid,
  base: fc.nat(1_800_000_000).map((time) => steady(clean(0n), time)),
  baseTable: ref,
  imageBytes: fc.maxSafeNat(),
  diffs: fc.array(
    fc.record({
      diff: fc.integer({ min: 1, max: 99 }).map((gid) => metaDiff(gid, gid % 2 === 0)),
      table: ref,
    }),
    { maxLength: 5 },
  ),
  dropped: fc.array(fc.record({ time: fc.nat(), table: ref }), { maxLength: 3 }),
});

test("a table of parts is read as it was written", () => {
  fc.assert(
    fc.property(table, (each) => void expect(decodePartTable("t", encodePartTable(each))).toEqual(each)),
  );
});

test("a manifest is read as it was written", async () => {
  await fc.assert(
    fc.asyncProperty(manifest, async (each) => {
      expect(await decodeManifest("m", encodeManifest(each))).toEqual(each);
    }),
  );
});

const flipped = (bytes: Uint8Array, at: number, bit: number) =>
  bytes.map((byte, index) => (index === at % bytes.byteLength ? byte ^ (1 << bit) : byte));

test("no table of parts with a flipped bit or a missing end is believed", () => {
  fc.assert(
    fc.property(table, fc.nat(), fc.nat(7), (each, at, bit) => {
      const bytes = encodePartTable(each);
      expect(() => decodePartTable("t", flipped(bytes, at, bit))).toThrow("t is no whole table of parts");
      expect(() => decodePartTable("t", bytes.subarray(0, at % bytes.byteLength))).toThrow(
        "t is no whole table",
      );
    }),
  );
});

test("no manifest with a flipped bit or a missing end is believed", async () => {
  await fc.assert(
    fc.asyncProperty(manifest, fc.nat(), fc.nat(7), async (each, at, bit) => {
      const bytes = encodeManifest(each);
      await expect(decodeManifest("m", flipped(bytes, at, bit))).rejects.toThrow("m is no whole manifest");
      await expect(decodeManifest("m", bytes.subarray(0, at % bytes.byteLength))).rejects.toThrow(
        "m is no whole",
      );
    }),
  );
});
