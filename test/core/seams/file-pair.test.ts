/** Copies from file to file: those of a real disk make what one call for each stretch makes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Disk } from "../../../src/core/seams/disk.ts";
import { openPair, stretchesOf, stretchParts } from "../../../src/core/seams/file-pair.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { StretchSource } from "../../../src/native/stretches.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const BYTES = 32 << 20;
const KIB = 1024;
type Row = [source: number, from: number, length: number, to: number];

const listOf = (rows: Row[]) => new Uint8Array(BigUint64Array.from(rows.flat().map(BigInt)).buffer);

/** Longer and shorter than what goes through a pipe, at odd places, and zeros in between. */
const rows: Row[] = [
  [StretchSource.log, 0, 1 << 20, 512],
  [StretchSource.log, 3 * KIB, 512, 1 << 20],
  [StretchSource.zero, 0, 300 * KIB, 100 * KIB],
  [StretchSource.log, (2 << 20) + 512, (1 << 20) + 1536, 2 << 20],
  [StretchSource.log, 77 * KIB, 128 * KIB, 3500 * KIB],
  [StretchSource.log | StretchSource.soon, (1 << 20) + 512, (20 << 20) + 1024, 5 << 20],
];

async function copied(disk: Disk, name: string): Promise<Buffer> {
  const first = await disk.open(join(place.path, `${name}-first`), "exclusive");
  const second = await disk.open(join(place.path, `${name}-second`), "exclusive");
  await first.write(seededRandom(3).bytes(BYTES), 0);
  await second.write(new Uint8Array(BYTES).fill(9), 0);
  const pair = openPair(disk, first, second);
  for (const part of stretchParts(listOf(rows), 1 << 20)) await pair.copy(part);
  pair.close();
  const result = Buffer.alloc(BYTES);
  await second.read(result, 0);
  await first.close();
  await second.close();
  return result;
}

test("long copies through a pipe, short ones through memory, those that are synced soon, and zeros make the same file", async () => {
  const { disk } = realWorld();
  const plain: Disk = new Proxy(disk, {
    get: (target, key) => {
      const value = key === "pair" ? undefined : (Reflect.get(target, key) as unknown);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  expect((await copied(disk, "own")).equals(await copied(plain, "plain"))).toBe(true);
});

test("a source that is too short is an error, not a short copy", async () => {
  const { disk } = realWorld();
  const first = await disk.open(join(place.path, "short"), "exclusive");
  const second = await disk.open(join(place.path, "target"), "exclusive");
  await first.write(new Uint8Array(4096), 0);
  const pair = openPair(disk, first, second);
  await expect(pair.copy(listOf([[StretchSource.log, 0, 1 << 20, 0]]))).rejects.toThrow("EIO");
  pair.close();
  await first.close();
  await second.close();
});

test("the parts of a list are the list", () => {
  const parts = [...stretchParts(listOf(rows), 1 << 20)];
  expect(parts.length).toBe(3);
  expect(parts.flatMap(stretchesOf)).toEqual(stretchesOf(listOf(rows)));
});
