/**
 * The originals' tests of their queue node that speak the legacy protocol, by their names: four ways to write, three to
 * read, each with each; writers and readers at the same time; the sanity tests.
 */
import { describe, expect, test } from "bun:test";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const RECORDS = 2000;
const records = Array.from({ length: RECORDS }, (_, index) => `record ${index}`);

const open = (server: TestServer) => QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });

type Writer = (node: QueueNode, channels: string[]) => Promise<void>;

const writers: Record<string, Writer> = {
  Push: async (node, channels) => {
    for (const channel of channels) await Promise.all(records.map((record) => node.push(channel, record)));
  },
  PushMulti: async (node, channels) => {
    await Promise.all(records.map((record) => node.pushMulti(channels, record)));
  },
  Produce: async (node, channels) => {
    for (const channel of channels) await node.produce(channel, records);
  },
  ProduceMulti: (node, channels) => node.produce(channels, records),
};

async function take(stream: AsyncGenerator<Buffer>, count: number): Promise<string[]> {
  const found: string[] = [];
  while (found.length < count) {
    const { value, done } = await stream.next();
    if (done === true) break;
    found.push(value.toString());
  }
  return found;
}

/** Writes through one connection and reads through others; returns what each channel gave. */
type Reader = (server: TestServer, channels: string[], write: () => Promise<void>) => Promise<string[][]>;

const consumeAll: (isBefore: boolean) => Reader = (isBefore) => async (server, channels, write) => {
  if (!isBefore) await write();
  const streams = await Promise.all(channels.map(async (channel) => (await open(server)).consume(channel)));
  if (isBefore) await write();
  return Promise.all(streams.map((stream) => take(stream, RECORDS)));
};

const readers: Record<string, Reader> = {
  "Pop after": async (server, channels, write) => {
    await write();
    const node = await open(server);
    const found: string[][] = [];
    for (const channel of channels) {
      const popped = await Promise.all(records.map(() => node.pop(channel)));
      found.push(popped.map(String));
      expect(await node.pop(channel)).toBeUndefined();
    }
    return found;
  },
  "Consume started before": consumeAll(true),
  "Consume started after": consumeAll(false),
};

describe.each(["seed", "later"])("the %s generation", (generation) => {
  const config = { swarm: { generation, writeFlushMs: 1 } };

  describe.each(Object.keys(writers))("%s", (writer) => {
    test.each(Object.keys(readers))("%s", async (reader) => {
      await using server = await startQueue(config);
      const node = await open(server);
      const channels = writer.endsWith("Multi") ? ["one", "two"] : ["one"];
      const write = async () => {
        await (writers[writer] as Writer)(node, channels);
        // Produce has no answer: the next one comes behind its records.
        await node.pop("nothing").catch(() => undefined);
      };
      const found = await (readers[reader] as Reader)(server, channels, write);
      expect(found).toEqual(channels.map(() => records));
    });
  });

  test("push and pop sanity", async () => {
    await using server = await startQueue(config);
    const node = await open(server);
    await node.push("channel", "value");
    expect(String(await node.pop("channel"))).toBe("value");
    expect(await node.pop("channel")).toBeUndefined();
  });

  test("consume gets a pushed value, and ends when the channel is removed", async () => {
    await using server = await startQueue(config);
    const [node, other] = [await open(server), await open(server)];
    const stream = await other.consume("channel");
    await node.push("channel", "value");
    expect(await take(stream, 1)).toEqual(["value"]);
    await node.removeChannel("channel");
    expect((await stream.next()).done).toBe(true);
    // The connection takes requests again.
    await other.push("channel", "again");
    expect(String(await other.pop("channel"))).toBe("again");
  });

  test.each([
    { producers: 1, consumers: 3 },
    { producers: 3, consumers: 1 },
    { producers: 3, consumers: 3 },
  ])("$producers writers and $consumers consumers at once", async ({ producers, consumers }) => {
    await using server = await startQueue(config);
    const streams = await Promise.all(
      Array.from({ length: consumers }, async () => (await open(server)).consume("channel")),
    );
    const found: string[] = [];
    const total = producers * RECORDS;
    const { promise, resolve } = Promise.withResolvers<void>();
    const reading = streams.map(async (stream) => {
      for await (const record of stream) {
        found.push(record.toString());
        if (found.length === total) resolve();
      }
    });
    const writing = Array.from({ length: producers }, async (_, producer) => {
      const node = await open(server);
      await Promise.all(records.map((record) => node.push("channel", `${producer} ${record}`)));
    });
    await Promise.all([...writing, promise]);
    await (await open(server)).removeChannel("channel");
    await Promise.all(reading);
    const wanted = Array.from({ length: producers }, (_, producer) =>
      records.map((record) => `${producer} ${record}`),
    ).flat();
    expect(found.sort()).toEqual(wanted.sort());
  });

  test("a suspended consumer leaves the records to the others", async () => {
    await using server = await startQueue(config);
    const [node, asleep, awake] = [await open(server), await open(server), await open(server)];
    // It never reads: what it was sent fills its socket, and no more is taken for it.
    await asleep.consume("channel");
    const stream = await awake.consume("channel");
    const large = "x".repeat(100_000);
    const count = 300;
    for (let index = 0; index < count; index++) await node.push("channel", large);
    const found = await take(stream, count / 3);
    expect(found.every((record) => record === large)).toBe(true);
  });
});
