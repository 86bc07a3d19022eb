/** Redistribute: records move to the nodes that are named, and nothing is removed before another node has it. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { RedisClient } from "bun";
import { LegacyClient } from "../../../../src/channels/wire/legacy/client.ts";
import { keyText, type Range } from "../../../../src/channels/wire/legacy/protocol.ts";
import { TestServer, world } from "./server.ts";

const MAX = (1n << 64n) - 1n;
const lower: Range = { min: 0n, max: (1n << 63n) - 1n };
const upper: Range = { min: 1n << 63n, max: MAX };
const upperConfig = { hashRange: { min: "8000000000000000", max: "ffffffffffffffff" } };
const keys = Array.from({ length: 5000 }, (_, index) => keyText(BigInt(index)));

async function untilRecords(read: () => Promise<number>, wanted: number): Promise<void> {
  const deadline = world.clock.monotonicMs() + 60_000;
  for (let records = await read(); records !== wanted; records = await read())
    if (world.clock.monotonicMs() > deadline) throw new Error(`${records} records, ${wanted} wanted`);
}

async function fill(server: TestServer): Promise<void> {
  const node = await server.node();
  await Promise.all(keys.map((key) => node.put("redis", key, `value ${key}`)));
}

test("records of the given range move; the others stay; clients find all of them", async () => {
  await using first = await TestServer.start();
  await using second = await TestServer.start(upperConfig);
  await fill(first);
  const controller = await first.node();
  await controller.redistribute(lower, [{ host: "127.0.0.1", port: second.port, range: upper }]);
  expect(await controller.getResponsibleRange()).toEqual(lower);
  const other = await second.node();
  await untilRecords(async () => (await other.getChannelSize("redis")).records, 2500);
  await untilRecords(async () => (await controller.getChannelSize("redis")).records, 2500);
  const client = await LegacyClient.connect(
    world.net,
    [first, second].map(({ port }) => ({ host: "127.0.0.1", port })),
  );
  for (const key of keys) expect((await client.get("redis", key))?.toString()).toBe(`value ${key}`);
  client.close();
  await expect(controller.put("redis", keyText(1n), "foreign")).rejects.toMatchObject({ status: 404 });
  // Done: the next one is taken.
  await controller.redistribute(lower, []);
}, 120_000);

test("a range that is none is refused with 500, as is a second request meanwhile", async () => {
  await using server = await TestServer.start();
  await fill(server);
  const node = await server.node();
  await expect(node.redistribute({ min: 5n, max: 4n }, [])).rejects.toMatchObject({ status: 500 });
  await expect(
    node.redistribute(lower, [{ host: "127.0.0.1", port: 1, range: { min: 5n, max: 4n } }]),
  ).rejects.toMatchObject({ status: 500 });
  expect(await node.getResponsibleRange()).toEqual({ min: 0n, max: MAX });
  const nobody = { host: "127.0.0.1", port: 1, range: upper };
  await node.redistribute(lower, [nobody]);
  await expect(node.redistribute(lower, [nobody])).rejects.toMatchObject({ status: 500 });
});

test("nothing is lost while the other node cannot be reached", async () => {
  await using server = await TestServer.start();
  await fill(server);
  const node = await server.node();
  await node.redistribute(lower, [{ host: "127.0.0.1", port: 1, range: upper }]);
  while (!server.lines.some((line) => line.includes("moving records failed and is tried again")))
    await node.getVersion();
  expect((await node.getChannelSize("redis")).records).toBe(keys.length);
});

test("a record that a batch would change stays: one that expires, one too long", async () => {
  await using first = await TestServer.start();
  await using second = await TestServer.start(upperConfig);
  const redis = new RedisClient(`redis://127.0.0.1:${first.respPort}`);
  await redis.send("SELECT", ["mixed"]);
  await redis.send("SET", [keyText(1n), "expires", "EX", "1000"]);
  await redis.set(keyText(3n), "l".repeat(70_000));
  await redis.set(keyText(5n), "moves");
  await redis.set("text", "stays");
  const node = await first.node();
  await node.redistribute(lower, [{ host: "127.0.0.1", port: second.port, range: upper }]);
  const other = await second.node();
  await untilRecords(async () => (await node.getChannelSize("mixed")).records, 2);
  expect((await other.get("mixed", keyText(5n)))?.toString()).toBe("moves");
  expect(await redis.get("text")).toBe("stays");
  expect(Number(await redis.ttl(keyText(1n)))).toBeGreaterThan(0);
  redis.close();
});

test("the range survives a restart, until the configuration says another one", async () => {
  const first = await TestServer.start({ durability: "log" });
  const { directory } = first;
  const node = await first.node();
  await node.redistribute(lower, []);
  while (!first.lines.some((line) => line.includes("redistribution ended"))) await node.getVersion();
  await first.stop();
  const second = await TestServer.start({ durability: "log" }, directory);
  expect(await (await second.node()).getResponsibleRange()).toEqual(lower);
  await second.stop();
  const third = await TestServer.start({ durability: "log", ...upperConfig }, directory);
  expect(await (await third.node()).getResponsibleRange()).toEqual(upper);
  await third.stop();
  rmSync(directory, { recursive: true });
});

test("while records move away, batches that would let the node grow are refused", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  const value = Buffer.alloc(60_000, 1);
  await node.put("grow", keyText(1n), value); // nobody takes it, so the redistribution goes on
  await node.redistribute(lower, [{ host: "127.0.0.1", port: 1, range: upper }]);
  let stored = 0;
  const growing = (async () => {
    for (let key = 2n; key < 40n; key += 2n, stored++)
      await node.putBatch("grow", [{ key: keyText(key), value }]);
  })();
  await expect(growing).rejects.toMatchObject({ status: 407 });
  // 1.1 x (525376 + 56 + 60000) leaves room for one more.
  expect(stored).toBe(1);
});
