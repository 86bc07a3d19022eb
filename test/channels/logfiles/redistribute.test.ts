/** Giving files to other nodes: everything arrives once, and what cannot be given away stays. */
import { describe, expect, test } from "bun:test";
import { decodeOrder } from "../../../src/channels/logfiles/redistribute.ts";
import { LegacyNode } from "../../../src/channels/wire/legacy/client.ts";
import { TestServer, world } from "./server.ts";

const BUCKETS = 20;
const PER_BUCKET = 50;

async function fill(server: TestServer): Promise<Map<string, string[]>> {
  const client = await server.client();
  const wanted = new Map<string, string[]>();
  for (const channel of ["one", "two"]) {
    const records = Array.from({ length: BUCKETS * PER_BUCKET }, (_, index) => ({
      key: BigInt(Math.floor(index / PER_BUCKET) * 4096 + (index % PER_BUCKET)),
      value: Buffer.from(`${channel} ${index}`),
    }));
    await client.putBatch(channel, records);
    wanted.set(channel, records.map(({ value }) => value.toString()).sort());
  }
  return wanted;
}

async function valuesOf(servers: readonly TestServer[], channel: string): Promise<string[]> {
  const parts = await Promise.all(servers.map(async (server) => (await server.client()).read(channel)));
  return parts
    .flat()
    .map(({ value }) => value.toString())
    .sort();
}

const addressOf = ({ port }: TestServer) => ({ host: "127.0.0.1", port });

describe.each(["segments", "classic"])("layout %s", (layout) => {
  test("all files go to the others in turn, and nothing is lost or doubled", async () => {
    await using from = await TestServer.start({ layout });
    await using first = await TestServer.start();
    await using second = await TestServer.start();
    const wanted = await fill(from);
    const client = await from.client();
    await client.redistribute(1, [addressOf(first), addressOf(second)]);
    for (const [channel, values] of wanted) {
      expect(await client.read(channel)).toEqual([]);
      expect((await client.getChannelSize(channel)).records).toBe(0);
      expect(await valuesOf([first, second], channel)).toEqual(values);
    }
    const sizes = await Promise.all(
      [first, second].map(async (node) => (await (await node.client()).getSize()).records),
    );
    expect(sizes.every((records) => records > 0)).toBe(true);
    const moved = [...wanted.values()].flat();
    const line = from.instance.statsLine();
    expect(line).toContain(`action/redistributed/records:${moved.length} `);
    expect(line).toMatch(new RegExp(`action/redistributed/bytes:${moved.join("").length}$`));
  });

  test("a part of the files goes; the rest, and what is written later, stays, over a restart too", async () => {
    const from = await TestServer.start({ layout, durability: "log" });
    await using to = await TestServer.start();
    const wanted = await fill(from);
    // There are two segments, and forty bucket files.
    await (await from.client()).redistribute(layout === "segments" ? 1 : 0.5, [addressOf(to)]);
    await (await from.client()).put("one", 1n, "later");
    await from.stop();
    await using again = await TestServer.start({ layout, durability: "log" }, from.directory);
    const values = [...(wanted.get("one") as string[]), "later"].sort();
    expect(await valuesOf([again, to], "one")).toEqual(values);
    expect(await valuesOf([again, to], "two")).toEqual(wanted.get("two") as string[]);
  });

  test("a node that does not take a batch ends it with status 500: everything is still here", async () => {
    await using from = await TestServer.start({ layout });
    const wanted = await fill(from);
    const client = await from.client();
    await expect(client.redistribute(1, [{ host: "127.0.0.1", port: 1 }])).rejects.toMatchObject({
      status: 500,
    });
    let chunks = 0;
    const failing = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (socket) => {
          if (chunks++ === 0) socket.terminate();
        },
      },
    });
    await expect(client.redistribute(1, [{ host: "127.0.0.1", port: failing.port }])).rejects.toMatchObject({
      status: 500,
    });
    failing.stop(true);
    for (const [channel, values] of wanted) expect(await valuesOf([from], channel)).toEqual(values);
  });
});

test("a client that leaves ends the redistribution that it asked for, and the node stops without waiting for it", async () => {
  const from = await TestServer.start();
  const wanted = await fill(from);
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  // Takes what it is sent and never answers.
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => resolve() } });
  const node = await LegacyNode.connect(world.net, addressOf(from));
  const client = await from.client();
  const outcome = client
    .redistribute(1, [{ host: "127.0.0.1", port: silent.port }])
    .catch((error: Error) => error);
  await asked;
  // Others are served meanwhile.
  expect((await node.getVersion()).length).toBeGreaterThan(0);
  client.close();
  expect(await outcome).toBeInstanceOf(Error);
  expect(await valuesOf([from], "one")).toEqual(wanted.get("one") as string[]);
  node.close();
  await from[Symbol.asyncDispose]();
  silent.stop(true);
});

test.each([
  [0, 1],
  [1.5, 1],
  [Number.NaN, 1],
  [0.5, 0],
])("a part of %d for %i nodes is refused", (fraction, nodes) => {
  const bytes = Buffer.alloc(4 + nodes * 11 + 8);
  bytes.writeFloatLE(fraction, 0);
  if (nodes > 0) {
    bytes.writeBigUInt64LE(1n, 4);
    bytes.write("h", 12);
  }
  expect(() => decodeOrder(bytes)).toThrow("redistributing");
});
