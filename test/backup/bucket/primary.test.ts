/** An archive whose images and diffs are in a bucket: it keeps little itself, and a new machine goes on from the bucket. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodePartTable } from "../../../src/backup/bucket/part-table.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { at, gidsOf, settled, until } from "../group.ts";
import { VOLUME } from "../servers.ts";
import { BucketGroup, bucketStats, inStep, PART_BYTES, URL_OF_BUCKET } from "./bucketed.ts";
import { FakeS3 } from "./fake-s3.ts";

setDefaultTimeout(60_000);

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const CACHE_BYTES = 1 << 20;
let count = 0;
const groupAt = ({ endpoint }: FakeS3) =>
  new BucketGroup(join(place.path, `group-${count++}`), 300 + count, endpoint);
const primary = (group: BucketGroup, more: Record<string, unknown> = {}) =>
  group.bucketed("a0", { mode: "primary", cacheBytesMax: CACHE_BYTES, ...more });

function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** Volume of 4 MiB with four points behind each other, and the image at each. */
async function filled(group: BucketGroup, archive: Awaited<ReturnType<typeof primary>>) {
  const storage = await group.copied(archive, 8192);
  const images = new Map<bigint, Buffer>();
  for (let index = 0; index < 4; index++) {
    storage.write(12, 300);
    images.set(await group.point(archive, storage), Buffer.from(storage.image));
  }
  return { storage, images };
}

test("a primary keeps its cache and no image, restores every point, and applies and merges in the bucket", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const archive = await primary(group);
  const { images } = await filled(group, archive);
  await inStep(archive);
  expect(existsSync(group.pathOf("a0", `wb_${VOLUME}`))).toBe(false);
  await until(
    async () => bytesBelow(join(group.directory, "a0")) < CACHE_BYTES + 8 * PART_BYTES,
    "a small disk",
  );
  for (const [gid, image] of images) await group.expectImage(archive, gid, image);
  const hash = await archive.controller.blockHash([VOLUME, "2", "64K"]);
  await archive.controller.command("apply", [VOLUME, "2"], "accept");
  await settled(archive, "Apply");
  expect(Buffer.from(await archive.controller.blockHash([VOLUME, "2", "64K"]))).toEqual(Buffer.from(hash));
  expect(await gidsOf(archive)).toEqual(["2", "3", "4"]);
  await archive.controller.command("disable-snapshot", [VOLUME, "3"], "ok");
  await archive.controller.command("merge", [VOLUME, "2", "gid", "4"], "accept");
  await settled(archive, "Merge");
  await inStep(archive);
  for (const gid of [2n, 4n]) await group.expectImage(archive, gid, images.get(gid) as Buffer);
  await group.verifiesClean();
  await group.stop("a0");
  const local = await cli(["walb", "verify", join(group.directory, "a0", "archive")]);
  expect([local.code, local.stderr]).toEqual([0, ""]);
  const run = await group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, "-o", "now.img");
  expect([run.code, run.stdout]).toEqual([0, "4\n"]);
  expect(readFileSync(group.out("now.img")).equals(images.get(4n) as Buffer)).toBe(true);
});

test("a primary that lost its disk takes every volume from the bucket, and goes on with the next diff", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const first = await primary(group);
  const { storage, images } = await filled(group, first);
  await group.stop("a0");
  rmSync(join(group.directory, "a0"), { recursive: true });
  const archive = await primary(group);
  expect(await gidsOf(archive)).toEqual(["1", "2", "3", "4"]);
  await inStep(archive);
  storage.write(10);
  images.set(await group.point(archive, storage), Buffer.from(storage.image));
  for (const [gid, image] of images) await group.expectImage(archive, gid, image);
});

test("a primary acknowledges nothing while the bucket is away; the same diff is asked for again until it is there", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const archive = await primary(group, { timeoutMs: 500 });
  const storage = await group.copied(archive);
  await group.point(archive, storage);
  s3.fault = ({ method }) => (method === "PUT" ? "503" : undefined);
  storage.write(5);
  const shipment = storage.snapshot();
  await expect(storage.shipAsProxy(at(archive.port), shipment)).rejects.toThrow();
  expect(await storage.shipAsProxy(at(archive.port), shipment)).toBe("wdiff-recv");
  s3.fault = () => undefined;
  await inStep(archive);
  expect(await storage.shipAsProxy(at(archive.port), shipment)).toBe("too-old-diff");
  await group.expectImage(archive, shipment.diff.to.begin, storage.image);
});

test("a damaged file of the cache is thrown away and fetched again; a damaged object ends the job with its name", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const before = await primary(group, { cacheBytesMax: 64 << 20 });
  const { images } = await filled(group, before);
  await group.stop("a0");
  const cache = join(group.directory, "a0", "bucket-cache");
  for (const name of readdirSync(cache)) {
    const bytes = readFileSync(join(cache, name));
    bytes[7] = (bytes[7] as number) ^ 1;
    writeFileSync(join(cache, name), bytes);
  }
  const archive = await primary(group, { cacheBytesMax: 64 << 20 });
  await group.expectImage(archive, 4n, images.get(4n) as Buffer);
  await group.stop("a0");
  rmSync(cache, { recursive: true });
  const path = group.pathOf("a0", `wb_${VOLUME}.parts`);
  const { parts } = decodePartTable(path, readFileSync(path));
  const key = `archive0/${VOLUME}/data/${parts.find((part) => part !== undefined)?.sha256}`;
  s3.objects.set(
    key,
    (s3.objects.get(key) as Uint8Array).map((byte, index) => (index === 5 ? byte ^ 1 : byte)),
  );
  const damaged = await primary(group, { cacheBytesMax: 64 << 20 });
  await expect(damaged.controller.blockHash([VOLUME, "4", "64K"])).rejects.toThrow();
  const verified = await group.walb("verify", URL_OF_BUCKET);
  expect([verified.code, verified.stderr]).toEqual([65, expect.stringContaining(key)]);
  expect(bucketStats(damaged).volumes).toHaveLength(1);
});

test("a volume that grows in a primary keeps its content", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const archive = await primary(group);
  // Not a multiple of a part, so that the last part gets longer.
  const storage = await group.copied(archive, 2050);
  await group.point(archive, storage);
  await archive.controller.command("resize", [VOLUME, "2M"], "ok");
  storage.image = Buffer.concat([storage.image, Buffer.alloc(2 ** 21 - storage.image.byteLength)]);
  storage.write(10);
  await group.expectImage(archive, await group.point(archive, storage), storage.image);
});
