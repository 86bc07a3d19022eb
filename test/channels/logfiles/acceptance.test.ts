/**
 * The legacy tests of the original logfiles node, by their names, against ours with either layout. The originals check
 * 10 000 records; so do these.
 */
import { describe, expect, test } from "bun:test";
import type { LogfilesNode, LogRecord } from "../../../src/channels/wire/legacy/logfiles-client.ts";
import { TestServer } from "./server.ts";

const RECORDS = 10_000;
const U64_MAX = 2n ** 64n - 1n;

/** FNV-1a, 64 bits, of a number's eight bytes: how the originals make keys without order. */
function fnv1a(number: number): bigint {
  let hash = 0xcbf29ce484222325n;
  let rest = BigInt(number);
  for (let byte = 0; byte < 8; byte++) {
    hash = ((hash ^ (rest & 0xffn)) * 0x100000001b3n) & U64_MAX;
    rest >>= 8n;
  }
  return hash;
}

const texts = (records: readonly LogRecord[]) => records.map(({ value }) => value.toString());
const sorted = (records: readonly LogRecord[]) =>
  records.map(({ key, value }) => `${key.toString(16).padStart(16, "0")} ${value}`).sort();

/** Puts, each answered before the next batch of them is sent. */
async function putAll(client: LogfilesNode, channel: string, records: { key: bigint; value: string }[]) {
  for (let at = 0; at < records.length; at += 500)
    await Promise.all(records.slice(at, at + 500).map(({ key, value }) => client.put(channel, key, value)));
}

/** Everything that a client can ask of a channel must agree with what was written. */
async function bulkCheck(client: LogfilesNode, channel: string, records: { key: bigint; value: string }[]) {
  const wanted = records.map(({ key, value }) => `${key.toString(16).padStart(16, "0")} ${value}`).sort();
  expect(sorted(await client.read(channel))).toEqual(wanted);
  const isZero = (line: string) => line.slice(17).includes("0");
  expect(sorted(await client.read(channel, { filter: "0" }))).toEqual(wanted.filter(isZero));
  let keys = 0;
  for await (const batch of client.keys(channel)) keys += batch.length;
  expect(keys).toBe(records.length);
  expect((await client.getChannelSize(channel)).records).toBe(records.length);
  expect(sorted(await client.read(channel, { low: 0n, high: U64_MAX }))).toEqual(wanted);
}

/** A bucket file for each record is what makes the originals slow; a tenth of them shows the same with that layout. */
const partFor = (layout: string, name: string, records: { key: bigint; value: string }[]) =>
  layout === "classic" && name.startsWith("unordered") ? records.slice(0, RECORDS / 10) : records;

const ordered = (perKey: number) =>
  Array.from({ length: RECORDS }, (_, index) => ({
    key: BigInt(Math.floor(index / perKey)),
    value: `${index}`,
  }));
const unordered = (perKey: number) =>
  Array.from({ length: RECORDS }, (_, index) => ({
    key: fnv1a(Math.floor(index / perKey)),
    value: `${index}`,
  }));

describe.each(["segments", "classic"])("layout %s", (layout) => {
  const start = () => TestServer.start({ layout, durability: "log" });

  test("GetRange inside the data", async () => {
    await using server = await start();
    const client = await server.client();
    await putAll(client, "range", ordered(1).slice(0, 100));
    expect(texts(await client.read("range", { low: 10n, high: 19n }))).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index + 10}`),
    );
  });

  test("GetRange outside the data has no results", async () => {
    await using server = await start();
    const client = await server.client();
    await putAll(client, "range", ordered(1).slice(0, 100));
    expect(await client.read("range", { low: 100_000n, high: 200_000n })).toEqual([]);
  });

  test("GetRange of exactly the data", async () => {
    await using server = await start();
    const client = await server.client();
    await putAll(client, "range", ordered(1).slice(0, 100));
    expect(texts(await client.read("range", { low: 0n, high: 99n }))).toEqual(
      Array.from({ length: 100 }, (_, index) => `${index}`),
    );
  });

  test("GetRange with a substring filter", async () => {
    await using server = await start();
    const client = await server.client();
    await putAll(client, "range", ordered(1).slice(0, 100));
    expect(texts(await client.read("range", { low: 0n, high: 99n, filter: "7" }))).toEqual(
      Array.from({ length: 100 }, (_, index) => `${index}`).filter((text) => text.includes("7")),
    );
  });

  test("GetRange with a regex filter gives the matching lines only", async () => {
    await using server = await start();
    const client = await server.client();
    const lines = ["user=1 ok", "user=22 failed", "nobody", "USER=3 ok"];
    for (const [index, line] of lines.entries()) await client.put("range", BigInt(index), line);
    expect(
      texts(
        await client.read("range", { low: 0n, high: 9n, mode: "regex", filter: "^user=\\d+ (ok|late)$" }),
      ),
    ).toEqual(["user=1 ok"]);
    expect(
      texts(
        await client.read("range", { low: 0n, high: 9n, mode: "regexIgnoringCase", filter: "^user=.*ok$" }),
      ),
    ).toEqual(["user=1 ok", "USER=3 ok"]);
  });

  test("a malformed regex is answered with an error status", async () => {
    await using server = await start();
    const client = await server.client();
    await client.put("range", 1n, "line");
    await expect(client.read("range", { low: 0n, high: 9n, mode: "regex", filter: "(" })).rejects.toMatchObject({
      status: 500,
    });
    // The connection stays in step.
    expect(texts(await client.read("range"))).toEqual(["line"]);
  });

  test("GetAll returns both values of each key", async () => {
    await using server = await start();
    const client = await server.client();
    const records = ordered(2).slice(0, 1000);
    await putAll(client, "twice", records);
    expect(texts(await client.read("twice"))).toEqual(records.map(({ value }) => value));
  });

  test("GetAll is empty after RemoveChannel", async () => {
    await using server = await start();
    const client = await server.client();
    await putAll(client, "gone", ordered(1).slice(0, 100));
    await client.removeChannel("gone");
    expect(await client.read("gone")).toEqual([]);
    expect(await client.getChannels()).toEqual([]);
    await client.put("gone", 1n, "again");
    expect(texts(await client.read("gone"))).toEqual(["again"]);
  });

  test.each([
    ["ordered put", ordered(1)],
    ["unordered put", unordered(1)],
    ["ordered put, 10 values per key", ordered(10)],
    ["unordered put, 10 values per key", unordered(10)],
  ])(
    "%s, and the bulk check",
    async (name, all) => {
      const records = partFor(layout, name, all);
      await using server = await start();
      const client = await server.client();
      await putAll(client, "bulk", records);
      await bulkCheck(client, "bulk", records);
    },
    120_000,
  );
});
