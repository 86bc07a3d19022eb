/** Swarm records are records of the same store that Redis clients use: what is one, what is none, and bulk reading of them. */
import { describe, expect, test } from "bun:test";
import { RedisClient } from "bun";
import type { LegacyNode } from "../../../../src/channels/wire/legacy/client.ts";
import { keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import { TestServer } from "./server.ts";

const KEY = "00000000000000ff";

async function withBoth(
  run: (node: LegacyNode, redis: RedisClient, server: TestServer) => Promise<void>,
  config: Record<string, unknown> = {},
): Promise<void> {
  await using server = await TestServer.start(config);
  const redis = new RedisClient(`redis://127.0.0.1:${server.respPort}`);
  try {
    await redis.send("SELECT", ["ch"]);
    await run(await server.node(), redis, server);
  } finally {
    redis.close();
  }
}

async function allKeys(node: LegacyNode, channel = "ch"): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of node.getAllKeys(channel)) keys.push(...batch);
  return keys.sort();
}

describe("records of both protocols", () => {
  test("what one writes the other reads", () =>
    withBoth(async (node, redis) => {
      await node.put("ch", KEY, "from the swarm");
      expect(await redis.get(KEY)).toBe("from the swarm");
      await redis.set(KEY, "from Redis");
      expect((await node.get("ch", KEY))?.toString()).toBe("from Redis");
      await node.remove("ch", KEY);
      expect(await redis.get(KEY)).toBeNull();
    }));

  test("other keys and empty values never appear in an answer", () =>
    withBoth(async (node, redis) => {
      await node.put("ch", KEY, "one");
      await redis.set("0000000000000001", "");
      await redis.set("00000000000000FE", "upper case is another key");
      await redis.set("short", "x");
      await redis.set("00000000000000ff0", "too long");
      expect(await node.get("ch", "0000000000000001")).toBeUndefined();
      expect(await node.exists("ch", "0000000000000001")).toBe(false);
      expect(await node.get("ch", "00000000000000FE")).toBeUndefined();
      expect(await allKeys(node)).toEqual([KEY]);
      expect(await node.getChannelSize("ch")).toMatchObject({ records: 1, bytes: 525376 + 56 + 3 });
      expect(await node.getSize()).toMatchObject({ records: 1, bytes: 525376 + 56 + 3 });
      await node.remove("ch", "0000000000000001");
      expect(await redis.exists("0000000000000001")).toBe(true);
    }));

  test("a channel that only Redis clients use is not listed; an empty one is", () =>
    withBoth(async (node, redis) => {
      await redis.set("text", "x");
      expect(await node.getChannels()).toEqual([]);
      expect(await node.getSize()).toMatchObject({ records: 0, bytes: 0 });
      await node.put("other", KEY, "v");
      await node.remove("other", KEY);
      expect(await node.getChannels()).toEqual(["other"]);
    }));

  test("a record whose time has come is absent", () =>
    withBoth(async (node, redis) => {
      await redis.send("SET", [KEY, "soon gone", "PXAT", "1000"]);
      expect(await node.get("ch", KEY)).toBeUndefined();
      await redis.send("SET", [KEY, "later", "EX", "1000"]);
      expect((await node.get("ch", KEY))?.toString()).toBe("later");
      await node.put("ch", KEY, "for good");
      expect(await redis.ttl(KEY)).toBe(-1);
    }));

  test("listeners hear of what Redis clients write, not of what they remove", () =>
    withBoth(
      async (node, redis, server) => {
        const updates = (await server.node()).listen("ch");
        const first = updates.next();
        while (!(await node.getChannels()).includes("ch"));
        await redis.set("text", "no swarm key");
        await redis.set(KEY, "value");
        expect((await first).value).toEqual({ key: KEY, value: Buffer.from("value") });
        const next = updates.next();
        await redis.del(KEY);
        await redis.set(keyText(7n), "second");
        expect((await next).value).toEqual({ key: keyText(7n), value: Buffer.from("second") });
        const end = updates.next();
        await redis.send("FLUSHDB", []);
        expect((await end).done).toBe(true);
      },
      { swarm: { writeFlushMs: 1 } },
    ));

  test("WATCH sees the writes of swarm clients", () =>
    withBoth(async (node, redis) => {
      await redis.send("WATCH", [KEY]);
      await node.put("ch", KEY, "changed");
      await redis.send("MULTI", []);
      await redis.send("SET", [KEY, "lost"]);
      expect(await redis.send("EXEC", [])).toBeNull();
      expect((await node.get("ch", KEY))?.toString()).toBe("changed");
    }));
});

describe("ownership", () => {
  const upper = { hashRange: { min: "8000000000000000", max: "ffffffffffffffff" } };
  const [even, odd] = [keyText(2n), keyText(1n)]; // the lowest bit of a key is the highest of its hash

  test("writes of foreign keys are refused, reads are not", () =>
    withBoth(async (node) => {
      await expect(node.put("ch", even, "v")).rejects.toMatchObject({ status: 404 });
      await expect(node.remove("ch", even)).rejects.toMatchObject({ status: 404 });
      await expect(node.putBatch("ch", [{ key: even, value: Buffer.from("v") }])).rejects.toMatchObject({
        status: 404,
      });
      expect(await node.get("ch", even)).toBeUndefined();
      await node.put("ch", odd, "v");
      expect(await node.getResponsibleRange()).toEqual({ min: 1n << 63n, max: (1n << 64n) - 1n });
    }, upper));

  test("but not when the check is switched off", () =>
    withBoth(async (node) => node.put("ch", even, "v"), { ...upper, swarm: { isOwnershipChecked: false } }));

  test("a node may own nothing", () =>
    withBoth(
      async (node) => {
        await expect(node.put("ch", odd, "v")).rejects.toMatchObject({ status: 404 });
        expect(await node.getResponsibleRange()).toEqual({ min: (1n << 64n) - 1n, max: 0n });
      },
      { hashRange: { min: "ffffffffffffffff", max: "0000000000000000" } },
    ));
});

describe("bulk requests", () => {
  test(
    "every record that stays is met once while others come and go",
    () =>
      withBoth(async (node, _redis, server) => {
        const stays = Array.from({ length: 20_000 }, (_, index) => keyText(BigInt(index)));
        const passing = Array.from({ length: 20_000 }, (_, index) => keyText(BigInt(1_000_000 + index)));
        const value = "x".repeat(100);
        await Promise.all([...stays, ...passing.slice(0, 10_000)].map((key) => node.put("ch", key, value)));
        const reader = await server.node();
        const met = new Map<string, number>();
        let step = 0;
        for await (const batch of reader.getAll("ch")) {
          for (const { key } of batch) met.set(key, (met.get(key) ?? 0) + 1);
          // The table first shrinks under the scan, then grows again.
          const part = passing.slice(step * 500, step * 500 + 500);
          await Promise.all(
            part.map((key) => (step < 20 ? node.remove("ch", key) : node.put("ch", key, value))),
          );
          step++;
        }
        expect(step).toBeGreaterThan(40);
        expect(stays.filter((key) => met.get(key) !== 1)).toEqual([]);
      }),
    120_000,
  );

  test(
    "ends when its channel is removed meanwhile",
    () =>
      withBoth(async (node, _redis, server) => {
        const keys = Array.from({ length: 20_000 }, (_, index) => keyText(BigInt(index)));
        await Promise.all(keys.map((key) => node.put("ch", key, "x".repeat(100))));
        const reader = await server.node();
        let records = 0;
        for await (const batch of reader.getAll("ch")) {
          if (records === 0) await node.removeChannel("ch");
          records += batch.length;
        }
        expect(records).toBeGreaterThan(0);
        expect(await reader.getVersion()).toBe("20110401");
      }),
    120_000,
  );

  test("skips a record that no batch holds, and says so once", () =>
    withBoth(async (node, redis, server) => {
      await node.put("ch", KEY, "small");
      await redis.set("0000000000000001", "y".repeat(70_000));
      await redis.set("0000000000000002", "y".repeat(70_000));
      const records: string[] = [];
      for await (const batch of node.getAll("ch")) records.push(...batch.map(({ key }) => key));
      expect(records).toEqual([KEY]);
      expect((await allKeys(node)).length).toBe(3);
      expect(server.lines.filter((line) => line.includes("skipped records that no batch holds")).length).toBe(
        1,
      );
      expect((await node.get("ch", "0000000000000001"))?.byteLength).toBe(70_000);
    }));

  test("an empty filter matches nothing", () =>
    withBoth(async (node) => {
      await node.put("ch", KEY, "value");
      for await (const batch of node.getAll("ch", "")) expect(batch).toEqual([]);
    }));

  test("a filter may be longer than every value, and hold zero bytes", () =>
    withBoth(async (node) => {
      await node.put("ch", KEY, Buffer.from([1, 0, 2]));
      const found: string[] = [];
      for await (const batch of node.getAll("ch", Buffer.from([0, 2])))
        found.push(...batch.map(({ key }) => key));
      for await (const batch of node.getAll("ch", Buffer.alloc(100))) expect(batch).toEqual([]);
      expect(found).toEqual([KEY]);
    }));

  test("several on one connection, pipelined with others, are answered in order", () =>
    withBoth(async (node) => {
      await node.put("ch", KEY, "value");
      const first = Array.fromAsync(node.getAll("ch"));
      const second = node.getVersion();
      const third = Array.fromAsync(node.getAllKeys("ch"));
      expect((await first).flat()).toEqual([{ key: KEY, value: new Uint8Array(Buffer.from("value")) }]);
      expect(await second).toBe("20110401");
      expect((await third).flat()).toEqual([KEY]);
    }));
});
