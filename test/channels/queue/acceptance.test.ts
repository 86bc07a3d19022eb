/**
 * The originals' tests of their queue node, by their names: six ways to write and six to read, each with each; writers and
 * readers at the same time; subscribers; the sanity tests. The seed's generation knows the legacy protocol only.
 */
import { describe, expect, test } from "bun:test";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { NeoQueueNode } from "../../../src/channels/wire/neo/queue-client.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const RECORDS = 2000;
const records = Array.from({ length: RECORDS }, (_, index) => `record ${index}`);

const open = (server: TestServer) => QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });

const openNeo = (server: TestServer) =>
  NeoQueueNode.connect(
    world.net,
    world.clock,
    { host: "127.0.0.1", port: server.neoPort },
    { name: "user", secret: SECRET },
  );

type Node = QueueNode | NeoQueueNode;
type Writer = (server: TestServer, channels: string[]) => Promise<void>;

async function pushEach(node: Node, channels: string[]): Promise<void> {
  for (const channel of channels) await Promise.all(records.map((record) => node.push(channel, record)));
}

async function pushToAll(node: Node, channels: string[]): Promise<void> {
  await Promise.all(records.map((record) => node.pushMulti(channels, record)));
}

/** Produce has no answer: that of the next request comes behind its records. */
async function produce(server: TestServer, channels: string[], isMulti: boolean): Promise<void> {
  const node = await open(server);
  if (isMulti) await node.produce(channels, records);
  else for (const channel of channels) await node.produce(channel, records);
  await node.pop("nothing").catch(() => undefined);
}

const writers: Record<string, Writer> = {
  Push: async (server, channels) => pushEach(await open(server), channels),
  PushMulti: async (server, channels) => pushToAll(await open(server), channels),
  Produce: (server, channels) => produce(server, channels, false),
  ProduceMulti: (server, channels) => produce(server, channels, true),
  "neo Push": async (server, channels) => pushEach(await openNeo(server), channels),
  "neo Push to several": async (server, channels) => pushToAll(await openNeo(server), channels),
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

/** Lets `write` write, and reads through other connections; returns what each channel gave. */
type Reader = (server: TestServer, channels: string[], write: () => Promise<void>) => Promise<string[][]>;
type Open = (server: TestServer) => Promise<Node>;

const popAll: (connect: Open) => Reader = (connect) => async (server, channels, write) => {
  await write();
  const node = await connect(server);
  const found: string[][] = [];
  for (const channel of channels) {
    const popped = await Promise.all(records.map(() => node.pop(channel)));
    found.push(popped.map(String));
    expect(await node.pop(channel)).toBeUndefined();
  }
  return found;
};

const consumeAll: (connect: Open, isBefore: boolean) => Reader =
  (connect, isBefore) => async (server, channels, write) => {
    if (!isBefore) await write();
    const streams = await Promise.all(
      channels.map(async (channel) => (await connect(server)).consume(channel)),
    );
    if (isBefore) await write();
    return Promise.all(streams.map((stream) => take(stream, RECORDS)));
  };

const readers: Record<string, Reader> = {
  "Pop after": popAll(open),
  "Consume started before": consumeAll(open, true),
  "Consume started after": consumeAll(open, false),
  "neo Pop": popAll(openNeo),
  "neo Consume started before": consumeAll(openNeo, true),
  "neo Consume started after": consumeAll(openNeo, false),
};

/** Those that a generation of clients has. */
const ofGeneration = (generation: string, all: object) =>
  Object.keys(all).filter((name) => generation === "later" || !name.startsWith("neo "));

describe.each(["seed", "later"])("the %s generation", (generation) => {
  const config = { swarm: { generation, writeFlushMs: 1 } };

  describe.each(ofGeneration(generation, writers))("%s", (writer) => {
    test.each(ofGeneration(generation, readers))("%s", async (reader) => {
      await using server = await startQueue(config);
      const channels = /Multi|several/.test(writer) ? ["one", "two"] : ["one"];
      const write = () => (writers[writer] as Writer)(server, channels);
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

  const protocols: Record<string, [writers: Open, consumers: Open]> = {
    legacy: [open, open],
    "neo both": [openNeo, openNeo],
    "neo writers, legacy consumers": [openNeo, open],
    "neo consumers, legacy writers": [open, openNeo],
  };
  const parallel = [
    { writers: 1, consumers: 3 },
    { writers: 3, consumers: 1 },
    { writers: 3, consumers: 3 },
  ].flatMap((counts) => ofGeneration(generation, protocols).map((protocol) => ({ protocol, ...counts })));

  test.each(parallel)("$writers writers and $consumers consumers at once, $protocol", async (parties) => {
    await using server = await startQueue(config);
    const [connect, connectConsumer] = protocols[parties.protocol] as [Open, Open];
    const streams = await Promise.all(
      Array.from({ length: parties.consumers }, async () =>
        (await connectConsumer(server)).consume("channel"),
      ),
    );
    const found: string[] = [];
    const total = parties.writers * RECORDS;
    const { promise, resolve } = Promise.withResolvers<void>();
    const reading = streams.map(async (stream) => {
      for await (const record of stream) {
        found.push(record.toString());
        if (found.length === total) resolve();
      }
    });
    const writing = Array.from({ length: parties.writers }, async (_, writer) => {
      const node = await connect(server);
      await Promise.all(records.map((record) => node.push("channel", `${writer} ${record}`)));
    });
    await Promise.all([...writing, promise]);
    await (await open(server)).removeChannel("channel");
    await Promise.all(reading);
    const wanted = Array.from({ length: parties.writers }, (_, writer) =>
      records.map((record) => `${writer} ${record}`),
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

describe("subscribers", () => {
  const subscribe = async (server: TestServer, ...names: string[]) =>
    Promise.all(names.map(async (name) => (await openNeo(server)).consume("channel", name)));

  test.each(["Push", "PushMulti", "neo Push", "neo Push to several"])(
    "%s: every subscriber gets every record",
    async (writer) => {
      await using server = await startQueue({ swarm: { writeFlushMs: 1 } });
      const streams = await subscribe(server, "one", "two", "three");
      await (writers[writer] as Writer)(server, ["channel"]);
      expect(await Promise.all(streams.map((stream) => take(stream, RECORDS)))).toEqual([
        records,
        records,
        records,
      ]);
    },
  );

  test("whose consumer has stopped keeps its records for the next one, and pops are refused", async () => {
    await using server = await startQueue({ swarm: { writeFlushMs: 1 } });
    const [first] = await subscribe(server, "one");
    await pushEach(await openNeo(server), ["channel"]);
    // It leaves with what it was sent: at most one batch.
    expect(await take(first as AsyncGenerator<Buffer>, 1)).toEqual(["record 0"]);
    await first?.return(undefined);
    const node = await openNeo(server);
    await expect(node.pop("channel")).rejects.toMatchObject({ status: 406 });
    await node.push("channel", "last");
    const [second] = await subscribe(server, "one");
    for (;;) if ((await take(second as AsyncGenerator<Buffer>, 1))[0] === "last") break;
  });
});

test("a suspended neo consumer leaves the records to the others", async () => {
  await using server = await startQueue({ swarm: { writeFlushMs: 1 } });
  const asleep = await (await openNeo(server)).consume("channel");
  const awake = await (await openNeo(server)).consume("channel");
  const node = await openNeo(server);
  await node.push("channel", "for the one asleep or awake");
  // Each is sent one batch before it says anything; from then on only who goes on gets records.
  for (const record of records) await node.push("channel", record);
  await node.push("channel", "last");
  const found: string[] = [];
  for (let next = ""; next !== "last"; found.push(next)) [next = "last"] = await take(awake, 1);
  expect(found.length).toBeGreaterThan(RECORDS / 2);
  await asleep.return(undefined);
});
