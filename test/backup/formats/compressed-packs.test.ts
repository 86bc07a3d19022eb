/** Packs compressed by threads: in order, the same content, and nothing of a pack that is not sound. */
import { expect, test } from "bun:test";
import { memorySource } from "../../../src/backup/formats/bytes.ts";
import { compressedPacks } from "../../../src/backup/formats/compressed-packs.ts";
import { type CompressionName, compressionNames } from "../../../src/backup/formats/compression.ts";
import { type Diff, endPack, openDiff } from "../../../src/backup/formats/diff-merge.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../../src/native/blocks.ts";
import { LogReader } from "../../../src/native/log-reader.ts";
import { recompressPack } from "../../../src/native/recompress.ts";
import { applied } from "../vectors.ts";

const BLOCKS = 16_384;

/** A diff of many packs, half of whose content can be compressed. */
async function largeDiff(): Promise<{ diff: Diff; image: Buffer }> {
  const random = seededRandom(7);
  const reader = new LogReader({ codec: 2, level: 0, outOffset: WDIFF_HEADER_BYTES });
  const image = Buffer.alloc(BLOCKS * 512);
  for (let block = 0; block < BLOCKS; block += 32) {
    const content = image.subarray(block * 512, (block + 32) * 512);
    if (random.integer(8) > 0) content.fill(random.integer(200) + 1);
    if (random.integer(2) > 0) content.set(random.bytes(8192));
    reader.addImage(block, content, 32);
  }
  reader.index(0);
  const bytes = Buffer.concat([writeWdiffHeader("indexed", new Uint8Array(16)), reader.out.take()]);
  reader.free();
  return { diff: await openDiff(memorySource("large", bytes)), image };
}

async function packsOf(diff: Diff, name: CompressionName, threads: number): Promise<Buffer[]> {
  const packs: Buffer[] = [];
  const id = compressionNames.indexOf(name);
  for await (const pack of compressedPacks([diff], { id, level: 1, threads })) packs.push(Buffer.from(pack));
  return packs;
}

const fileOf = (packs: Buffer[]) =>
  openDiff(
    memorySource(
      "packs",
      Buffer.concat([writeWdiffHeader("sorted", new Uint8Array(16)), ...packs, endPack()]),
    ),
  );

test("every compression, by one thread or three, carries the same content, and slow ones make it small", async () => {
  const { diff, image } = await largeDiff();
  const plain = (await packsOf(diff, "none", 1)).reduce((sum, { byteLength }) => sum + byteLength, 0);
  for (const name of compressionNames) {
    const one = await packsOf(diff, name, 1);
    const three = await packsOf(diff, name, 3);
    expect(Buffer.concat(three).equals(Buffer.concat(one))).toBe(true);
    expect(three.length).toBeGreaterThan(3);
    expect((await applied(Buffer.alloc(image.byteLength, 0xee), [await fileOf(three)])).equals(image)).toBe(
      true,
    );
    const bytes = three.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (name !== "none") expect(bytes).toBeLessThan(plain * 0.6);
  }
}, 120_000);

test("a consumer that stops early leaves no thread behind, and a pack that is not sound is refused", async () => {
  const { diff } = await largeDiff();
  for await (const pack of compressedPacks([diff], { id: 1, level: 1, threads: 2 })) {
    expect(pack.byteLength).toBeGreaterThan(4096);
    break;
  }
  const [pack = Buffer.alloc(0)] = await packsOf(diff, "none", 1);
  expect(recompressPack(pack, 1, 1)?.byteLength).toBeLessThan(pack.byteLength);
  pack[5000] = (pack[5000] as number) ^ 1;
  expect(recompressPack(pack, 1, 1)).toBeUndefined();
  expect(recompressPack(pack.subarray(0, 100), 1, 1)).toBeUndefined();
});
