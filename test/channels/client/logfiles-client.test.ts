/** The logfiles client against real nodes: turns, full reads, a node that is away. */
import { expect, test } from "bun:test";
import { LogfilesClient, neoLogfiles, type SystemOptions } from "../../../src/channels/client.ts";
import { SECRET, TestServer, world } from "../logfiles/server.ts";

async function withSystem(
  run: (client: LogfilesClient, servers: TestServer[]) => Promise<void>,
  options: Partial<SystemOptions> = {},
): Promise<void> {
  const servers = await Promise.all([TestServer.start(), TestServer.start()]);
  const nodes = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  const client = new LogfilesClient(world, { nodes, ...options });
  try {
    await run(client, servers);
  } finally {
    client.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
  }
}

async function texts(
  client: LogfilesClient,
  ...query: Parameters<LogfilesClient["records"]>
): Promise<string[]> {
  const found: string[] = [];
  for await (const records of client.records(...query))
    found.push(...records.map(({ value }) => value.toString()));
  return found.sort();
}

test("puts go to the nodes in turn, reads see all of them", () =>
  withSystem(async (client, servers) => {
    for (let key = 0; key < 10; key++) await client.put("log", BigInt(key), `line ${key}`);
    for (const server of servers)
      expect((await (await server.client()).getChannelSize("log")).records).toBe(5);
    expect(await texts(client, "log")).toEqual(Array.from({ length: 10 }, (_, key) => `line ${key}`));
    expect(await texts(client, "log", { low: 3n, high: 5n })).toEqual(["line 3", "line 4", "line 5"]);
    expect(await texts(client, "log", { filter: "7" })).toEqual(["line 7"]);
    expect(await texts(client, "log", { mode: "regex", filter: "[89]$" })).toEqual(["line 8", "line 9"]);
    expect(await client.channels()).toEqual(["log"]);
    await client.removeChannel("log");
    expect(await texts(client, "log")).toEqual([]);
  }));

test("what a node refuses is refused once", () =>
  withSystem(async (client) => {
    await expect(client.put("bad name", 1n, "x")).rejects.toMatchObject({ status: 409 });
    await expect(texts(client, "log", { mode: "regex", filter: "(" })).rejects.toMatchObject({ status: 500 });
  }));

test("while a node is away puts go to the other, and reads say that they are not whole", () =>
  withSystem(
    async (client, servers) => {
      await servers[1]?.stop();
      for (let key = 0; key < 4; key++) await client.put("log", BigInt(key), `line ${key}`);
      expect((await (await (servers[0] as TestServer).client()).getChannelSize("log")).records).toBe(4);
      await expect(texts(client, "log")).rejects.toMatchObject({ code: "NX_CONNECT_FAILED" });
    },
    { attemptTimeoutMs: 200 },
  ));

test("over the neo protocol: puts and ranges; what only the legacy protocol has is refused", () =>
  withSystem(async (_legacy, servers) => {
    const nodes = servers.map(({ instance }) => ({
      host: "127.0.0.1",
      port: instance.ports["neoPort"] as number,
    }));
    const client = new LogfilesClient(world, {
      nodes,
      ...neoLogfiles(world, { name: "admin", secret: SECRET }),
    });
    try {
      for (let key = 0; key < 10; key++) await client.put("log", BigInt(key), `line ${key}`);
      expect(await texts(client, "log")).toEqual(Array.from({ length: 10 }, (_, key) => `line ${key}`));
      expect(await texts(client, "log", { low: 2n, high: 5n, mode: "regex", filter: "[45]$" })).toEqual([
        "line 4",
        "line 5",
      ]);
      await expect(texts(client, "log", { low: 5n, high: 4n })).rejects.toMatchObject({ status: 500 });
      await expect(client.channels()).rejects.toMatchObject({ status: 406 });
    } finally {
      client.close();
    }
  }));
