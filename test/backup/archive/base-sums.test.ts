/** The checksums of a base image: what a change makes of them, and damage that an apply meets. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BaseSumsChange, compareBase, NewBaseSums } from "../../../src/backup/archive/base-sums.ts";
import { clean, type MetaState, steady } from "../../../src/backup/algebra/snapshot.ts";
import { fileSource } from "../../../src/backup/formats/bytes.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const { disk } = realWorld();
const BYTES = (1 << 20) + 4096;
const state = (gid: number) => steady(clean(BigInt(gid)), 0);
type Kind = "normal" | "zero" | "discard";

/** A base of random bytes with its checksums. */
async function base(name: string) {
  const directory = join(place.path, name);
  mkdirSync(directory);
  const path = join(directory, "base");
  const file = await disk.open(path, "exclusive");
  const content = Buffer.from(seededRandom(5).bytes(BYTES));
  await file.write(content, 0);
  const sums = new NewBaseSums();
  sums.add(content);
  await sums.write(disk, directory, clean(1n));
  return { directory, image: { file, path, bytes: BYTES } };
}
type Base = Awaited<ReturnType<typeof base>>;

async function compare({ directory, image }: Base, gid: number) {
  const source = fileSource(image.path, image.file, await image.file.size());
  return await compareBase(disk, directory, state(gid), source);
}

/** Writes runs as an apply does. */
async function change(
  { directory, image }: Base,
  from: number | MetaState,
  to: number,
  runs: [number, number, Kind][],
) {
  const before = typeof from === "number" ? state(from) : from;
  const sums = await BaseSumsChange.begin(disk, directory, before, image);
  const data = seededRandom(to).bytes(runs.reduce((sum, [, blocks]) => sum + blocks, 0) * 512);
  let at = 0;
  for (const [address, blocks, kind] of runs) {
    const run = { address, blocks, kind, data: at } as never;
    await sums.overlay({ runs: [run], data }, "zero");
    const bytes = kind === "normal" ? data.subarray(at, at + blocks * 512) : new Uint8Array(blocks * 512);
    await image.file.write(bytes, address * 512);
    at += blocks * 512;
  }
  sums.endPass();
  await sums.finish(clean(BigInt(to)));
}

const runs: [number, number, Kind][] = [[3, 5, "normal"], [500, 30, "normal"], [600, 8, "discard"], [1000, 1050, "zero"]]; // prettier-ignore

test("a change leaves the checksums of what it wrote, across chunks and at the end", async () => {
  const made = await base("changed");
  expect(await compare(made, 1)).toMatchObject({ found: undefined });
  await change(made, 1, 2, runs);
  expect(await compare(made, 2)).toMatchObject({ found: undefined });
  expect(await compare(made, 1)).toBeUndefined();
  expect(readdirSync(made.directory).sort()).toEqual(["base", "base-2-2.crc32c"]);
  await made.image.file.close();
});

test("a flipped bit is not given a new checksum by an apply: it is refused", async () => {
  const made = await base("flipped");
  const byte = new Uint8Array(1);
  await made.image.file.read(byte, 700_000);
  await made.image.file.write(Uint8Array.of((byte[0] as number) ^ 1), 700_000);
  expect(await compare(made, 1)).toMatchObject({ found: { at: "file", offset: 524_288 } });
  await expect(change(made, 1, 2, [[1366, 1, "normal"]])).rejects.toThrow("damaged at byte 524288");
  await made.image.file.close();
});

test("a change that was interrupted is repeated; a base of others gets its checksums with the first change", async () => {
  const made = await base("interrupted");
  const applying = { isApplying: true, timestamp: 0, from: clean(1n), to: clean(2n) };
  await BaseSumsChange.begin(disk, made.directory, applying, made.image);
  await made.image.file.write(new Uint8Array(512).fill(9), 3 * 512);
  expect(await compare(made, 1)).toBeUndefined();
  await change(made, applying, 2, runs);
  expect(await compare(made, 2)).toMatchObject({ found: undefined });
  await change(made, 7, 8, runs);
  expect(await compare(made, 8)).toMatchObject({ found: undefined });
  await made.image.file.close();
});

test("a base that grew is compared up to where it ended, and whole after the next change", async () => {
  const made = await base("grown");
  await made.image.file.truncate(2 * BYTES);
  expect(await compare(made, 1)).toMatchObject({ found: undefined });
  const grown = { ...made, image: { ...made.image, bytes: 2 * BYTES } };
  await change(grown, 1, 2, [[BYTES / 512 - 1, 3, "normal"]]);
  expect(await compare(grown, 2)).toMatchObject({ found: undefined });
  await made.image.file.write(Uint8Array.of(1), 2 * BYTES - 1);
  expect(await compare(grown, 2)).toMatchObject({ found: { at: "file" } });
  await made.image.file.close();
});
