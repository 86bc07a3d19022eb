/** What `node-x check` says of an archive's bucket, and the sample cluster of configs/. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const URL = "s3://backups/archive0";

function check(config: object): ReturnType<typeof cli> {
  const file = join(place.path, "p.archive0.json");
  writeFileSync(file, JSON.stringify(config));
  return cli(["check", file], { cwd: place.path });
}

test.each([
  [{ bucket: { url: "s3:/backups" } }, "bucket.url: wanted s3://BUCKET/PREFIX"],
  [
    { bucket: { url: URL, endpoint: "http://s3.example" } },
    "bucket.endpoint: wanted https://, an address of loopback",
  ],
  [
    { bucket: { url: URL, mode: "primary" }, volumeGroup: "vg0" },
    "bucket.mode: wanted second, or no volumeGroup",
  ],
  [{ bucket: { url: URL, keepUnused: "a day" } }, "bucket.keepUnused: wanted a period"],
  [{ bucket: {} }, "bucket.url"],
])("%j is refused", async (config, words) => {
  const { code, stderr, stdout } = await check(config);
  expect([code, stderr + stdout]).toEqual([78, expect.stringContaining(words)]);
});

test("a file of credentials that others can read is refused, a private one is fine", async () => {
  const credentialsFile = join(place.path, "bucket.json");
  writeFileSync(credentialsFile, '{"accessKeyId":"a","secretAccessKey":"hidden-word"}', { mode: 0o644 });
  const open = await check({ bucket: { url: URL, credentialsFile } });
  expect([open.code, open.stderr + open.stdout]).toEqual([
    78,
    expect.stringContaining("bucket.credentialsFile"),
  ]);
  expect(open.stderr + open.stdout).not.toContain("hidden-word");
  chmodSync(credentialsFile, 0o600);
  expect((await check({ bucket: { url: URL, credentialsFile } })).code).toBe(0);
});

test("the sample cluster with a bucket is without mistakes", async () => {
  expect(await cli(["check", join(import.meta.dir, "../../../configs/bucket")])).toMatchObject({ code: 0 });
});
