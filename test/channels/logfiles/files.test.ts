/**
 * The file tests of the original logfiles node, by their names, and the recorded bucket files: read, appended to, written,
 * byte for byte.
 */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { LogRecord } from "../../../src/channels/wire/legacy/logfiles-client.ts";
import { vectors } from "../wire/legacy/conversation.ts";
import { TestServer } from "./server.ts";

const files = join(vectors, "files");
const recorded = (name: string) => readFileSync(join(files, name));
const texts = (records: readonly LogRecord[]) => records.map(({ value }) => value.toString());

/** A node with layout classic over these bucket files, by `<channel>/<slot>/<bucket>`. */
async function nodeWith(buckets: Record<string, Uint8Array>): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), "node-x-buckets-"));
  for (const [name, bytes] of Object.entries(buckets)) {
    const path = join(directory, "data/channels", name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  return TestServer.start({ layout: "classic" }, directory);
}

const bucketOf = (server: TestServer, name: string): Buffer =>
  readFileSync(join(server.dataDir, "channels", name));

/** The records of one bucket in either format. */
function bucketBytes(version: 0 | 1, records: [key: number, value: string][]): Buffer {
  const parts: Buffer[] = version === 1 ? [Buffer.from("0100000000000000444c534255434b54", "hex")] : [];
  for (const [key, value] of records) {
    const header = Buffer.alloc(16);
    header.writeBigUInt64LE(BigInt(key), 0);
    header.writeBigUInt64LE(BigInt(Buffer.byteLength(value)), 8);
    parts.push(header);
    if (version === 1) parts.push(Buffer.of(header.reduce((parity, byte) => parity ^ byte, 0)));
    parts.push(Buffer.from(value));
  }
  return Buffer.concat(parts);
}

test("reads a legacy bucket", async () => {
  await using server = await nodeWith({ "old/0000000000/000": bucketBytes(0, [[1, "one"], [2, "two"]]) }); // prettier-ignore
  const client = await server.client();
  expect(texts(await client.read("old"))).toEqual(["one", "two"]);
  expect(await client.getChannelSize("old")).toMatchObject({ records: 2, bytes: 6 });
});

test("reads a version-1 bucket", async () => {
  await using server = await nodeWith({
    "log1/0000000053/f0a": recorded("bucket-v1-log1-0000000053-f0a.bin"),
  });
  const client = await server.client();
  expect(texts(await client.read("log1", { low: 0n, high: 2n ** 64n - 1n }))).toEqual([
    "line one",
    "line two",
    "Earlier line, written later",
  ]);
});

test("stops at a record with broken parity, and goes on with the next bucket", async () => {
  const damaged = bucketBytes(1, [[1, "one"], [2, "two"], [3, "three"]]); // prettier-ignore
  const second = 16 + 17 + 3;
  damaged.writeUInt8((damaged[second + 16] as number) ^ 1, second + 16);
  await using server = await nodeWith({
    "ch/0000000000/000": damaged,
    "ch/0000000000/001": bucketBytes(1, [[4096, "next"]]),
  });
  const client = await server.client();
  expect(texts(await client.read("ch"))).toEqual(["one", "next"]);
});

test("skips empty and too short bucket files", async () => {
  await using server = await nodeWith({
    "ch/0000000000/000": Buffer.alloc(0),
    "ch/0000000000/001": Buffer.alloc(15, 1),
    "ch/0000000000/002": bucketBytes(1, [[8192, "whole"]]),
    "ch/0000000000/003.gz": Buffer.alloc(100),
    "ch/notes.txt": Buffer.from("not a slot"),
  });
  const client = await server.client();
  expect(texts(await client.read("ch"))).toEqual(["whole"]);
});

test("appending to a legacy bucket keeps the legacy format and reads back", async () => {
  const server = await nodeWith({ "oldlog/0000000053/f0a": recorded("bucket-legacy-before.bin") });
  const client = await server.client();
  await client.put("oldlog", 0x53f0a104n, "appended");
  await client.put("oldlog", 0x53f0b104n, "new bucket");
  expect(texts(await client.read("oldlog"))).toEqual([
    ...[0, 1, 2, 3].map((index) => `legacy line ${index}`),
    "appended",
    "new bucket",
  ]);
  await server.stop();
  expect(bucketOf(server, "oldlog/0000000053/f0a")).toEqual(recorded("bucket-legacy-after.bin"));
  expect(bucketOf(server, "oldlog/0000000053/f0b")).toEqual(recorded("bucket-new-in-legacy-channel.bin"));
  await using again = await TestServer.start({ layout: "classic" }, server.directory);
  expect((await (await again.client()).read("oldlog")).length).toBe(6);
});

test("a new channel is written as version 1, with the bytes of the original", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-buckets-"));
  const server = await TestServer.start({ layout: "classic" }, directory);
  const client = await server.client();
  for (const [key, value] of [
    [0x53f0a1b2n, "line one"],
    [0x53f0a1b2n, "line two"],
    [0x53f0a1adn, "Earlier line, written later"],
  ] as const)
    await client.put("log1", key, value);
  await server.stop();
  expect(bucketOf(server, "log1/0000000053/f0a")).toEqual(recorded("bucket-v1-log1-0000000053-f0a.bin"));
  // u64 records, u64 bytes of values.
  expect(bucketOf(server, "log1/sizeinfo").toString("hex")).toBe("03000000000000002b00000000000000");
});

test("a channel may have buckets of both versions", async () => {
  await using server = await nodeWith({
    "mixed/0000000000/000": bucketBytes(0, [[1, "old"]]),
    "mixed/0000000000/001": bucketBytes(1, [[4097, "newer"]]),
  });
  const client = await server.client();
  await client.put("mixed", 2n, "old too");
  await client.put("mixed", 4098n, "newer too");
  expect(texts(await client.read("mixed"))).toEqual(["old", "old too", "newer", "newer too"]);
});

test("an end that a crash tore is cut off before something is appended", async () => {
  const whole = bucketBytes(1, [[1, "one"]]);
  const torn = Buffer.concat([whole, bucketBytes(1, [[2, "two"]]).subarray(16, 30)]);
  const server = await nodeWith({ "ch/0000000000/000": torn });
  await (await server.client()).put("ch", 3n, "three");
  await server.stop();
  const kept = bucketBytes(1, [[1, "one"], [3, "three"]]); // prettier-ignore
  expect(bucketOf(server, "ch/0000000000/000")).toEqual(kept);
  expect(bucketOf(server, "ch/0000000000/000.broken")).toEqual(torn);
});

test("what an original knew durable in checkpoint.dat is kept, the rest cut", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-buckets-"));
  const bytes = bucketBytes(1, [[4096 * 5 + 1, "kept"], [4096 * 5 + 2, "cut"]]); // prettier-ignore
  mkdirSync(join(directory, "data/channels/ch/0000000000"), { recursive: true });
  writeFileSync(join(directory, "data/channels/ch/0000000000/005"), bytes);
  writeFileSync(join(directory, "data/channels/checkpoint.dat"), `ch ${4096 * 5} ${16 + 17 + 4}\n`);
  await using server = await TestServer.start({ layout: "classic" }, directory);
  expect(texts(await (await server.client()).read("ch"))).toEqual(["kept"]);
  expect(existsSync(join(directory, "data/channels/checkpoint.dat"))).toBe(false);
});

test("either layout refuses the files of the other, and says what to do", async () => {
  const classic = await nodeWith({ "ch/0000000000/000": bucketBytes(1, [[1, "one"]]) });
  await classic.stop();
  await expect(TestServer.start({ layout: "segments" }, classic.directory)).rejects.toThrow(/holds bucket files/);
  const directory = mkdtempSync(join(tmpdir(), "node-x-buckets-"));
  mkdirSync(join(directory, "data/channels/ch"), { recursive: true });
  cpSync(join(files, "bucket-legacy-before.bin"), join(directory, `data/channels/ch/records-${"0".repeat(16)}-${"0".repeat(15)}1.nxr`)); // prettier-ignore
  await expect(TestServer.start({ layout: "classic" }, directory)).rejects.toThrow(/holds segments/);
});
