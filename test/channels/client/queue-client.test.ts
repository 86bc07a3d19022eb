/** The queue client against real nodes: turns, full and lost nodes, consuming. */
import { expect, test } from "bun:test";
import { neoQueue, QueueClient, QueueNode, type SystemOptions } from "../../../src/channels/client.ts";
import { until } from "../../e2e/executable.ts";
import { startQueue, type TestServer, world } from "../queue/server.ts";
import { SECRET } from "../wire/legacy/server.ts";

async function withSystem(
  run: (client: QueueClient, servers: TestServer[]) => Promise<void>,
  options: Partial<SystemOptions> = {},
  config: Record<string, unknown> = {},
): Promise<void> {
  const servers = await Promise.all([startQueue(config), startQueue(config)]);
  const nodes = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  const client = new QueueClient(world, { nodes, ...options });
  try {
    await run(client, servers);
  } finally {
    client.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
  }
}

async function recordsOf({ port }: TestServer, channel: string): Promise<number> {
  const node = await QueueNode.connect(world.net, { host: "127.0.0.1", port });
  const { records } = await node.channelSize(channel);
  node.close();
  return records;
}

/** Everything that pops give. */
async function drain(client: QueueClient, channel: string): Promise<string[]> {
  const records: string[] = [];
  for (let next = await client.pop(channel); next !== undefined; next = await client.pop(channel))
    records.push(next.toString());
  return records;
}

test("pushes go to the nodes in turn, pops find them all", () =>
  withSystem(async (client) => {
    for (let record = 0; record < 10; record++) await client.push("ch", `record ${record}`);
    expect((await client.channelSize("ch")).records).toBe(10);
    expect(await client.channels()).toEqual(["ch"]);
    const wanted = Array.from({ length: 10 }, (_, record) => `record ${record}`);
    expect((await drain(client, "ch")).sort()).toEqual(wanted);
    expect(await client.pop("ch")).toBeUndefined();
    await client.pushMulti(["one", "two"], "both");
    expect([await drain(client, "one"), await drain(client, "two")]).toEqual([["both"], ["both"]]);
  }));

test("a node that is full passes a push on, and all full is said", () =>
  withSystem(
    async (client, servers) => {
      const record = "x".repeat(3000);
      let pushed = 0;
      const filling = async () => {
        for (;;) {
          await client.push("ch", record);
          pushed += 1;
        }
      };
      await expect(filling()).rejects.toMatchObject({ status: 407 });
      const sizes = await Promise.all(servers.map((server) => recordsOf(server, "ch")));
      expect(sizes.every((records) => records > 0)).toBe(true);
      expect((await drain(client, "ch")).length).toBe(pushed);
    },
    {},
    { channels: { ringBytes: 65_536 } },
  ));

test("what a node refuses is refused once", () =>
  withSystem(async (client) => {
    await expect(client.push("ch", "")).rejects.toMatchObject({ status: 408 });
    await expect(client.push("bad name", "x")).rejects.toMatchObject({ status: 409 });
  }));

test("while a node is away pushes go to the other; a pop that cannot ask it says so instead of empty", () =>
  withSystem(
    async (client, servers) => {
      await servers[1]?.stop();
      for (let record = 0; record < 4; record++) await client.push("ch", `record ${record}`);
      expect(await recordsOf(servers[0] as TestServer, "ch")).toBe(4);
      for (let record = 0; record < 4; record++) expect(await client.pop("ch")).toBeDefined();
      await expect(client.pop("ch")).rejects.toMatchObject({ code: "NX_CONNECT_FAILED" });
    },
    { attemptTimeoutMs: 200 },
  ));

test("a consumer gets the records of both nodes, goes back to one that was restarted, and ends with the channel", () =>
  withSystem(
    async (client, servers) => {
      const gaps: string[] = [];
      const records = client.consume("ch", { onGap: (node) => gaps.push(node) });
      const take = async () => (await records.next()).value?.toString();
      const first = take();
      await client.push("ch", "one");
      expect(await first).toBe("one");
      await client.push("ch", "two");
      expect(await take()).toBe("two");
      const { port, directory } = servers[1] as TestServer;
      await servers[1]?.stop();
      servers[1] = await startQueue({ port }, directory);
      const wanted = new Set(["three", "four"]);
      for (const record of wanted) await client.push("ch", record);
      expect(new Set([await take(), await take()])).toEqual(wanted);
      expect(gaps.length).toBeGreaterThan(0);
      await client.removeChannel("ch");
      expect((await records.next()).done).toBe(true);
    },
    { backoffMaxMs: 40 },
  ));

test("over the neo protocol: pushes, pops, subscribers; what only the legacy protocol has is refused", () =>
  withSystem(async (_legacy, servers) => {
    const nodes = servers.map(({ neoPort }) => ({ host: "127.0.0.1", port: neoPort }));
    const client = new QueueClient(world, { nodes, ...neoQueue(world, { name: "user", secret: SECRET }) });
    try {
      for (const record of ["a", "b", "c"]) await client.push("ch", record);
      expect((await drain(client, "ch")).sort()).toEqual(["a", "b", "c"]);
      await expect(client.channels()).rejects.toMatchObject({ status: 406 });
      const streams = ["one", "two"].map((subscriber) => client.consume("all", { subscriber }));
      const firsts = streams.map((stream) => stream.next());
      const records = ["x", "y", "z"];
      // Subscribers begin empty, so nothing is pushed before both are there.
      await until("both subscribers", async () => {
        await client.push("all", "probe");
        return Promise.race([Promise.all(firsts), Bun.sleep(20).then(() => undefined)]);
      });
      for (const record of records) await client.push("all", record);
      for (const stream of streams) {
        const found: string[] = [];
        while (found.length < records.length) {
          const { value } = await stream.next();
          if (value?.toString() !== "probe") found.push(String(value));
        }
        expect(found.sort()).toEqual(records);
        await stream.return(undefined);
      }
    } finally {
      client.close();
    }
  }));
