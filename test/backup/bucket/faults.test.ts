/** A bucket that fails, cuts, dawdles and lies: the archive goes on, and a restore says what is wrong or goes on later. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { at, settled, until } from "../group.ts";
import { TestStorage, VOLUME } from "../servers.ts";
import { BucketGroup, bucketStats, inStep, URL_OF_BUCKET } from "./bucketed.ts";
import { type Fault, FakeS3 } from "./fake-s3.ts";

setDefaultTimeout(120_000);

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let count = 0;
const groupAt = ({ endpoint }: FakeS3) =>
  new BucketGroup(join(place.path, `group-${count++}`), 100 + count, endpoint);
const restore = (group: BucketGroup, ...words: string[]) =>
  group.walb("restore", "-from", URL_OF_BUCKET, VOLUME, ...words);
const dataKeys = (s3: FakeS3) => [...s3.objects.keys()].filter((key) => key.includes("/data/"));

/** A volume with `points` snapshots that is in the bucket. */
async function stored(group: BucketGroup, points = 2, blocks = 2048) {
  const archive = await group.bucketed();
  const storage = await group.copied(archive, blocks);
  for (let index = 0; index < points; index++) {
    storage.write(8);
    await group.point(archive, storage);
  }
  await inStep(archive);
  return { archive, storage };
}

test("diffs are taken while the bucket is away, the lag is shown, and all is uploaded when it is back", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const { archive, storage } = await stored(group);
  s3.fault = () => "503";
  storage.write(5);
  await group.point(archive, storage);
  await until(async () => bucketStats(archive).volumes[0]?.error !== null, "a failure that is told");
  expect(bucketStats(archive).volumes[0]).toMatchObject({
    diffsMissing: 1,
    error: expect.stringContaining("vol1/"),
  });
  expect(archive.role.keyFigure()).toBe("1 volume, 1 diff not in the bucket");
  s3.fault = () => undefined;
  await inStep(archive);
  expect(archive.role.keyFigure()).toBe("1 volume");
  expect((await restore(group, "-o", "now.img")).code).toBe(0);
  expect(readFileSync(group.out("now.img")).equals(storage.image)).toBe(true);
});

test.each(["500", "silent", "412"] as const)(
  "an upload that meets %s now and then is repeated until it is whole",
  async (kind) => {
    await using s3 = new FakeS3();
    await using group = groupAt(s3);
    let puts = 0;
    s3.fault = ({ method, key }): Fault | undefined =>
      method === "PUT" && (kind !== "412" || key.endsWith("/manifest")) && ++puts <= 2 ? kind : undefined;
    const archive = await group.bucketed("a0", { timeoutMs: 100, uploadsAtOnce: 1 });
    const storage = await group.copied(archive);
    await group.point(archive, storage);
    await inStep(archive);
    expect(puts).toBeGreaterThan(2);
    s3.fault = () => undefined;
    expect((await restore(group, "-o", "now.img")).code).toBe(0);
    expect(readFileSync(group.out("now.img")).equals(storage.image)).toBe(true);
  },
);

test("an archive that is stopped in the middle of an upload sends only what is missing when it starts again", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  s3.fault = ({ method }) => (method === "PUT" && dataKeys(s3).length >= 6 ? "500" : undefined);
  let archive = await group.bucketed();
  const storage = await group.copied(archive, 4096);
  await group.point(archive, storage);
  await until(async () => dataKeys(s3).length >= 6, "a part of the base image in the bucket");
  await group.stop("a0");
  const before = dataKeys(s3).length;
  s3.fault = () => undefined;
  archive = await group.bucketed();
  await inStep(archive);
  const { objectsFound, objectsPut } = bucketStats(archive);
  expect(objectsFound).toBeGreaterThanOrEqual(before);
  // What was under way when it was stopped may have arrived after it was counted.
  expect(objectsPut).toBeLessThanOrEqual(dataKeys(s3).length - before);
  expect(objectsPut).toBeGreaterThan(0);
});

test("a merge takes the objects of merged diffs out of the bucket, an apply uploads only what changed of the base", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const archive = await group.bucketed();
  const storage = await group.copied(archive, 16384);
  await group.point(archive, storage);
  for (let index = 0; index < 3; index++) {
    storage.write(1, 4);
    await group.point(archive, storage, true);
  }
  await group.point(archive, storage);
  await inStep(archive);
  const before = new Set(dataKeys(s3));
  await archive.controller.command("merge", [VOLUME, "1", "gid", "5"], "accept");
  await settled(archive, "Merge");
  await until(async () => bucketStats(archive).objectsRemoved > 0, "objects removed");
  await inStep(archive);
  expect(dataKeys(s3).filter((key) => !before.has(key)).length).toBeGreaterThan(0);
  expect([...before].filter((key) => !s3.objects.has(key)).length).toBeGreaterThan(0);
  const { objectsPut: merged, objectsFound: known } = bucketStats(archive);
  await archive.controller.command("apply", [VOLUME, "5"], "accept");
  await settled(archive, "Apply");
  await until(async () => bucketStats(archive).objectsPut > merged, "a base image that follows");
  await inStep(archive);
  // What did not change is found by its name and not sent again.
  expect(bucketStats(archive).objectsFound - known).toBeGreaterThan(20);
  expect((await restore(group, "5", "-o", "now.img")).code).toBe(0);
  expect(readFileSync(group.out("now.img")).equals(storage.image)).toBe(true);
  await group.verifiesClean();
});

test("a volume that was grown is restored in its new size", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const { archive, storage } = await stored(group);
  await archive.controller.command("resize", [VOLUME, "2M"], "ok");
  storage.image = Buffer.concat([storage.image, Buffer.alloc(2 ** 21 - storage.image.byteLength)]);
  storage.write(10);
  await group.point(archive, storage);
  await inStep(archive);
  expect((await restore(group, "-o", "now.img")).stderr).toBe("");
  expect(readFileSync(group.out("now.img")).equals(storage.image)).toBe(true);
});

interface Damage {
  what: string;
  of(whole: Uint8Array): Uint8Array | undefined;
  words: string;
}

const damages: Damage[] = [
  {
    what: "a flipped bit",
    of: (whole) => whole.map((byte, at) => (at === 9 ? byte ^ 4 : byte)),
    words: "is damaged: it does not have its checksum",
  },
  { what: "a missing object", of: () => undefined, words: "is missing" },
  { what: "an object that is cut short", of: (whole) => whole.slice(0, -1), words: "bytes instead of" },
];

function change(s3: FakeS3, key: string, of: Damage["of"]): Uint8Array {
  const whole = s3.objects.get(key) as Uint8Array;
  const damaged = of(whole);
  if (damaged === undefined) s3.objects.delete(key);
  else s3.objects.set(key, damaged);
  return whole;
}

test.each(damages)(
  "$what is named by restore and by verify, and nothing is made of it",
  async ({ of, words }) => {
    await using s3 = new FakeS3();
    await using group = groupAt(s3);
    await stored(group);
    await group.stop("a0");
    const keys = dataKeys(s3);
    for (const key of [keys[0], keys.at(-1)] as [string, string]) {
      const whole = change(s3, key, of);
      const run = await restore(group, "-o", "now.img");
      expect(run.code).toBe(65);
      expect(run.stderr).toContain(`s3://backups/${key} `);
      expect(run.stderr).toContain(words);
      expect(run.stderr).toContain("hint: ");
      expect(existsSync(group.out("now.img"))).toBe(false);
      const verified = await group.walb("verify", URL_OF_BUCKET);
      expect([verified.code, verified.stderr]).toEqual([65, expect.stringContaining(key)]);
      s3.objects.set(key, whole);
    }
    // What came before the damage is used by the next try.
    expect((await restore(group, "-o", "now.img")).code).toBe(0);
  },
);

const manifests: (Damage & { code: number })[] = [
  {
    what: "a damaged manifest",
    of: (whole) => whole.map((byte, at) => (at === 20 ? byte ^ 1 : byte)),
    code: 65,
    words: "is no whole manifest: its checksum is wrong",
  },
  { what: "no manifest", of: () => undefined, code: 65, words: 'has no volume "vol1"' },
];

test.each(manifests)("$what is told before anything is fetched", async ({ of, code, words }) => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  await stored(group, 1);
  await group.stop("a0");
  change(s3, "archive0/vol1/manifest", of);
  const run = await restore(group, "-o", "now.img");
  expect([run.code, run.stderr]).toEqual([code, expect.stringContaining(words)]);
});

test.each(["cut", "garbage", "500"] as const)(
  "a restore that meets %s ends with the object's name, and the next call fetches only the rest",
  async (kind) => {
    await using s3 = new FakeS3();
    await using group = groupAt(s3);
    // 4 MiB: 64 parts, of which those that are not zeros have objects.
    const { storage } = await stored(group, 2, 8192);
    await group.stop("a0");
    const all = dataKeys(s3).length;
    let gets = 0;
    s3.fault = ({ method, key }) =>
      method === "GET" && key.includes("/data/") && ++gets > all - 8 ? kind : undefined;
    const first = await restore(group, "-o", "now.img");
    expect(first.code).not.toBe(0);
    expect(first.stderr).toMatch(/s3:\/\/backups\/archive0(\/|: get )vol1\/data\/[0-9a-f]{64}/);
    expect(existsSync(group.out("now.img"))).toBe(false);
    expect(statSync(group.out("now.img.restore")).isDirectory()).toBe(true);
    s3.fault = () => undefined;
    const before = s3.count("GET", "/data/");
    const second = await restore(group, "-o", "now.img");
    expect([second.code, second.stderr]).toEqual([0, ""]);
    const rest = s3.count("GET", "/data/") - before;
    expect(rest).toBeLessThan(all - 8);
    expect(readFileSync(group.out("now.img")).equals(storage.image)).toBe(true);
    expect(existsSync(group.out("now.img.restore"))).toBe(false);
  },
);

test("two archives cannot write one volume: the second is refused, and one that was taken over stops writing", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const { archive: first, storage } = await stored(group);
  const second = await group.archive("a1", { bucket: group.bucket() });
  await group.copied(second);
  await until(async () => bucketStats(second).volumes[0]?.error !== null, "a refusal");
  expect(bucketStats(second).volumes[0]?.error).toContain('is written by the archive "a0"');
  await group.stop("a1");
  const taker = await group.archive("a1", { bucket: group.bucket({ takesOver: true }) });
  await inStep(taker);
  storage.write(3);
  await group.point(first, storage);
  await until(async () => (bucketStats(first).volumes[0]?.failures ?? 0) > 1, "the first one refused");
  expect(bucketStats(first).volumes[0]?.error).toContain('is written by the archive "a1"');
});

test("volumes are uploaded side by side: one whose base image takes long holds up no other's diffs", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const { archive, storage } = await stored(group);
  s3.fault = ({ method, key }) => (method === "HEAD" && key.includes("/slow/data/") ? "silent" : undefined);
  await archive.controller.command("init-vol", ["slow"], "ok");
  const slow = new TestStorage(group.world(), 2048);
  slow.volume = "slow";
  slow.write(20);
  await slow.fullSync(at(archive.port));
  await until(async () => s3.count("HEAD", "/slow/data/") > 0, "the slow base image begun");
  storage.write(5);
  await group.point(archive, storage);
  const lagOf = (name: string) => bucketStats(archive).volumes.find((volume) => volume.name === name);
  await until(async () => lagOf(VOLUME)?.diffsMissing === 0, "the other volume's diff in the bucket");
  expect(lagOf("slow")?.isBaseMissing).toBe(true);
});

test("a diff that is damaged on the archive's disk is not uploaded, and is named", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  s3.fault = () => "503";
  const archive = await group.bucketed();
  const storage = await group.copied(archive);
  storage.write(10);
  await group.point(archive, storage);
  const [name = ""] = [...new Bun.Glob("*.wdiff").scanSync(group.pathOf("a0", ""))];
  const path = group.pathOf("a0", name);
  const bytes = readFileSync(path);
  bytes[bytes.byteLength - 5000] = (bytes[bytes.byteLength - 5000] as number) ^ 1;
  await Bun.write(path, bytes);
  s3.fault = () => undefined;
  await until(
    async () => bucketStats(archive).volumes[0]?.error?.includes("not uploaded") === true,
    "damage told",
  );
  expect(bucketStats(archive).volumes[0]?.error).toContain(name);
});

test("a base image that is damaged on the archive's disk is not uploaded, and is named", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  s3.fault = () => "503";
  const archive = await group.bucketed();
  await group.copied(archive);
  const path = group.pathOf("a0", `wb_${VOLUME}`);
  const bytes = readFileSync(path);
  bytes[70_000] = (bytes[70_000] as number) ^ 1;
  await Bun.write(path, bytes);
  s3.fault = () => undefined;
  await until(
    async () => bucketStats(archive).volumes[0]?.error?.includes("not uploaded") === true,
    "damage told",
  );
  expect(bucketStats(archive).volumes[0]?.error).toContain(
    `wb_${VOLUME} (at byte 0 or in the MiB behind it)`,
  );
  expect(s3.objects.size).toBe(0);
});

test("credentials come from a private file or the environment, and are in no message", async () => {
  await using s3 = new FakeS3();
  await using group = groupAt(s3);
  const loose = join(group.directory, "loose.json");
  await Bun.write(loose, '{"accessKeyId":"S3RVER","secretAccessKey":"hidden-word"');
  Bun.spawnSync(["chmod", "600", loose]);
  const { cli } = await import("../../cli/helpers.ts");
  const list = (...words: string[]) =>
    cli(["walb", "bucket", "list", URL_OF_BUCKET, "-endpoint", s3.endpoint, ...words], {
      environment: { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" },
    });
  expect((await list()).code).toBe(0);
  const broken = await list("-credentials", loose);
  expect([broken.code, broken.stderr]).toEqual([78, expect.stringContaining("which is not JSON")]);
  expect(broken.stderr).not.toContain("hidden-word");
  Bun.spawnSync(["chmod", "644", loose]);
  expect((await list("-credentials", loose)).stderr).toContain("other users can access");
  const none = await cli(["walb", "bucket", "list", URL_OF_BUCKET, "-endpoint", s3.endpoint]);
  expect([none.code, none.stderr]).toEqual([
    78,
    expect.stringContaining("there are no credentials for the bucket"),
  ]);
});
