/**
 * One suite over both engines of the queue node: the append log in files and a JetStream stream. Whatever a client of any
 * protocol sees is the same, and so is what is there after a restart.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { QueueNode } from "../../src/channels/wire/legacy/queue-client.ts";
import { NeoQueueNode } from "../../src/channels/wire/neo/queue-client.ts";
import { NatsServers } from "../core/nats/servers.ts";
import { until } from "../e2e/executable.ts";
import { normaliseQueue } from "../channels/queue/normalise.ts";
import { queueScripts } from "../channels/queue/scripts.ts";
import { startQueue, type TestServer, world } from "../channels/queue/server.ts";
import { play } from "../channels/wire/resp/play.ts";
import { RawClient } from "../channels/wire/resp/raw.ts";
import { type RedisServer, startRedis } from "../channels/wire/resp/redis.ts";
import { steps } from "../channels/wire/resp/scripts.ts";
import { SECRET } from "../channels/wire/legacy/server.ts";

let redis: RedisServer;
let nats: NatsServers;

beforeAll(async () => {
  [redis, nats] = await Promise.all([startRedis(), NatsServers.start()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), nats[Symbol.asyncDispose]()]);
});

/** What is looked at before and after a restart. */
const looks = [
  "LRANGE l 0 -1", "LLEN legacy", "LLEN neo", "XRANGE s - +", "XINFO STREAM s", "XINFO GROUPS s", "XPENDING s g - + 10", "XLEN big", "KEYS *",
]; // prettier-ignore

/** Values behind `f` of 100 kB and of 1.5 MB: more than one message takes. */
const BIG = ["x".repeat(100_000), "y".repeat(1_500_000)];

describe.each(["builtin", "jetstream"] as const)("engine %s", (engine) => {
  const configOf = (stream: string) => ({
    durability: "log",
    compaction: { logBytesMin: 65_536, growthPercent: 1000 },
    ...(engine === "jetstream" && { engine: { jetstream: { ...nats.settings, stream } } }),
  });

  describe("answers like redis-server", () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startQueue(configOf("scripts"));
    });
    afterAll(() => server[Symbol.asyncDispose]());

    test.each(Object.entries(queueScripts))("%s", async (_title, script) => {
      const parsed = steps(script);
      const expected = await play(redis.port, parsed, 2, normaliseQueue);
      expect(await play(server.respPort, parsed, 2, normaliseQueue)).toEqual(expected);
    });
  });

  test("what every protocol's clients were told is there after a restart, with and without a snapshot", async () => {
    const stream = "restarts";
    let server = await startQueue(configOf(stream));
    const { directory } = server;
    const look = async () => {
      const client = await RawClient.connect(server.respPort);
      const replies = [];
      for (const line of looks)
        replies.push(normaliseQueue(line.split(" "), await client.command(...line.split(" "))));
      await client[Symbol.asyncDispose]();
      return replies;
    };
    const restart = async () => {
      await server.stop();
      // What counts is in the stream: it starts on a host that knows nothing.
      if (engine === "jetstream") rmSync(join(directory, "data"), { recursive: true });
      server = await startQueue(configOf(stream), directory);
    };
    try {
      for (let round = 0; round < 3; round++) {
        const client = await RawClient.connect(server.respPort);
        await client.command("RPUSH", "l", `a${round}`, `b${round}`, `c${round}`);
        await client.command("LPOP", "l");
        await client.command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM");
        await client.command("XADD", "s", `${round + 1}-1`, "f", "v");
        await client.command("XADD", "s", `${round + 1}-2`, "f", "v");
        await client.command("XREADGROUP", "GROUP", "g", "one", "STREAMS", "s", ">");
        await client.command("XACK", "s", "g", `${round + 1}-1`);
        for (const value of BIG) await client.command("XADD", "big", "*", "f", value);
        await client[Symbol.asyncDispose]();
        const address = { host: "127.0.0.1", port: server.port };
        const legacy = await QueueNode.connect(world.net, address);
        await legacy.push("legacy", `legacy ${round}`);
        legacy.close();
        const neo = await NeoQueueNode.connect(
          world.net,
          world.clock,
          { host: "127.0.0.1", port: server.neoPort },
          { name: "user", secret: SECRET },
        );
        await neo.push("neo", `neo ${round}`);
        neo.close();
        if (round === 1) await compacted(server);
        const before = await look();
        await restart();
        expect(await look()).toEqual(before);
      }
      const legacy = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
      for (let round = 0; round < 3; round++)
        expect(String(await legacy.pop("legacy"))).toBe(`legacy ${round}`);
      expect(await legacy.pop("legacy")).toBeUndefined();
      expect(String(await legacy.pop("neo"))).toBe("neo 0");
      legacy.close();
    } finally {
      await server[Symbol.asyncDispose]();
    }
  }, 60_000);

  test("a batch of the legacy protocol and a subscriber that waits", async () => {
    await using server = await startQueue(configOf("batches"));
    const address = { host: "127.0.0.1", port: server.port };
    const [producer, consumer] = [
      await QueueNode.connect(world.net, address),
      await QueueNode.connect(world.net, address),
    ];
    const records = await consumer.consume("ch");
    const sent = Array.from({ length: 500 }, (_, number) => String(number));
    await producer.produce("ch", sent);
    const taken: string[] = [];
    for await (const record of records) {
      taken.push(String(record));
      if (taken.length === sent.length) break;
    }
    expect(taken).toEqual(sent);
    consumer.close();
    producer.close();
  }, 120_000);
});

/** Writes until the log, which is long by its big records, was rewritten as a snapshot. */
async function compacted(server: TestServer): Promise<void> {
  const client = await RawClient.connect(server.respPort);
  await until("the compaction", async () => {
    await client.command("RPUSH", "l", "during");
    const [, stats] = await server.admin("GET", "/stats");
    return JSON.stringify(stats).includes('"compactions":1') || undefined;
  });
  await client[Symbol.asyncDispose]();
}
