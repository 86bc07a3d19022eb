/** Clients that do everything wrong, beside one that does not and must not notice. */
import { expect, test } from "bun:test";
import type { LegacyNode } from "../../../../src/channels/wire/legacy/client.ts";
import { requestBytes } from "../../../../src/channels/wire/legacy/client.ts";
import { Command, keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import type { Socket } from "../../../../src/core/seams/net.ts";
import { TestServer, world } from "./server.ts";

/** A client that sends and never reads. */
async function deaf(server: TestServer, bytes: Uint8Array): Promise<Socket> {
  const socket = await world.net.connect<undefined>({
    host: "127.0.0.1",
    port: server.port,
    handlers: { open: () => undefined, data() {}, drain() {}, close() {} },
  });
  socket.pause();
  socket.write(bytes);
  return socket;
}

const isClosed = (node: LegacyNode) =>
  node.read(1).then(
    () => false,
    () => true,
  );

async function fill(node: LegacyNode, records: number, valueBytes: number): Promise<void> {
  const value = Buffer.alloc(valueBytes, "v");
  for (let at = 0; at < records; at += 500) {
    const part = Array.from({ length: Math.min(500, records - at) }, (_, index) =>
      keyText(BigInt(at + index)),
    );
    await Promise.all(part.map((key) => node.put("ch", key, value)));
  }
}

test("bulk readers that never read hold up nobody and cost no memory", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  await fill(node, 10_000, 4000);
  const before = process.memoryUsage.rss();
  const readers = await Promise.all(
    Array.from({ length: 50 }, () => deaf(server, requestBytes(Command.GetAll, "ch"))),
  );
  const all: number[] = [];
  for await (const batch of node.getAll("ch")) all.push(batch.length);
  expect(all.reduce((sum, length) => sum + length, 0)).toBe(10_000);
  // 50 x 40 MB wait; what the kernel's buffers do not hold must not be made yet.
  expect(process.memoryUsage.rss() - before).toBeLessThan(300e6);
  for (const reader of readers) reader.terminate();
  expect(await node.getVersion()).toBe("20110401");
}, 120_000);

test("a listener that never reads loses updates, and the log says so", async () => {
  await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
  const node = await server.node();
  const listener = await deaf(server, requestBytes(Command.Listen, "ch"));
  while (!(await node.getChannels()).includes("ch"));
  await fill(node, 60_000, 400);
  expect(server.lines.join("\n")).toContain("a listener of channel ch does not read: 32768 updates wait");
  expect((await node.getChannelSize("ch")).records).toBe(60_000);
  listener.terminate();
}, 120_000);

test("a listener that reads late gets what was kept", async () => {
  await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
  const [node, listener] = [await server.node(), await server.node()];
  const updates = listener.listen("ch");
  const first = updates.next();
  while (!(await node.getChannels()).includes("ch"));
  await fill(node, 20_000, 100);
  expect((await first).value).toMatchObject({ key: keyText(0n) });
  for (let index = 1; index < 20_000; index++) {
    const { value } = await updates.next();
    if (value?.key !== keyText(BigInt(index))) throw new Error(`update ${index} is ${value?.key}`);
  }
}, 120_000);

test("half requests are kept, and dropped with their connection", async () => {
  await using server = await TestServer.start();
  const put = requestBytes(Command.Put, "ch", keyText(1n), Buffer.alloc(60_000, 1));
  const halves = await Promise.all(Array.from({ length: 20 }, () => server.node()));
  for (const half of halves) half.send(put.subarray(0, 40_000));
  const node = await server.node();
  expect(await node.exists("ch", keyText(1n))).toBe(false);
  (halves[0] as LegacyNode).send(put.subarray(40_000));
  expect((await (halves[0] as LegacyNode).read(4)).readInt32LE(0)).toBe(200);
  expect((await node.get("ch", keyText(1n)))?.byteLength).toBe(60_000);
  for (const half of halves) half.close();
  await expect(node.getNumConnections()).resolves.toBeGreaterThan(0);
});

test("a listener that goes on sending is bounded", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  node.send(requestBytes(Command.Listen, "ch"));
  expect((await node.read(4)).readInt32LE(0)).toBe(200);
  for (let sent = 0; sent < 11; sent++) node.send(Buffer.alloc(1024 * 1024));
  expect(await isClosed(node)).toBe(true);
  expect(await (await server.node()).getVersion()).toBe("20110401");
}, 120_000);

test("garbage closes its own connection only", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  const random = world.random;
  for (let round = 0; round < 100; round++) {
    const noisy = await server.node();
    noisy.send(random.bytes(1 + random.integer(200)));
    noisy.close();
  }
  await node.put("ch", keyText(1n), "v");
  expect((await node.get("ch", keyText(1n)))?.toString()).toBe("v");
}, 120_000);

test("connections over the limit are closed at once, over both ports together", async () => {
  await using server = await TestServer.start({ limits: { connections: 3 } });
  const nodes = [await server.node(), await server.node(), await server.node()];
  expect(await nodes[0]?.getNumConnections()).toBe(3);
  expect(await isClosed(await server.node())).toBe(true);
  const redis = await deaf({ port: server.respPort } as TestServer, Buffer.from("PING\r\n"));
  redis.resume();
  while (
    (JSON.parse(JSON.stringify(server.instance.stats())) as { dht: { refused: number } }).dht.refused < 1
  )
    await nodes[0]?.getVersion();
});
