/** Clients of the queue node that mean harm or know no better: each loses its own connection at most. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { LegacyNode, requestBytes } from "../../../src/channels/wire/legacy/client.ts";
import { QueueCommand } from "../../../src/channels/wire/legacy/protocol.ts";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { testSeed } from "../../seed.ts";
import { encode, RawClient } from "../wire/resp/raw.ts";
import { startQueue, type TestServer, world } from "./server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startQueue({
    limits: { requestBytesMax: 64 * 1024, outboxBytesMax: 1024 * 1024, connections: 50 },
    channels: { ringBytes: 4 * 1024 * 1024 },
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const raw = () => LegacyNode.connect(world.net, { host: "127.0.0.1", port: server.port });

async function expectService(): Promise<void> {
  const node = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  await node.push("good", "record");
  expect(String(await node.pop("good"))).toBe("record");
  node.close();
  const client = await RawClient.connect(server.respPort);
  expect(String(await client.command("RPUSH", "list", "x"))).toStartWith(":");
  expect(String(await client.command("LPOP", "list"))).toBe("$1\r\nx\r\n");
  await client[Symbol.asyncDispose]();
}

const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const isClosed = (node: LegacyNode) =>
  node.read(1).then(
    () => false,
    () => true,
  );

test.each([
  ["an array of 2^63 bytes", Buffer.concat([u32(QueueCommand.Push), u64(1n << 63n)])],
  [
    "an array just over the limit, sent in full",
    Buffer.concat([u32(QueueCommand.Pop), u64(10_485_761n), Buffer.alloc(10_485_761)]),
  ],
  [
    "a list of channels without end",
    Buffer.concat([
      u32(QueueCommand.PushMulti),
      ...Array<Buffer>(1_200_000).fill(Buffer.concat([u64(1n), Buffer.from("a")])),
    ]),
  ],
  ["an unknown command", u32(77)],
  ["a negative command", u32(-1)],
])(
  "%s closes that connection and no other",
  async (_what, bytes) => {
    const node = await raw();
    node.send(bytes);
    if (_what.includes("2^63")) node.close();
    else {
      await node.read(4).catch(() => undefined);
      expect(await isClosed(node)).toBe(true);
    }
    await expectService();
  },
  120_000,
);

test("a record of a Produce stream over the limit closes it; what came before is stored", async () => {
  const node = await raw();
  node.send(requestBytes(QueueCommand.Produce, "produced"));
  await node.read(4);
  node.send(Buffer.concat([u64(3n), Buffer.from("one"), u64(10_485_761n), Buffer.alloc(10_485_761)]));
  expect(await isClosed(node)).toBe(true);
  const client = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  expect(String(await client.pop("produced"))).toBe("one");
  client.close();
}, 120_000);

test("half requests that never go on cost nothing but their bytes", async () => {
  const nodes = await Promise.all(Array.from({ length: 20 }, raw));
  for (const node of nodes)
    node.send(Buffer.concat([u32(QueueCommand.Push), u64(1000n), Buffer.from("half")]));
  await expectService();
  for (const node of nodes) node.close();
});

test("a blocked client that goes on sending is closed at its limit", async () => {
  const client = await RawClient.connect(server.respPort);
  client.send(encode(["BLPOP", "never", "0"]));
  for (let index = 0; index < 40; index++) client.send(encode(["PING", "x".repeat(4096)]));
  expect((await client.untilClosed()).toString()).toContain("too large");
  await expectService();
});

test("a client that asks for much and does not read is held back", async () => {
  const client = await RawClient.connect(server.respPort);
  for (let index = 0; index < 30; index++) await client.command("RPUSH", "much", "y".repeat(60_000));
  client.pause();
  for (let index = 0; index < 20; index++) client.send(encode(["LRANGE", "much", "0", "-1"]));
  await expectService();
  client.resume();
  const [first] = await client.replies(1);
  // As a boolean: a difference of megabytes is not worth printing.
  expect(first?.subarray(0, 5).equals(Buffer.from("*30\r\n"))).toBe(true);
  await client[Symbol.asyncDispose]();
});

test("garbage on both ports", async () => {
  const random = seededRandom(testSeed);
  for (let round = 0; round < 60; round++) {
    const bytes = random.bytes(1 + random.integer(300));
    // A code that is known, so that the garbage is taken for fields.
    if (round % 2 === 0) bytes.set(u32(1 + random.integer(12)).subarray(0, Math.min(4, bytes.byteLength)));
    const [node, client] = [await raw(), await RawClient.connect(server.respPort)];
    node.send(bytes);
    client.send(round % 3 === 0 ? Buffer.concat([Buffer.from("*3\r\n$4\r\nXADD\r\n"), bytes]) : bytes);
    node.close();
    await client[Symbol.asyncDispose]();
  }
  await expectService();
});

test("connections over the limit are turned away, on either port", async () => {
  const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.connect(server.respPort)));
  await Promise.all(clients.map((client) => client.command("PING")));
  const more = await RawClient.connect(server.respPort);
  expect(String(await more.untilClosed())).toContain("max number of clients");
  expect(await isClosed(await raw())).toBe(true);
  for (const client of clients) await client[Symbol.asyncDispose]();
});
