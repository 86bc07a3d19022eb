/** The offline tools of the dht store, on directories that a node wrote and somebody damaged. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readStore } from "../../../src/channels/dht/offline/read.ts";
import { salvageStore } from "../../../src/channels/dht/offline/salvage.ts";
import { QUEUE_EFFECTS_FORMAT } from "../../../src/channels/queue/log-format.ts";
import { encodeEffect } from "../../../src/channels/effects.ts";
import { LogFile } from "../../../src/core/append-log/log-file.ts";
import { problemText } from "../../../src/core/append-log/inspect.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { crc32c } from "../../../src/native/crc32c.ts";
import { TestNode } from "./node-harness.ts";

const world = realWorld();
const root = mkdtempSync(join(tmpdir(), "node-x-offline-"));
let count = 0;
let dataDir = "";

afterEach(() => rmSync(dataDir, { recursive: true, force: true }));
afterAll(() => rmSync(root, { recursive: true }));

const nothing = () => undefined;
const inStore = (name: string) => join(dataDir, "store", name);
const segment = (number: number) => inStore(`log-000000000${number}.nxl`);

/** Each list of requests is one life of a node: its own segment. Every request is one group. */
async function write(...lives: string[][][]): Promise<void> {
  dataDir = join(root, `data${++count}`);
  for (const requests of lives) {
    const node = await TestNode.open(world, { dataDir });
    const client = node.connect();
    for (const words of requests) await client.call(...words);
    await node.close();
  }
}

const sets = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ["SET", `key${from + index}`, "v".repeat(100)]);

const read = () => readStore(world, dataDir, nothing);

async function valueOf(directory: string, key: string): Promise<string> {
  const node = await TestNode.open(world, { dataDir: directory });
  try {
    return await node.connect().call("GET", key);
  } finally {
    await node.close();
  }
}

function flipBit(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function fingerprint(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return `${path} ${statSync(path).mtimeMs} ${Bun.hash(readFileSync(path))}`;
    })
    .sort();
}

describe("reading", () => {
  test("counts files, groups, effects and the records of each channel", async () => {
    await write(
      [...sets(0, 10), ["SELECT", "1"], ["SET", "other", "12345"]],
      [
        ["DEL", "key0"],
        ["EXPIRE", "key1", "1000"],
      ],
    );
    const seen: [number, number][] = [];
    const reading = await readStore(world, dataDir, (_path, done, total) => seen.push([done, total]));
    expect(reading.problems).toEqual([]);
    expect(reading).toMatchObject({ effects: 13, records: 10, expiring: 1, leftovers: [] });
    expect(reading.channels).toEqual([
      { name: "0", records: 9, keyBytes: 36, valueBytes: 900 },
      { name: "1", records: 1, keyBytes: 5, valueBytes: 5 },
    ]);
    expect(reading.files.map(({ name, frames, isSealed }) => [name, frames, isSealed])).toEqual([
      ["log-0000000001.nxl", 11, true],
      ["log-0000000002.nxl", 2, true],
    ]);
    expect(reading.files.every(({ ageMs }) => ageMs !== undefined && ageMs < 60_000)).toBe(true);
    expect(seen.at(-1)?.[0]).toBeLessThanOrEqual(seen.at(-1)?.[1] ?? 0);
  });

  test("a torn tail is whole: the next start cuts it", async () => {
    await write(sets(0, 3));
    const { size } = statSync(segment(1));
    truncateSync(segment(1), size - 32 - 8); // the seal, and a piece of the last group
    const { problems, files, records } = await read();
    expect(problems).toEqual([]);
    expect(files[0]?.tornBytes).toBeGreaterThan(0);
    expect(records).toBe(2);
  });

  test("every flipped bit of a frame is found, with file and byte", async () => {
    await write(sets(0, 3), sets(3, 4));
    const whole = readFileSync(segment(1));
    // A segment follows: so even a damaged seal is not what a crash leaves.
    for (let offset = 0; offset < whole.byteLength; offset += 7) {
      flipBit(segment(1), offset);
      const { problems } = await read();
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.map(problemText)[0]).toStartWith(`${segment(1)}, byte `);
      writeFileSync(segment(1), whole);
    }
    expect((await read()).problems).toEqual([]);
  });

  test("a missing segment is a problem", async () => {
    await write(sets(0, 1), sets(1, 2), sets(2, 3));
    rmSync(segment(2));
    expect((await read()).problems.map(problemText)).toEqual([
      `${segment(2)}, byte 0: this segment is missing`,
    ]);
  });

  test("what is no effect is found although its checksum is right", async () => {
    await write([]);
    rmSync(join(dataDir, "store"), { recursive: true });
    await appendRaw(new Uint8Array(50));
    expect((await read()).problems.map(problemText)).toEqual([
      `${segment(1)}, byte 96: the checksum is right, but this is no change of a record`,
    ]);
  });

  test("a directory in use is refused with the process that uses it, and left alone", async () => {
    await write(sets(0, 3));
    const lock = await world.disk.lock(join(dataDir, "lock"));
    try {
      // flock belongs to the open file, so a second lock fails inside one process too.
      const wanted = {
        code: "NX_DATA_DIR_LOCKED",
        message: expect.stringContaining(`process ${process.pid}`),
      };
      expect(await read().catch((error: unknown) => error)).toMatchObject(wanted);
      const to = join(root, "never");
      const salvage = salvageStore({ world, dataDir, to, onProgress: nothing });
      expect(await salvage.catch((error: unknown) => error)).toMatchObject(wanted);
    } finally {
      await lock.release();
    }
    expect((await read()).records).toBe(3);
  });

  test("a directory without a store says what is missing", async () => {
    await write(sets(0, 1));
    const failure = (directory: string) =>
      readStore(world, directory, nothing).catch((error: unknown) => error);
    expect(await failure(join(dataDir, "store"))).toMatchObject({ hint: "give the directory above it" });
    expect(await failure(join(dataDir, "nowhere"))).toMatchObject({ code: "NX_DATA_DIR_UNUSABLE" });
  });
});

/** Appends payloads to the log, each a group of its own, past the store's own encoding. */
const appendRaw = (...payloads: Uint8Array[]) => appendAs(1, ...payloads);

async function appendAs(payloadFormat: number, ...payloads: Uint8Array[]): Promise<void> {
  const log = await LogFile.open(
    {
      ...world,
      crc32c,
      directory: join(dataDir, "store"),
      payloadFormat,
      listener: { onDurable: nothing },
    },
    { onSnapshot: nothing, onFrame: nothing },
  );
  for (const payload of payloads) {
    log.append(payload);
    await log.flush();
  }
  await log.close();
}

describe("salvage", () => {
  const salvage = async () => {
    const to = join(dataDir, "..", `saved${count}`);
    rmSync(to, { recursive: true, force: true });
    const before = fingerprint(join(dataDir, "store"));
    const report = await salvageStore({ world, dataDir, to, onProgress: nothing });
    expect(fingerprint(join(dataDir, "store"))).toEqual(before);
    return report;
  };

  test("of a whole store copies everything", async () => {
    await write(sets(0, 20), [
      ["DEL", "key3"],
      ["EXPIRE", "key4", "1000"],
    ]);
    const report = await salvage();
    expect(report).toMatchObject({ records: 19, losses: [], baselessChanges: 0 });
    const copy = await readStore(world, report.to, nothing);
    expect(copy).toMatchObject({ problems: [], records: 19, expiring: 1 });
    expect(await valueOf(report.to, "key5")).toBe(`$100\r\n${"v".repeat(100)}\r\n`);
  });

  test("skips a damaged group, tells its bytes, and the copy starts", async () => {
    await write(sets(0, 5), sets(5, 10));
    flipBit(segment(1), 64 + 32 + 20);
    const report = await salvage();
    expect(report.records).toBe(9);
    expect(report.losses).toMatchObject([
      { path: segment(1), offset: 64, what: "damaged", isTornTail: false },
    ]);
    expect(report.losses[0]?.bytes).toBeGreaterThan(100);
    expect(await valueOf(report.to, "key0")).toBe("$-1\r\n");
    expect(await valueOf(report.to, "key1")).toBe(`$100\r\n${"v".repeat(100)}\r\n`);
  });

  test("of a store with a missing segment takes the others", async () => {
    await write(sets(0, 1), sets(1, 2), sets(2, 3));
    rmSync(segment(2));
    const report = await salvage();
    expect(report.records).toBe(2);
    expect(report.losses).toMatchObject([{ path: segment(2), what: "this segment is missing" }]);
  });

  test("of a store whose snapshot is damaged takes the pieces that are whole, and the log behind it", async () => {
    await write(sets(0, 5));
    const node = await TestNode.open(world, { dataDir });
    await node.durable.compact();
    await node.connect().call("SET", "late", "1");
    await node.close();
    const snapshot = inStore(readdirSync(inStore(".")).find((name) => name.startsWith("snapshot")) ?? "");
    flipBit(snapshot, 64 + 32);
    const report = await salvage();
    expect(report.losses).toMatchObject([{ path: snapshot, offset: 64 }]);
    expect(report.records).toBe(1);
    expect(await valueOf(report.to, "late")).toBe("$1\r\n1\r\n");
  });

  test("a torn tail is no loss of anything acknowledged", async () => {
    await write(sets(0, 3));
    truncateSync(segment(1), statSync(segment(1)).size - 32 - 8);
    const report = await salvage();
    expect(report.records).toBe(2);
    expect(report.losses).toMatchObject([{ isTornTail: true }]);
  });

  test("does not make up the beginning of a value whose beginning is lost", async () => {
    await write(
      [
        ["SET", "a", "base"],
        ["SET", "b", "base"],
      ],
      [
        ["APPEND", "a", "-more"],
        ["APPEND", "b", "-more"],
      ],
    );
    flipBit(segment(1), 64 + 32); // the SET of a
    const report = await salvage();
    expect(report.baselessChanges).toBe(1);
    expect(await valueOf(report.to, "a")).toBe("$-1\r\n");
    expect(await valueOf(report.to, "b")).toBe("$9\r\nbase-more\r\n");
  });

  test("skips what is no effect although its checksum is right", async () => {
    await write([]);
    const put = (key: string) =>
      encodeEffect({
        operation: "put",
        channel: "0",
        key: Buffer.from(key),
        value: Buffer.from("v"),
        expiresAtMs: 0,
      });
    await appendRaw(Buffer.concat([put("a"), new Uint8Array(50)]), put("b"));
    const report = await salvage();
    expect(report.records).toBe(2);
    expect(report.losses).toMatchObject([{ bytes: 50 }]);
  });

  test("overwrites nothing", async () => {
    await write(sets(0, 1));
    const options = { world, dataDir, to: dataDir, onProgress: nothing };
    expect(await salvageStore(options).catch((error: unknown) => error)).toMatchObject({
      code: "NX_FILE_EXISTS",
    });
  });
});

test("what another role wrote is not called damaged", async () => {
  dataDir = join(root, `data${++count}`);
  await appendAs(QUEUE_EFFECTS_FORMAT, Buffer.from("a queue's"));
  await expect(read()).rejects.toMatchObject({
    code: "NX_DATA_VERSION",
    message: expect.stringContaining("has payload format 101, this program reads 1"),
  });
});
