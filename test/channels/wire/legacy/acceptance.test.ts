/**
 * The twelve tests of the originals' dht suite for the legacy protocol, with their names and numbers of records.
 *
 * The bulk check compares everything that reads with a map: sizes, GetAll, GetAllFilter "0", GetAllKeys, and Exists and
 * Get of every key.
 */
import { describe, expect, test } from "bun:test";
import { LegacyClient } from "../../../../src/channels/wire/legacy/client.ts";
import { keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import { TestServer, world } from "./server.ts";

const CHANNEL = "test_channel";
const RECORDS = 10_000;

/** FNV-1a, 64 bits: how applications make keys of text. */
function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text))
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  return hash;
}

const ordered = Array.from({ length: RECORDS }, (_, index) => keyText(BigInt(index)));
const unordered = Array.from({ length: RECORDS }, (_, index) => keyText(fnv1a(String(index))));

/** Runs `call` for every item, some hundred at once. */
async function forEach<Item>(items: readonly Item[], call: (item: Item, index: number) => Promise<unknown>) {
  for (let at = 0; at < items.length; at += 500)
    await Promise.all(items.slice(at, at + 500).map((item, index) => call(item, at + index)));
}

async function putAll(client: LegacyClient, keys: readonly string[]): Promise<Map<string, string>> {
  await forEach(keys, (key, index) => client.put(CHANNEL, key, String(index)));
  return new Map(keys.map((key, index) => [key, String(index)]));
}

async function removeEverySecond(client: LegacyClient, records: Map<string, string>): Promise<void> {
  const gone = [...records.keys()].filter((_, index) => index % 2 === 0);
  await forEach(gone, (key) => client.remove(CHANNEL, key));
  for (const key of gone) records.delete(key);
}

const toMap = (records: readonly { key: string; value: Uint8Array }[]) =>
  new Map(records.map(({ key, value }) => [key, Buffer.from(value).toString()]));

const sorted = (entries: Iterable<[string, string]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

async function bulkCheck(client: LegacyClient, wanted: Map<string, string>, keys: readonly string[]) {
  expect(await client.records(CHANNEL)).toBe(wanted.size);
  const all = await client.getAll(CHANNEL);
  expect(all.length).toBe(wanted.size);
  expect(sorted(toMap(all))).toEqual(sorted(wanted));
  const filtered = await client.getAll(CHANNEL, "0");
  expect(sorted(toMap(filtered))).toEqual(sorted([...wanted].filter(([, value]) => value.includes("0"))));
  expect((await client.getAllKeys(CHANNEL)).sort()).toEqual([...wanted.keys()].sort());
  const differing: string[] = [];
  await forEach(keys, async (key) => {
    const [exists, value] = await Promise.all([client.exists(CHANNEL, key), client.get(CHANNEL, key)]);
    if (exists !== wanted.has(key) || value?.toString() !== wanted.get(key)) differing.push(key);
  });
  expect(differing).toEqual([]);
}

/** A node of its own and a client of it; `two` splits the hash space between two nodes. */
async function withClient(run: (client: LegacyClient) => Promise<void>, two = false): Promise<void> {
  const half = "7fffffffffffffff";
  const swarm = { writeFlushMs: 1 };
  await using first = await TestServer.start(
    two ? { swarm, hashRange: { min: "0000000000000000", max: half } } : { swarm },
  );
  await using second = two
    ? await TestServer.start({ swarm, hashRange: { min: "8000000000000000", max: "ffffffffffffffff" } })
    : undefined;
  const ports = [first, second].flatMap((server) => (server === undefined ? [] : [server.port]));
  const client = await LegacyClient.connect(
    world.net,
    ports.map((port) => ({ host: "127.0.0.1", port })),
  );
  try {
    await run(client);
  } finally {
    client.close();
  }
}

describe("the legacy dht suite", () => {
  test("handshake completes", () => withClient(async (client) => client.handshake()));

  test("put then get 3 records", () =>
    withClient(async (client) => {
      const keys = ordered.slice(0, 3);
      for (const key of keys) await client.put(CHANNEL, key, `value ${key}`);
      for (const key of keys) expect((await client.get(CHANNEL, key))?.toString()).toBe(`value ${key}`);
    }));

  test("get of a missing key yields nothing", () =>
    withClient(async (client) => expect(await client.get(CHANNEL, ordered[7] as string)).toBeUndefined()));

  test("GetAll of 3 records, each once", () =>
    withClient(async (client) => {
      const wanted = await putAll(client, ordered.slice(0, 3));
      const all = await client.getAll(CHANNEL);
      expect(all.length).toBe(3);
      expect(toMap(all)).toEqual(wanted);
    }));

  test("RemoveChannel empties the channel", () =>
    withClient(async (client) => {
      await putAll(client, ordered.slice(0, 3));
      await client.removeChannel(CHANNEL);
      expect(await client.records(CHANNEL)).toBe(0);
      expect(await client.getAll(CHANNEL)).toEqual([]);
    }));

  test("Listen ends when its channel is removed", async () => {
    await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
    const [listener, writer] = [await server.node(), await server.node()];
    const next = listener.listen(CHANNEL).next();
    await writer.getVersion();
    while (!(await writer.getChannels()).includes(CHANNEL));
    await writer.removeChannel(CHANNEL);
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await listener.getVersion()).toBe("20110401");
  });

  test("Listen delivers a put", async () => {
    await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
    const [listener, writer] = [await server.node(), await server.node()];
    const next = listener.listen(CHANNEL).next();
    while (!(await writer.getChannels()).includes(CHANNEL));
    await writer.put(CHANNEL, ordered[5] as string, "heard");
    expect(await next).toEqual({
      done: false,
      value: { key: ordered[5] as string, value: Buffer.from("heard") },
    });
  });

  test("batch Listen: 10 000 puts, each must arrive before the next is sent", async () => {
    await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
    const [listener, writer] = [await server.node(), await server.node()];
    const updates = listener.listen(CHANNEL);
    let next = updates.next();
    while (!(await writer.getChannels()).includes(CHANNEL));
    let heard = 0;
    for (const [index, key] of ordered.entries()) {
      await writer.put(CHANNEL, key, String(index));
      const { value } = await next;
      if (value?.key === key && Buffer.from(value.value).toString() === String(index)) heard++;
      next = updates.next();
    }
    expect(heard).toBe(RECORDS);
    next.catch(() => undefined);
  }, 120_000);

  const suites = [
    ["ordered", ordered],
    ["unordered", unordered],
  ] as const;

  for (const [order, keys] of suites) {
    test(
      `${order} put and bulk check`,
      () =>
        withClient(async (client) => {
          await bulkCheck(client, await putAll(client, keys), keys);
        }),
      120_000,
    );

    test(
      `${order} remove: put all, bulk check, remove every second, bulk check`,
      () =>
        withClient(async (client) => {
          const wanted = await putAll(client, keys);
          await bulkCheck(client, wanted, keys);
          await removeEverySecond(client, wanted);
          await bulkCheck(client, wanted, keys);
        }),
      120_000,
    );
  }
});

test(
  "the same over two nodes that share the hash space",
  () =>
    withClient(async (client) => {
      const wanted = await putAll(client, unordered);
      for (const node of client.nodes) {
        const { records } = await node.getChannelSize(CHANNEL);
        expect(records).toBeGreaterThan(RECORDS / 3);
      }
      await bulkCheck(client, wanted, unordered);
      await removeEverySecond(client, wanted);
      await bulkCheck(client, wanted, unordered);
    }, true),
  120_000,
);

test("the bulk check can fail", () =>
  withClient(async (client) => {
    const wanted = await putAll(client, ordered.slice(0, 50));
    wanted.set(ordered[3] as string, "another value");
    await expect(bulkCheck(client, wanted, ordered.slice(0, 60))).rejects.toThrow();
  }));
