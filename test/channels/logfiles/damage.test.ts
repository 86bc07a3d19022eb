/**
 * Flipped bits in every kind of file: nothing damaged is served, nothing is lost in silence. And what the offline tools make
 * of it: check, repair, convert.
 */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NxError } from "../../../src/core/errors.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import type { DirectoryNode } from "../../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { makeDataDirectory } from "../../crash/log-harness.ts";
import { TestServer } from "./server.ts";
import { type LayoutName, openStore, put, readAll } from "./store-harness.ts";

setDefaultTimeout(60_000);
const directory = temporaryDirectory();
afterAll(() => directory.remove());

class Life {
  readonly scheduler = new Scheduler(1);
  readonly disk = new SimDisk(this.scheduler);

  constructor(state?: DirectoryNode) {
    if (state !== undefined) this.disk.restore(state);
  }

  run<Value>(main: () => Promise<Value>): Value {
    return this.scheduler.run(main, { timeLimitMs: 600_000 });
  }

  open(layout: LayoutName) {
    const world = { disk: this.disk, clock: new SimClock(this.scheduler), random: this.scheduler.fork() };
    return openStore(world, { layout });
  }
}

const line = (index: number) => `line ${index} ${"of some text ".repeat(index % 30)}`;

/** A node's directory with records in files and in the log, after a clean stop; and its files with their sizes. */
function prepare(layout: LayoutName) {
  const life = new Life();
  return life.run(async () => {
    await makeDataDirectory(life.disk);
    const store = await life.open(layout);
    for (let index = 0; index < 300; index++) put(store, "ch", BigInt(index * 100), line(index));
    await store.sealAll();
    for (let index = 300; index < 320; index++) put(store, "ch", BigInt(index * 100), line(index));
    const content = await readAll(store);
    await store.close();
    const files: { path: string; bytes: number }[] = [];
    const walk = async (path: string): Promise<void> => {
      for (const { name, kind } of await life.disk.list(path)) {
        if (kind === "directory") await walk(`${path}/${name}`);
        else {
          const file = await life.disk.open(`${path}/${name}`, "read");
          files.push({ path: `${path}/${name}`, bytes: await file.size() });
          await file.close();
        }
      }
    };
    await walk("/data");
    return { state: life.disk.capture(), content, files };
  });
}

/** What is read after one bit was flipped, or the code of the error that refused it. */
function readDamaged(layout: LayoutName, state: DirectoryNode, path: string, bit: number) {
  const life = new Life(state);
  life.disk.flipBit(path, bit);
  try {
    return life.run(async () => {
      const store = await life.open(layout);
      const found = await readAll(store);
      await store.close();
      return found;
    });
  } catch (error) {
    if (error instanceof NxError) return error.code;
    throw error;
  }
}

test("a flipped bit anywhere in segments or log is told, or changes nothing", () => {
  const { state, content, files } = prepare("segments");
  const random = seededRandom(7);
  const kinds = new Map<string, number>();
  let refused = 0;
  for (const { path, bytes } of files) {
    const bits = bytes * 8;
    // The headers and the end in full, the middle by samples.
    const picks = [
      ...Array.from({ length: 64 }, (_, index) => (index * 8 * 2) % bits),
      ...Array.from({ length: 64 }, (_, index) => bits - 1 - ((index * 8 * 2) % bits)),
      ...Array.from({ length: 40 }, () => random.integer(bits)),
    ];
    for (const bit of picks) {
      const found = readDamaged("segments", state, path, bit);
      if (typeof found === "string") {
        expect(["NX_DATA_CORRUPT", "NX_DATA_VERSION"]).toContain(found);
        refused += 1;
      } else if (!Bun.deepEquals(found, content)) {
        throw new Error(`${path}, bit ${bit}: other records are served`);
      }
    }
    kinds.set(path.replace(/[\d-]+/g, "N"), picks.length);
  }
  console.log(`${[...kinds.keys()].join(", ")}: ${refused} refused`);
  expect(kinds.size).toBeGreaterThanOrEqual(2);
  expect(refused).toBeGreaterThan(100);
});

test("a flipped bit in a header of a bucket file ends that file there, and the next one is read", () => {
  const { state, content, files } = prepare("classic");
  const buckets = files.filter(({ path }) => /\/[0-9a-f]{3}$/.test(path));
  expect(buckets.length).toBeGreaterThan(2);
  const all = content["ch"] as string[];
  for (const { path } of buckets.slice(0, 3))
    // Behind the file's header: key, length and parity of its first record.
    for (let bit = 16 * 8; bit < 33 * 8; bit += 5) {
      const found = readDamaged("classic", state, path, bit);
      if (typeof found === "string") throw new Error(`refused: ${found}`);
      const left = found["ch"] ?? [];
      // The rest of the records, in order; none that was not written.
      let at = 0;
      for (const record of left) {
        at = all.indexOf(record, at) + 1;
        if (at === 0) throw new Error(`${path}, bit ${bit}: ${record} was never written`);
      }
      expect(left.length).toBeLessThan(all.length);
      expect(left.length).toBeGreaterThan(all.length / 2);
    }
});

/** A stopped node's directory with 3000 records, a part of them in files. */
async function stoppedNode(layout: LayoutName) {
  const server = await TestServer.start({
    layout,
    memory: { memtableBytes: 65_536 },
    segments: { pageBytes: 16_384 },
  });
  const client = await server.client();
  for (let at = 0; at < 3000; at += 500)
    await Promise.all(
      Array.from({ length: 500 }, (_, index) => client.put("ch", BigInt((at + index) * 7), line(at + index))),
    );
  await client.put("gone", 1n, "x");
  await client.removeChannel("gone");
  await client.put("other", 2n ** 63n, Buffer.of(0xff, 0xfe));
  const records = await client.read("ch");
  await server.stop();
  return { server, records };
}

const filesOf = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

test("check finds a damaged segment, --fix keeps its other blocks, and the node goes on", async () => {
  const { server, records } = await stoppedNode("segments");
  const whole = await cli(["logfiles", "check", "--json", server.dataDir]);
  expect(whole.code).toBe(0);
  // Those in files and those in the log alone are what the node served, and the one record of the other channel.
  const reports = JSON.parse(whole.stdout) as { reports: { path: string; records: number }[] };
  expect(reports.reports.reduce((sum, report) => sum + report.records, 0)).toBe(records.length + 1);
  expect(reports.reports.find(({ path }) => path.endsWith(".log"))?.records).toBeGreaterThan(0);
  const [segment = ""] = filesOf(join(server.dataDir, "channels/ch")).filter((path) => path.endsWith(".nxr"));
  const bytes = readFileSync(segment);
  bytes.writeUInt8((bytes[200] as number) ^ 4, 200);
  writeFileSync(segment, bytes);
  const found = await cli(["logfiles", "check", server.dataDir]);
  expect(found.code).toBe(65);
  expect(found.stdout).toContain(`${segment}, byte 64: this block is damaged`);
  const fixed = await cli(["logfiles", "check", "--fix", server.dataDir]);
  expect(fixed.stdout).toMatch(/kept \d+ records, the original is beside it as \.broken/);
  expect(existsSync(`${segment}.broken`)).toBe(true);
  expect((await cli(["logfiles", "check", server.dataDir])).code).toBe(0);
  await using again = await TestServer.start({ layout: "segments" }, server.directory);
  const left = await (await again.client()).read("ch");
  expect(left.length).toBeLessThan(records.length);
  expect(left.length).toBeGreaterThan(records.length / 2);
});

test("check finds a damaged bucket, --fix keeps what is before the damage", async () => {
  const { server } = await stoppedNode("classic");
  expect((await cli(["logfiles", "check", "--sizes", server.dataDir])).code).toBe(0);
  const bucket = join(server.dataDir, "channels/ch/0000000000/001");
  const bytes = readFileSync(bucket);
  writeFileSync(bucket, bytes.subarray(0, bytes.byteLength - 3));
  const found = await cli(["logfiles", "check", "--sizes", join(server.dataDir, "channels/ch")]);
  expect(found.code).toBe(65);
  expect(found.stdout).toContain("short value");
  expect(found.stdout).toContain("sizeinfo differs");
  expect((await cli(["logfiles", "check", "--fix", bucket])).code).toBe(65);
  expect((await cli(["logfiles", "check", bucket])).code).toBe(0);
  expect((await cli(["logfiles", "check", "--sizes", join(server.dataDir, "channels/ch")])).code).toBe(1);
  await server[Symbol.asyncDispose]().catch(() => {});
});

test("convert gives the same records in the other layout, and back", async () => {
  const { server, records } = await stoppedNode("segments");
  const at = (name: string) => join(directory.path, name);
  const there = ["logfiles", "convert", server.dataDir, "--to", at("classic"), "--layout", "classic"];
  const result = await cli(there);
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: "" });
  expect(result.stdout).toContain("records=3000");
  expect((await cli(there)).code).toBe(73);
  expect((await cli(["logfiles", "check", "--sizes", at("classic")])).code).toBe(0);
  const back = ["logfiles", "convert", at("classic"), "--to", at("segments"), "--layout", "segments"];
  expect((await cli(back)).code).toBe(0);
  for (const [name, layout] of [
    ["classic", "classic"],
    ["segments", "segments"],
  ] as const) {
    const node = await TestServer.start({ layout, dataDir: at(name) });
    const client = await node.client();
    expect(await client.read("ch")).toEqual(records);
    expect(await client.read("other")).toEqual([{ key: 2n ** 63n, value: Buffer.of(0xff, 0xfe) }]);
    expect((await client.getChannels()).sort()).toEqual(["ch", "other"]);
    await node.stop();
  }
  expect((await cli(["logfiles", "check", at("nothing")])).code).toBe(73);
});
