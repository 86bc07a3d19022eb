/** The client against real nodes: routing, what it refuses, reconnecting, iteration, listening. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { DhtClient, keyText, parseNodesFile, StatusError } from "../../../src/channels/client.ts";
import { TestServer, world } from "../wire/legacy/server.ts";

// Some of it waits for a client's patience to end, and the host may be busy.
setDefaultTimeout(60_000);

const halves = [
  { hashRange: { min: "0000000000000000", max: "7fffffffffffffff" } },
  { hashRange: { min: "8000000000000000", max: "ffffffffffffffff" } },
];

async function withSystem(
  run: (client: DhtClient, servers: TestServer[]) => Promise<void>,
  options: { timeoutMs?: number } = {},
): Promise<void> {
  const servers = await Promise.all(
    halves.map((half) => TestServer.start({ swarm: { writeFlushMs: 1 }, durability: "log", ...half })),
  );
  const nodes = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  const client = await DhtClient.connect(world, { nodes, ...options });
  try {
    await run(client, servers);
  } finally {
    client.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
  }
}

describe("a nodes file", () => {
  test("has an address a line, comments and blanks", () => {
    const text = "# all nodes\n127.0.0.1:10000\n\n  127.0.0.2:10001  # second\n";
    expect(parseNodesFile(text)).toEqual([
      { host: "127.0.0.1", port: 10_000 },
      { host: "127.0.0.2", port: 10_001 },
    ]);
  });

  test.each([
    ["127.0.0.1\n", 'dht.nodes:1: wanted address:port, got "127.0.0.1"'],
    ["\n127.0.0.1:70000\n", 'dht.nodes:2: wanted address:port, got "127.0.0.1:70000"'],
    ["# nothing\n", "dht.nodes: no node in it"],
  ])("%j is refused with its line", (text, message) => {
    expect(() => parseNodesFile(text, "dht.nodes")).toThrow(message);
  });
});

describe("a system of two nodes", () => {
  test("keys go to their owners and come back; bulk reading sees all of them", () =>
    withSystem(async (client, servers) => {
      const records = Array.from({ length: 500 }, (_, index) => ({
        key: BigInt(index),
        value: `value ${index}`,
      }));
      await client.putMany("ch", records);
      for (const server of servers)
        expect((await (await server.node()).getChannelSize("ch")).records).toBe(250);
      const values = await client.getMany("ch", [3n, keyText(4n), 9999n]);
      expect(values.map((value) => value?.toString())).toEqual(["value 3", "value 4", undefined]);
      expect([await client.exists("ch", 3n), await client.exists("ch", 9999n)]).toEqual([true, false]);
      const found: string[] = [];
      for await (const batch of client.getAll("ch")) found.push(...batch.map(({ key }) => key));
      expect(found.sort()).toEqual(records.map(({ key }) => keyText(key)));
      await client.remove("ch", 3n);
      expect(await client.get("ch", 3n)).toBeUndefined();
      expect(await client.channels()).toEqual(["ch"]);
      await client.removeChannel("ch");
      expect(await client.channels()).toEqual([]);
    }));

  test("what the node refuses is refused once, with its status", () =>
    withSystem(async (client) => {
      await expect(client.put("ch", 1n, "")).rejects.toBeInstanceOf(StatusError);
      await expect(client.put("bad name", 1n, "v")).rejects.toMatchObject({ status: 409 });
      await expect(client.put("ch", 1n, "v".repeat(70_000))).rejects.toMatchObject({ status: 410 });
      expect(() => client.put("ch", "xyz", "v")).toThrow('a key is 16 hex digits, got "xyz"');
    }));

  test("a client survives restarts of a node and finds what was acknowledged", () =>
    withSystem(async (client, servers) => {
      await client.put("ch", 1n, "before"); // the lowest bit is the highest of the hash: the second node's
      const second = servers[1] as TestServer;
      const { port, directory } = second;
      await second.stop();
      const during = client.put("ch", 3n, "meanwhile");
      servers[1] = await TestServer.start(
        { port, swarm: { writeFlushMs: 1 }, durability: "log", ...halves[1] },
        directory,
      );
      await during;
      expect((await client.get("ch", 1n))?.toString()).toBe("before");
      expect((await client.get("ch", 3n))?.toString()).toBe("meanwhile");
    }));

  test("while a node is away its keys end in an error in time, the others are served", () =>
    withSystem(
      async (client, servers) => {
        await servers[1]?.stop();
        const startMs = world.clock.monotonicMs();
        await expect(client.get("ch", 1n)).rejects.toMatchObject({ code: "NX_CONNECT_FAILED" });
        expect(world.clock.monotonicMs() - startMs).toBeLessThan(30_000);
        await client.put("ch", 2n, "served");
        expect((await client.get("ch", 2n))?.toString()).toBe("served");
      },
      { timeoutMs: 2000 },
    ));

  test("changes of both nodes are heard until the channel is removed", () =>
    withSystem(async (client) => {
      const changes = client.listen("ch");
      const next = changes.next();
      while ((await client.channels()).length === 0);
      // Listening creates the channel on each node; only then nothing is missed.
      await client.put("ch", 2n, "first node");
      expect((await next).value).toMatchObject({ key: keyText(2n), value: Buffer.from("first node") });
      let heard: string | undefined;
      for (let attempt = 0; heard !== keyText(1n) && attempt < 100; attempt++) {
        await client.put("ch", 1n, `attempt ${attempt}`);
        heard = (await changes.next()).value?.key;
      }
      expect(heard).toBe(keyText(1n));
      await client.removeChannel("ch");
      let isDone = false;
      while (!isDone) isDone = (await changes.next()).done === true;
    }));

  test("a system with a gap is no system", async () => {
    await using server = await TestServer.start(halves[0]);
    const nodes = [{ host: "127.0.0.1", port: server.port }];
    await expect(DhtClient.connect(world, { nodes, timeoutMs: 2000 })).rejects.toThrow(
      "leave a gap or overlap",
    );
  });
});
