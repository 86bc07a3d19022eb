/** Data directories that a node must refuse, each with its exit code and a sentence that says where; torn tails. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../src/native/crc32c.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { replyText } from "./client.ts";
import { until } from "./executable.ts";
import { executable, NodeDirectory } from "./node-process.ts";

const RECORDS = 200;

/** A directory with a snapshot and a segment behind it, of a node that was stopped in order. */
let source: NodeDirectory;
let snapshot: string;
let segment: string;

beforeAll(async () => {
  source = new NodeDirectory();
  const compaction = { logBytesMin: 65536, growthPercent: 10 };
  const node = await source.start({ compaction, log: { console: "off" } });
  await using client = await node.connect();
  for (let record = 0; record < RECORDS; record++)
    await client.command("SET", `key-${record}`, "v".repeat(1000));
  await until("a compaction", async () => (await node.stats()).dht.compactions > 0 || undefined);
  for (let record = 0; record < 20; record++) await client.command("SET", `late-${record}`, "v".repeat(100));
  expect(await node.end()).toBe(0);
  const names = readdirSync(source.inData("store"));
  snapshot = names.find((name) => name.startsWith("snapshot")) as string;
  segment = names.filter((name) => name.startsWith("log")).at(-1) as string;
}, 120_000);

afterAll(() => source[Symbol.dispose]());

/** A copy of the source's data in a directory of its own. */
function copyOfSource(): NodeDirectory {
  const directory = new NodeDirectory();
  cpSync(source.inData("store"), directory.inData("store"), { recursive: true });
  directory.configure({ log: { console: "off" } });
  return directory;
}

function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

/** Writes a field of a file's header and makes the header's checksum fit again. */
function editHeader(path: string, offset: number, value: number): void {
  edit(path, (bytes) => {
    bytes.writeUInt32LE(value, offset);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60), 0), 60);
  });
}

describe("a flipped bit is refused with file and byte, and nothing is served", () => {
  test.each(["snapshot", "segment"])(
    "in a %s",
    async (kind) => {
      using directory = copyOfSource();
      const name = kind === "snapshot" ? snapshot : segment;
      const path = directory.inData("store", name);
      const intact = readFileSync(path);
      // The last 32 bytes of a segment are its seal, which holds nothing: its damage is cut like a torn tail.
      const length = intact.byteLength - (kind === "snapshot" ? 0 : 32);
      const random = seededRandom(7);
      const offsets = [0, 8, 24, 60, 64, 72, 80, 88, 92, 96, length - 1];
      while (offsets.length < 14) offsets.push(random.integer(length));
      for (const offset of offsets) {
        edit(path, (bytes) => {
          bytes[offset] = (bytes[offset] as number) ^ (1 << random.integer(8));
        });
        const { code, stderr } = await directory.runToEnd();
        expect({ offset, code, stderr }).toEqual({
          offset,
          code: 65,
          stderr: expect.stringContaining("code: NX_DATA_CORRUPT"),
        });
        expect(stderr).toContain(path);
        const named = Number(/byte (\d+)/.exec(stderr)?.[1]);
        expect(named, stderr).toBeLessThanOrEqual(offset);
        expect(readFileSync(path).byteLength).toBe(intact.byteLength); // nothing was cut
        writeFileSync(path, intact);
      }
      // The same directory without damage starts: it was the bit.
      const node = await directory.start();
      expect((await node.stats()).dht.records).toBe(RECORDS + 20);
    },
    120_000,
  );
});

test("a damaged seal costs nothing", async () => {
  using directory = copyOfSource();
  const path = directory.inData("store", segment);
  edit(path, (bytes) => {
    bytes[bytes.byteLength - 20] = (bytes[bytes.byteLength - 20] as number) ^ 1;
  });
  const node = await directory.start();
  expect((await node.stats()).dht.records).toBe(RECORDS + 20);
}, 120_000);

test("a torn tail is cut and reported; everything before it is served", async () => {
  using directory = copyOfSource();
  const path = directory.inData("store", segment);
  const { byteLength } = readFileSync(path);
  truncateSync(path, byteLength - 32 - 40); // the seal and a piece of the last group
  const node = await directory.start();
  const { records, log } = (await node.stats()).dht;
  expect(records).toBe(RECORDS + 19);
  expect(log?.tornBytes).toBeGreaterThan(0);
  expect(directory.rootLog()).toContain("cut an unfinished group that was never acknowledged");
  await using client = await node.connect();
  expect(replyText(await client.command("EXISTS", "late-18", "late-19"))).toBe(":1");
}, 120_000);

test("a missing segment is refused", async () => {
  using directory = copyOfSource();
  rmSync(directory.inData("store", segment));
  const { code, stderr } = await directory.runToEnd();
  expect(code).toBe(65);
  expect(stderr).toContain(`${segment}, byte 0: this segment is missing`);
}, 120_000);

test.each([
  ["file format", 8, "NX_DATA_VERSION"],
  ["payload format", 56, "NX_DATA_VERSION"],
])(
  "another %s is refused with 78",
  async (_what, offset, wanted) => {
    using directory = copyOfSource();
    const path = directory.inData("store", segment);
    editHeader(path, offset, 99);
    const before = readFileSync(path);
    const { code, stderr } = await directory.runToEnd();
    expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining(`code: ${wanted}`) });
    expect(stderr).toContain(path);
    expect(stderr).toContain("99");
    expect(readFileSync(path).equals(before)).toBe(true);
  },
  120_000,
);

test("a directory in use is refused with 75 and the number of the process", async () => {
  using directory = copyOfSource();
  const node = await directory.start();
  const { code, stderr } = await directory.runToEnd();
  expect({ code, stderr }).toEqual({ code: 75, stderr: expect.stringContaining("code: NX_DATA_DIR_LOCKED") });
  expect(stderr).toContain(`process ${node.pid}`);
  // The one that was there first is not disturbed.
  expect((await node.readiness()).status).toBe(200);
}, 120_000);

test("a path that is no directory is refused with 73", async () => {
  using directory = new NodeDirectory();
  const path = join(directory.path, "file");
  writeFileSync(path, "");
  directory.configure({ dataDir: path, log: { console: "off" } });
  const { code, stderr } = await directory.runToEnd();
  expect({ code, stderr }).toEqual({
    code: 73,
    stderr: expect.stringContaining("code: NX_DATA_DIR_UNUSABLE"),
  });
  expect(stderr).toContain(path);
}, 120_000);

/** Root reads everything, so an unreadable directory needs another user. */
test.skipIf(process.getuid?.() !== 0)(
  "a directory of another user is refused and left alone",
  async () => {
    using directory = copyOfSource();
    chmodSync(directory.path, 0o755);
    chmodSync(directory.configFile, 0o644);
    // A copy, because the checkout may not be readable by others.
    const program = join(directory.path, "node-x");
    copyFileSync(executable, program);
    chmodSync(program, 0o755);
    const words = [
      "setpriv",
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      program,
      "run",
      "dht",
      "-c",
      directory.configFile,
    ];
    const { exitCode, stderr } = Bun.spawnSync(words, { cwd: directory.path, env: {}, timeout: 60_000 });
    expect({ exitCode, stderr: stderr.toString() }).toEqual({
      exitCode: 73,
      stderr: expect.stringContaining("code: NX_DATA_DIR_UNUSABLE"),
    });
    expect(stderr.toString()).toContain("EACCES");
    expect(stderr.toString()).toContain("let this user");
  },
  120_000,
);

test("a file under the name of another is refused", async () => {
  using directory = copyOfSource();
  const path = directory.inData("store", segment);
  rmSync(path);
  cpSync(source.inData("store", snapshot), path); // a whole file, but of another kind
  const { code, stderr } = await directory.runToEnd();
  expect({ code, stderr }).toEqual({ code: 65, stderr: expect.stringContaining("under another name") });
}, 120_000);
