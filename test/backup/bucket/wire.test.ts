/** An archive, its bucket on s3rver, and the command line: what another S3-compatible server makes of our requests. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openS3 } from "../../../src/core/seams/object-store-s3.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { VOLUME } from "../servers.ts";
import { BucketGroup, inStep, URL_OF_BUCKET } from "./bucketed.ts";
import { BUCKET, CREDENTIALS, FakeS3 } from "./fake-s3.ts";
import { type RunningS3, startS3rver } from "./s3rver.ts";

setDefaultTimeout(60_000);

let place: ReturnType<typeof temporaryDirectory>;
let server: RunningS3;
beforeAll(async () => {
  place = temporaryDirectory();
  server = await startS3rver(place.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  place.remove();
});

const placeAt = (endpoint: string) => ({
  ...{ bucket: BUCKET, prefix: "seam", endpoint, region: "us-east-1", isPathStyle: true, timeoutMs: 5000 },
  ...CREDENTIALS,
});

test("a volume is uploaded as it arrives, listed, verified, and restored to any point or moment without a server", async () => {
  await using group = new BucketGroup(join(place.path, "whole"), 11, server.endpoint);
  const images = new Map<bigint, Buffer>();
  {
    const archive = await group.bucketed();
    const storage = await group.copied(archive);
    for (let index = 0; index < 4; index++) {
      storage.write(10);
      images.set(await group.point(archive, storage), Buffer.from(storage.image));
    }
    await inStep(archive);
    await group.stop("a0");
  }
  const listed = await group.walb("bucket", "list", URL_OF_BUCKET, "-json");
  expect(JSON.parse(listed.stdout).map(({ gid }: { gid: number }) => gid)).toEqual([1, 2, 3, 4]);
  for (const [gid, image] of images) {
    const name = `at-${gid}.img`;
    const run = await group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, String(gid), "-o", name);
    expect([run.code, run.stdout, run.stderr]).toEqual([0, `${gid}\n`, ""]);
    expect(readFileSync(group.out(name)).equals(image)).toBe(true);
  }
  const newest = await group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, "at", "-0s", "-o", "now.img");
  expect(newest.stdout).toBe("4\n");
  const early = await group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, "at", "-9d", "-o", "early.img");
  expect([early.code, early.stderr]).toEqual([1, expect.stringContaining("no point at or before")]);
  const there = await group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, "-o", "now.img");
  expect(there.stderr).toContain("exists already");
  const verified = await group.walb("verify", URL_OF_BUCKET);
  expect([verified.code, verified.stdout]).toEqual([
    0,
    expect.stringMatching(
      /^vol1@\|4\|: \d+ objects, \d+ bytes, 4 diffs; 0 objects that nothing names\n1 volumes read, 0 problems\n$/,
    ),
  ]);
});

const contenders = [
  ["s3rver", () => ({ endpoint: server.endpoint, [Symbol.asyncDispose]: async () => undefined })],
  ["our fake", () => new FakeS3()],
] as const;

test.each(contenders)("the object store seam keeps its promises on %s", async (name, start) => {
  await using running = start();
  const store = openS3(placeAt(running.endpoint), realClock);
  expect(store.name).toBe("s3://backups/seam");
  const key = "vol1/data/a b+é";
  expect(await store.get(key, 10)).toBeUndefined();
  expect(await store.stat(key)).toBeUndefined();
  await store.remove(key);
  await store.put(key, Buffer.from("hello"));
  expect(Buffer.from((await store.get(key, 5)) as Uint8Array).toString()).toBe("hello");
  await expect(store.get(key, 4)).rejects.toThrow("is longer than the 4 bytes expected");
  expect((await store.stat(key))?.bytes).toBe(5);
  const tag = (await store.replace("m", Buffer.from("1"), undefined)) as string;
  expect((await store.stat("m"))?.tag).toBe(tag);
  const again = await store.replace("m", Buffer.from("2"), tag);
  expect((await store.stat("m"))?.tag).toBe(again);
  // s3rver knows no conditions: it replaces whatever is there.
  const third = await store.replace("m", Buffer.from("3"), tag);
  expect(third === "changed").toBe(name !== "s3rver");
  const keys: string[] = [];
  for await (const each of store.list("")) keys.push(`${each.key}:${each.bytes}`);
  expect(keys).toEqual(["m:1", `${key}:5`]);
});

test("a wrong key, a bucket that is not there and a port where nobody listens are told apart, with what to do", async () => {
  await using fake = new FakeS3();
  const get = (more: object) =>
    openS3({ ...placeAt(fake.endpoint), ...more }, realClock)
      .put("x", Buffer.from("1"))
      .catch((error) => error);
  expect(await get({ accessKeyId: "somebody" })).toMatchObject({
    message: expect.stringContaining("put x: InvalidAccessKeyId"),
    hint: "check accessKeyId in the credentials file, or AWS_ACCESS_KEY_ID",
  });
  expect(await get({ secretAccessKey: "wrong" })).toMatchObject({
    message: expect.stringContaining("SignatureDoesNotMatch"),
    hint: expect.stringContaining("secretAccessKey"),
  });
  expect(await get({ bucket: "nowhere" })).toMatchObject({
    message: expect.stringContaining("NoSuchBucket"),
  });
  expect(await get({ endpoint: "http://127.0.0.1:1" })).toMatchObject({
    message: expect.stringContaining("nobody listens there (ECONNREFUSED)"),
  });
});
