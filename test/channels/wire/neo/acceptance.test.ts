/**
 * The 24 tests of the originals' dht suite for the neo protocol, with their names and numbers of records.
 *
 * The bulk check compares everything that reads with a map: GetAll, GetAll of keys, GetAll with the filter "0", and
 * Exists and Get of every key.
 */
import { describe, expect, test } from "bun:test";
import { StatusError } from "../../../../src/channels/wire/legacy/client.ts";
import { keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import { type MirrorEvent, NeoNode } from "../../../../src/channels/wire/neo/client.ts";
import { fnv1a64, VALUE_BYTES_MAX } from "../../../../src/channels/wire/neo/protocol.ts";
import { SECRET, TestServer, world } from "../legacy/server.ts";

const CHANNEL = "test_channel";
const RECORDS = 10_000;
const ordered = Array.from({ length: RECORDS }, (_, index) => keyText(BigInt(index)));
const unordered = ordered.map((_, index) => keyText(fnv1a64(Buffer.from(String(index)))));

async function withNode(run: (node: NeoNode, server: TestServer) => Promise<void>): Promise<void> {
  await using server = await TestServer.start();
  await run(await server.neo(), server);
}

async function putAll(node: NeoNode, keys: readonly string[]): Promise<Map<string, string>> {
  await Promise.all(keys.map((key, index) => node.put(CHANNEL, key, String(index))));
  return new Map(keys.map((key, index) => [key, String(index)]));
}

const sorted = (entries: Iterable<[string, string]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

async function getAll(node: NeoNode, filter?: string): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const records of node.getAll(CHANNEL, filter))
    for (const { key, value } of records) found.push([key, Buffer.from(value).toString()]);
  return found;
}

async function bulkCheck(node: NeoNode, wanted: Map<string, string>, keys: readonly string[]): Promise<void> {
  expect(sorted(await getAll(node))).toEqual(sorted(wanted));
  expect(sorted(await getAll(node, "0"))).toEqual(
    sorted([...wanted].filter(([, value]) => value.includes("0"))),
  );
  const found: string[] = [];
  for await (const part of node.getAllKeys(CHANNEL)) found.push(...part);
  expect(found.sort()).toEqual([...wanted.keys()].sort());
  const differing: string[] = [];
  await Promise.all(
    keys.map(async (key) => {
      const [exists, value] = await Promise.all([node.exists(CHANNEL, key), node.get(CHANNEL, key)]);
      if (exists !== wanted.has(key) || value?.toString() !== wanted.get(key)) differing.push(key);
    }),
  );
  expect(differing).toEqual([]);
}

/** Follows a Mirror in the background; `until` waits for what it has told. */
class Follower {
  readonly events: MirrorEvent[] = [];
  readonly records = new Map<string, string>();
  hasEnded = false;
  #wake: () => void = () => {};

  constructor(source: AsyncGenerator<MirrorEvent>) {
    void this.#run(source);
  }

  async #run(source: AsyncGenerator<MirrorEvent>): Promise<void> {
    try {
      for await (const event of source) {
        this.events.push(event);
        if (event.kind === "changed" || event.kind === "refresh")
          this.records.set(event.key, Buffer.from(event.value).toString());
        if (event.kind === "deleted") this.records.delete(event.key);
        this.#wake();
      }
    } catch {
      // A connection that was dropped on purpose.
    }
    this.hasEnded = true;
    this.#wake();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

/** A Mirror that is known to run: the first change was heard. */
async function mirrored(node: NeoNode, writer: NeoNode, options = {}): Promise<Follower> {
  const follower = new Follower(node.mirror(CHANNEL, options));
  while (follower.events.length === 0) {
    await writer.put(CHANNEL, keyText(1n << 60n), "first");
    await writer.exists(CHANNEL, keyText(0n));
  }
  return follower;
}

describe("the neo dht suite", () => {
  test("put and get", () =>
    withNode(async (node) => {
      await node.put(CHANNEL, keyText(5n), "value");
      expect((await node.get(CHANNEL, keyText(5n)))?.toString()).toBe("value");
    }));

  test("put, remove, get", () =>
    withNode(async (node) => {
      await node.put(CHANNEL, keyText(5n), "value");
      expect(await node.removeRecord(CHANNEL, keyText(5n))).toBe(true);
      expect(await node.removeRecord(CHANNEL, keyText(5n))).toBe(false);
      expect(await node.get(CHANNEL, keyText(5n))).toBeUndefined();
    }));

  test("get of a missing record", () =>
    withNode(async (node) => expect(await node.get(CHANNEL, keyText(5n))).toBeUndefined()));

  test("update on an empty channel: not found", () =>
    withNode(async (node) => {
      let wasAsked = false;
      const isDone = await node.update(CHANNEL, keyText(5n), (value) => ((wasAsked = true), value));
      expect([isDone, wasAsked]).toEqual([false, false]);
    }));

  test("update a record", () =>
    withNode(async (node) => {
      await node.put(CHANNEL, keyText(5n), "old");
      const isDone = await node.update(CHANNEL, keyText(5n), (value) => Buffer.from(`${value} and new`));
      expect([isDone, (await node.get(CHANNEL, keyText(5n)))?.toString()]).toEqual([true, "old and new"]);
    }));

  test("update with a serialised struct", () =>
    withNode(async (node) => {
      const encode = (count: number) => {
        const bytes = Buffer.alloc(12);
        bytes.writeUInt32LE(count);
        bytes.writeDoubleLE(count / 3, 4);
        return bytes;
      };
      await node.put(CHANNEL, keyText(5n), encode(1));
      for (let count = 1; count < 5; count++)
        expect(await node.update(CHANNEL, keyText(5n), (value) => encode(value.readUInt32LE() + 1))).toBe(
          true,
        );
      expect(await node.get(CHANNEL, keyText(5n))).toEqual(encode(5));
    }));

  test("put then RemoveChannel", () =>
    withNode(async (node) => {
      await node.put(CHANNEL, keyText(5n), "value");
      await node.removeChannel(CHANNEL);
      expect(await node.get(CHANNEL, keyText(5n))).toBeUndefined();
    }));

  test(
    "put and remove in bulk",
    () =>
      withNode(async (node) => {
        const wanted = await putAll(node, unordered);
        const gone = unordered.filter((_, index) => index % 2 === 0);
        await Promise.all(gone.map((key) => node.remove(CHANNEL, key)));
        for (const key of gone) wanted.delete(key);
        await bulkCheck(node, wanted, unordered);
      }),
    120_000,
  );

  test("puts, then GetChannels", () =>
    withNode(async (node) => {
      const names = Array.from({ length: 10 }, (_, index) => `channel_${index}`);
      await Promise.all(names.map((name) => node.put(name, keyText(1n), "value")));
      expect((await node.getChannels()).sort()).toEqual(names);
    }));

  test("puts, RemoveChannel, GetChannels", () =>
    withNode(async (node) => {
      await node.put("stays", keyText(1n), "value");
      await node.put("goes", keyText(1n), "value");
      await node.removeChannel("goes");
      expect(await node.getChannels()).toEqual(["stays"]);
    }));

  test(
    "GetAll, each batch when the one before was used",
    () =>
      withNode(async (node) => {
        const wanted = await putAll(node, unordered);
        const found = new Map<string, string>();
        for await (const records of node.getAll(CHANNEL)) {
          for (const { key, value } of records) found.set(key, Buffer.from(value).toString());
          await node.exists(CHANNEL, unordered[0] as string); // beside the stream, on the same connection
        }
        expect(sorted(found)).toEqual(sorted(wanted));
      }),
    120_000,
  );

  test(
    "GetAll with suspend and resume",
    () =>
      withNode(async (node) => {
        const long = "v".repeat(20_000);
        const keys = unordered.slice(0, 2000);
        await Promise.all(keys.map((key) => node.put(CHANNEL, key, long)));
        const found: string[] = [];
        // More than waits on the way: the client suspends the stream by itself while its caller is slow.
        for await (const records of node.getAll(CHANNEL)) {
          found.push(...records.map(({ key }) => key));
          for (let pause = 0; pause < 3; pause++) await node.exists(CHANNEL, keys[0] as string);
        }
        expect(found.sort()).toEqual([...keys].sort());
      }),
    120_000,
  );

  test(
    "GetAll with connection drop resumes without duplicates or loss",
    () =>
      withNode(async (first, server) => {
        await putAll(first, unordered);
        const found: string[] = [];
        let node = first;
        for (let drops = 0; ; drops++) {
          const last = found.at(-1);
          let batches = 0;
          for await (const records of node.getAllFrom(CHANNEL, last === undefined ? {} : { after: last })) {
            found.push(...records.map(({ key }) => key));
            if (++batches === 1 + (drops % 2)) break;
          }
          if (found.length >= RECORDS) break;
          node.close();
          node = await server.neo();
          expect(drops).toBeLessThan(100);
        }
        expect(found.length).toBe(RECORDS);
        expect(new Set(found).size).toBe(RECORDS);
      }),
    120_000,
  );

  test("streams that start suspended go on when somebody reads them", () =>
    withNode(async (node) => {
      const keys = ordered.slice(0, 20);
      const wanted = await putAll(node, keys);
      const found: string[] = [];
      for await (const records of node.getAllFrom(CHANNEL, { isSuspended: true }))
        found.push(...records.map(({ key }) => key));
      expect(found.sort()).toEqual([...keys].sort());
      const follower = new Follower(node.mirror(CHANNEL, { isSuspended: true, wantsRefresh: true }));
      await follower.until(() => follower.records.size === wanted.size);
    }));

  test("Mirror and removes", () =>
    withNode(async (node, server) => {
      const writer = await server.neo();
      const keys = ordered.slice(0, 500);
      await putAll(writer, keys);
      const follower = await mirrored(node, writer);
      await Promise.all(keys.map((key) => writer.remove(CHANNEL, key)));
      await follower.until(
        () => follower.events.filter(({ kind }) => kind === "deleted").length === keys.length,
      );
    }));

  test("Mirror and puts", () =>
    withNode(async (node, server) => {
      const writer = await server.neo();
      const follower = await mirrored(node, writer);
      const wanted = await putAll(writer, ordered.slice(0, 500));
      await follower.until(() => follower.records.size === 501);
      for (const [key, value] of wanted) expect(follower.records.get(key)).toBe(value);
    }));

  test("Mirror with connection drop", () =>
    withNode(async (node, server) => {
      const writer = await server.neo();
      const first = await mirrored(node, writer);
      await writer.put(CHANNEL, keyText(1n), "before");
      await first.until(() => first.records.has(keyText(1n)));
      node.close();
      await first.until(() => first.hasEnded);
      await writer.put(CHANNEL, keyText(2n), "while away");
      const again = new Follower((await server.neo()).mirror(CHANNEL, { wantsRefresh: true }));
      await again.until(() => again.records.size === 3);
      await writer.put(CHANNEL, keyText(3n), "after");
      await again.until(() => again.records.get(keyText(3n)) === "after");
    }));

  test(
    "Mirror with suspend and resume",
    () =>
      withNode(async (node, server) => {
        const writer = await server.neo();
        const source = node.mirror(CHANNEL);
        const next = source.next();
        while (!(await writer.getChannels()).includes(CHANNEL));
        await writer.put(CHANNEL, keyText(7n), "first");
        expect((await next).value).toMatchObject({ kind: "changed" });
        // Nobody takes anything: the stream is suspended, and goes on when somebody does.
        const wanted = await putAll(writer, ordered.slice(100, 3100));
        const follower = new Follower(source);
        await follower.until(() => [...wanted.keys()].every((key) => follower.records.has(key)));
      }),
    120_000,
  );

  for (const isSuspended of [false, true])
    test(
      `refreshing Mirror${isSuspended ? " with suspends" : ""}`,
      () =>
        withNode(async (node, server) => {
          const writer = await server.neo();
          const wanted = await putAll(writer, unordered.slice(0, 3000));
          const source = node.mirror(CHANNEL, { wantsRefresh: true, refreshSeconds: 1 });
          const follower = new Follower(isSuspended ? slowed(source, writer) : source);
          await follower.until(() => follower.records.size === wanted.size);
          // The second round comes by itself.
          const seen = follower.events.length;
          await follower.until(() => follower.events.length >= seen + wanted.size);
          expect(sorted(follower.records)).toEqual(sorted(wanted));
        }),
      120_000,
    );

  test("Mirror is ended by RemoveChannel", () =>
    withNode(async (node, server) => {
      const writer = await server.neo();
      const follower = await mirrored(node, writer);
      await writer.removeChannel(CHANNEL);
      await follower.until(() => follower.hasEnded);
      // Its connection goes on.
      expect(await node.getChannels()).toEqual([]);
    }));

  test(
    "unordered put",
    () => withNode(async (node) => bulkCheck(node, await putAll(node, unordered), unordered)),
    120_000,
  );

  test(
    "ordered put",
    () => withNode(async (node) => bulkCheck(node, await putAll(node, ordered), ordered)),
    120_000,
  );

  test("a value of 65513 bytes is refused by the client, one of 65512 is stored", () =>
    withNode(async (node) => {
      await expect(node.put(CHANNEL, keyText(1n), "v".repeat(65_513))).rejects.toBeInstanceOf(StatusError);
      await node.put(CHANNEL, keyText(1n), "v".repeat(65_512));
      expect(VALUE_BYTES_MAX).toBe(65_512);
    }));

  test("a large record is fetched back by all reads", () =>
    withNode(async (node, server) => {
      const large = Buffer.alloc(VALUE_BYTES_MAX, "large record ").toString();
      const writer = await server.neo();
      const follower = await mirrored(node, writer);
      await node.put(CHANNEL, keyText(1n), large);
      expect((await node.get(CHANNEL, keyText(1n)))?.toString()).toBe(large);
      expect(await node.exists(CHANNEL, keyText(1n))).toBe(true);
      expect(new Map(await getAll(node)).get(keyText(1n))).toBe(large);
      await follower.until(() => follower.records.get(keyText(1n)) === large);
      const refreshed = new Follower(writer.mirror(CHANNEL, { wantsRefresh: true }));
      await refreshed.until(() => refreshed.records.get(keyText(1n)) === large);
      expect(
        await node.update(CHANNEL, keyText(1n), (value) => Buffer.from(value.toString().toUpperCase())),
      ).toBe(true);
    }));
});

/** Takes events one by one, each after a request beside it. */
async function* slowed(source: AsyncGenerator<MirrorEvent>, node: NeoNode): AsyncGenerator<MirrorEvent> {
  let count = 0;
  for await (const event of source) {
    if (count++ % 200 === 0) await node.getChannels();
    yield event;
  }
}

test("a client survives restarts of the node and authenticates again", async () => {
  const first = await TestServer.start({ durability: "log" });
  const { port, neoPort, directory } = first;
  const node = await first.neo();
  await node.put(CHANNEL, keyText(1n), "before");
  await first.stop();
  await expect(node.get(CHANNEL, keyText(1n))).rejects.toMatchObject({ code: "NX_CONNECT_FAILED" });
  await using second = await TestServer.start({ durability: "log", port, neoPort }, directory);
  expect((await (await second.neo()).get(CHANNEL, keyText(1n)))?.toString()).toBe("before");
});

test("the bulk check can fail", () =>
  withNode(async (node) => {
    const wanted = await putAll(node, ordered.slice(0, 50));
    wanted.set(ordered[3] as string, "another value");
    await expect(bulkCheck(node, wanted, ordered.slice(0, 60))).rejects.toThrow();
  }));

test("a client that the node does not know is told", async () => {
  await using server = await TestServer.start();
  const address = { host: "127.0.0.1", port: server.neoPort };
  const wrong = NeoNode.connect(world.net, world.clock, address, {
    name: "admin",
    secret: SECRET.toReversed(),
  });
  await expect(wrong).rejects.toThrow("the node does not accept this client");
  const unknown = NeoNode.connect(world.net, world.clock, address, { name: "nobody", secret: SECRET });
  await expect(unknown).rejects.toThrow("the node does not accept this client");
});
