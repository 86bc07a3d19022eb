/** Clients of the neo port that do everything wrong, beside one that does not and must not notice. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import { NeoNode } from "../../../../src/channels/wire/neo/client.ts";
import { NeoWire } from "../../../../src/channels/wire/neo/connection.ts";
import { parseCredentials } from "../../../../src/channels/wire/neo/credentials.ts";
import { array, message, u64 } from "../../../../src/channels/wire/neo/messages.ts";
import type { Socket } from "../../../../src/core/seams/net.ts";
import { SECRET, TestServer, world } from "../legacy/server.ts";

const admin = { name: "admin", secret: SECRET };

/** Connects without a word; `received` grows, `isClosed` turns true. */
async function raw(server: TestServer) {
  const state = { received: 0, isClosed: false, socket: undefined as Socket | undefined };
  state.socket = await world.net.connect({
    host: "127.0.0.1",
    port: server.neoPort,
    handlers: {
      open: () => undefined,
      data: (_socket, _state, chunk) => void (state.received += chunk.byteLength),
      drain: () => {},
      close: () => void (state.isClosed = true),
    },
  });
  return state;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = world.clock.monotonicMs() + 60_000;
  while (!holds()) {
    if (world.clock.monotonicMs() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => world.clock.endOfTurn(() => resolve(undefined)));
  }
}

test.each([
  ["garbage", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["another version", Buffer.from([2])],
  [
    "a request before authentication",
    Buffer.concat([Buffer.from([1]), message(1, u64(1n), Buffer.from([6, 0]))]),
  ],
  ["a long authentication", Buffer.concat([Buffer.from([1]), message(2, Buffer.alloc(1000))])],
  ["a time of four bytes", Buffer.concat([Buffer.from([1]), message(2, Buffer.alloc(4))])],
  ["no name", Buffer.concat([Buffer.from([1]), message(2, Buffer.alloc(8)), message(2, Buffer.alloc(3))])],
])("%s ends the connection before anything is looked at", async (_what, bytes) => {
  await using server = await TestServer.start();
  const client = await raw(server);
  client.socket?.write(bytes);
  await until(() => client.isClosed);
  expect(server.lines.join("\n")).toContain("rejected a client of the neo protocol");
  expect(await (await server.neo()).getChannels()).toEqual([]);
  expect(server.instance.stats().dht).toMatchObject({ neo: { rejected: 1, requestsTotal: 1 } });
});

test("what is no message, or not what a request takes, ends that connection and no other", async () => {
  await using server = await TestServer.start();
  const other = await server.neo();
  const address = { host: "127.0.0.1", port: server.neoPort };
  for (const [code, payload] of [
    [2, Buffer.from("short")],
    [4, Buffer.concat([Buffer.from([7]), array("ch")])],
    [10, Buffer.from([9])],
  ] as const) {
    const wire = await NeoWire.connect(world.net, world.clock, address, admin);
    const { queue } = await wire.begin(code, 0, payload);
    await expect(queue.take()).rejects.toThrow("closed the connection");
  }
  await other.put("ch", keyText(1n), "v");
  expect((await other.get("ch", keyText(1n)))?.toString()).toBe("v");
});

test("a channel may be removed by the administrator alone", async () => {
  await using server = await TestServer.start();
  const [boss, user] = [await server.neo(), await server.neo("user")];
  await user.put("ch", keyText(1n), "v");
  await expect(user.removeChannel("ch")).rejects.toMatchObject({ status: 406 });
  expect(await user.getChannels()).toEqual(["ch"]);
  await boss.removeChannel("ch");
  expect(await user.getChannels()).toEqual([]);
});

test("foreign keys are refused, and who asked for the range is told when it changes", async () => {
  await using server = await TestServer.start({
    hashRange: { min: "8000000000000000", max: "ffffffffffffffff" },
  });
  const node = await server.neo();
  const even = keyText(2n);
  for (const call of [
    () => node.put("ch", even, "v"),
    () => node.get("ch", even),
    () => node.exists("ch", even),
    () => node.remove("ch", even),
  ])
    await expect(call()).rejects.toMatchObject({ status: 404 });
  await expect(node.update("ch", even, (value) => value)).rejects.toMatchObject({ status: 404 });
  const ranges = node.hashRanges();
  expect((await ranges.next()).value).toMatchObject({ range: { min: 1n << 63n } });
  const own = { min: (1n << 63n) + (1n << 62n), max: (1n << 64n) - 1n };
  const theirs = { min: 0n, max: own.min - 1n };
  await (await server.node()).redistribute(own, [{ host: "127.0.0.9", port: 10_000, range: theirs }]);
  expect((await ranges.next()).value).toEqual({ range: own });
  expect((await ranges.next()).value).toEqual({ other: { host: "127.0.0.9", port: 10_100 }, range: theirs });
});

test("an update that somebody was faster with changes nothing", async () => {
  await using server = await TestServer.start();
  const [node, other] = [await server.neo(), await server.neo()];
  await node.put("ch", keyText(1n), "old");
  const { promise, resolve } = Promise.withResolvers<void>();
  const wire = await NeoWire.connect(
    world.net,
    world.clock,
    { host: "127.0.0.1", port: server.neoPort },
    admin,
  );
  const { id, queue } = await wire.begin(10, 0, Uint8Array.of(1), array("ch"), u64(1n));
  await queue.take();
  await other.put("ch", keyText(1n), "faster");
  wire.tell(id, Uint8Array.of(2), u64(1n), array("slower"));
  expect(await queue.take()).toEqual(Uint8Array.of(8));
  resolve();
  await promise;
  expect((await node.get("ch", keyText(1n)))?.toString()).toBe("faster");
  wire.close();
});

test("a Mirror whose client is away for long is told that changes were dropped; memory stays bounded", async () => {
  await using server = await TestServer.start();
  const writer = await server.neo();
  const wire = await NeoWire.connect(
    world.net,
    world.clock,
    { host: "127.0.0.1", port: server.neoPort },
    admin,
  );
  const noRefresh = Buffer.alloc(5);
  const { id, queue } = await wire.begin(4, 0, Uint8Array.of(1), array("ch"), noRefresh);
  expect(await queue.take()).toEqual(Uint8Array.of(5));
  for (let at = 0; at < 20_000; at += 1000)
    await Promise.all(
      Array.from({ length: 1000 }, (_, index) => writer.put("ch", keyText(BigInt(at + index)), "v")),
    );
  expect(queue.length).toBe(0);
  wire.tell(id, Uint8Array.of(2));
  const kinds: number[] = [];
  while (kinds.filter((kind) => kind === 7).length < 16_384) kinds.push((await queue.take())[0] as number);
  // The acknowledgement, that some were dropped, and the oldest changes that the queue has room for.
  expect(kinds.slice(0, 3)).toEqual([4, 11, 7]);
  await writer.put("ch", keyText(1n), "after");
  expect((await queue.take())[0]).toBe(7);
  expect(queue.length).toBe(0);
  wire.close();
}, 120_000);

test("streams whose client does not read make nothing ahead, and others are served", async () => {
  await using server = await TestServer.start();
  const node = await server.neo();
  const value = "v".repeat(20_000);
  for (let at = 0; at < 2000; at += 200)
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => node.put("ch", keyText(BigInt(at + index)), value)),
    );
  const address = { host: "127.0.0.1", port: server.neoPort };
  const before = process.memoryUsage.rss();
  const readers = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const wire = await NeoWire.connect(world.net, world.clock, address, admin);
      wire.pause();
      for (let stream = 0; stream < 5; stream++)
        wire.tell(
          BigInt(stream + 1),
          Uint8Array.of(5, 0, 0),
          array("ch"),
          Uint8Array.of(0),
          u64(0n),
          Uint8Array.of(0),
          array(""),
        );
      return wire;
    }),
  );
  let found = 0;
  for await (const records of node.getAll("ch")) found += records.length;
  expect(found).toBe(2000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(300e6);
  for (const reader of readers) reader.close();
}, 120_000);

test("more requests at once than one connection may have end it", async () => {
  await using server = await TestServer.start();
  const wire = await NeoWire.connect(
    world.net,
    world.clock,
    { host: "127.0.0.1", port: server.neoPort },
    admin,
  );
  for (let id = 1n; id < 1100n; id++) wire.tell(id, Uint8Array.of(1, 0));
  await until(() => wire.isClosed);
  expect(server.lines.join("\n")).toContain("more than 1024 requests at once on one connection");
});

test("who connects and says nothing is let go of", async () => {
  await using server = await TestServer.start({ limits: { connections: 3 } });
  const silent = [await raw(server), await raw(server), await raw(server)];
  const fourth = await raw(server);
  await until(() => fourth.isClosed);
  // They have ten seconds; here only that the limit holds and that they count.
  expect(server.instance.stats().dht).toMatchObject({ neo: { connections: 3, refused: 1 } });
  for (const { socket } of silent) socket?.terminate();
});

test("credentials are read again on a reload, whole or not at all", async () => {
  await using server = await TestServer.start();
  const file = join(server.directory, "credentials");
  const reload = () => server.admin("POST", "/credentials/reload");
  const secret = SECRET.toReversed();
  const address = { host: "127.0.0.1", port: server.neoPort };
  const connect = (name: string, own: Uint8Array) =>
    NeoNode.connect(world.net, world.clock, address, { name, secret: own });
  const old = await server.neo("user");
  writeFileSync(file, `new:${Buffer.from(secret).toString("hex")}\n`);
  await expect(connect("new", secret)).rejects.toThrow("does not accept");
  expect(await reload()).toEqual([200, { users: ["new"] }]);
  (await connect("new", secret)).close();
  await expect(connect("user", SECRET)).rejects.toThrow("does not accept");
  // Who is connected stays.
  expect(await old.getChannels()).toEqual([]);
  writeFileSync(file, "new:tooshort\n");
  expect(await reload()).toEqual([
    409,
    { error: expect.stringContaining("credentials:1: the secret of new is not 256 hex digits") },
  ]);
  (await connect("new", secret)).close();
  chmodSync(file, 0o644);
  expect((await reload())[0]).toBe(409);
});

test.each([
  ["a name with a blank", "a b:" + "0".repeat(256), ":1: wanted name:hex"],
  ["no colon", "name", ":1: wanted name:hex"],
  ["a blank line", `a:${"0".repeat(256)}\n\nb:${"0".repeat(256)}\n`, ":2: wanted name:hex"],
  ["a secret that is short", `a:${"0".repeat(255)}`, ":1: the secret of a is not 256 hex digits"],
  ["a name twice", `a:${"0".repeat(256)}\na:${"1".repeat(256)}\n`, ":2: a is given twice"],
])("a file of credentials with %s is refused with its line", (_what, text, message) => {
  expect(() => parseCredentials(text, "credentials")).toThrow(`credentials${message}`);
});
