/** What bounds the memory of a queue node beside its rings: the number of channels, and what is pending in a group. */
import { expect, test } from "bun:test";
import { QueueNode, StatusError } from "../../../src/channels/client.ts";
import { Queues } from "../../../src/native/queues.ts";
import { RawClient } from "../wire/resp/raw.ts";
import { MemoryNode } from "./memory-node.ts";
import { startQueue, world } from "./server.ts";

const refusal = /^-OOM there are 3 channels, and no more are allowed \(limits\.channelsMax\)\r\n$/;

test("further channels are refused by every command that would make one; those that are there go on", () => {
  using node = new MemoryNode({ channelsMax: 3 });
  for (const key of ["a", "b"]) node.run(["RPUSH", key, "1", "2"]);
  node.run(["XADD", "s", "1-1", "f", "v"]);
  for (const words of [
    ["RPUSH", "c", "1"],
    ["LMOVE", "a", "c", "LEFT", "LEFT"],
    ["XADD", "c", "*", "f", "v"],
    ["XGROUP", "CREATE", "c", "g", "$", "MKSTREAM"],
  ])
    expect(node.run(words)).toMatch(refusal);
  expect(node.run(["RPUSH", "a", "3"], ["XADD", "s", "2-1", "f", "v"], ["LLEN", "a"])).toBe(
    ":3\r\n$3\r\n2-1\r\n:3\r\n",
  );
  // A channel that ran empty makes place at once, and so does one that is removed.
  expect(node.run(["LPOP", "b", "2"], ["RPUSH", "c", "1"])).toEndWith(":1\r\n");
  expect(node.run(["RPUSH", "d", "1"])).toMatch(refusal);
  node.queues.tick();
  expect(node.run(["DEL", "c"], ["RPUSH", "d", "1"])).toBe(":1\r\n:1\r\n");
});

test("a dead-letter channel that finds no place lets the entry be delivered once more", () => {
  using node = new MemoryNode({ channelsMax: 1 });
  node.queues.setDeadLetters(1, "-dead");
  node.run(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"], ["XADD", "s", "1-1", "task", "build"]);
  node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
  expect(node.run(["XAUTOCLAIM", "s", "g", "d", "0", "0"])).toContain("build");
});

test("swarm clients are answered 407, and what was saved is loaded whatever the limit", async () => {
  await using server = await startQueue({ limits: { channelsMax: 2 } });
  const node = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  for (const channel of ["a", "b", "b"]) await node.push(channel, "x");
  const refused = await node.push("c", "x").catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(StatusError);
  expect((refused as StatusError).status).toBe(407);
  node.close();
  const redis = await RawClient.connect(server.respPort);
  expect(String(await redis.command("RPUSH", "c", "x"))).toStartWith("-OOM there are 2 channels");

  const settings = { channelBytes: 4096, sizeBytesMax: 0, dropsOldest: false, channelsMax: 1, pendingMax: 0 };
  const queues = new Queues(settings, new Uint8Array(16));
  const saved = Buffer.concat([
    Buffer.from([1, 0, 0, 0]),
    Buffer.alloc(8),
    Buffer.alloc(8),
    Buffer.from("x"),
  ]);
  saved.writeBigUInt64LE(9n, 4);
  saved.writeBigUInt64LE(1n, 12);
  for (const name of ["a", "b", "one@c", "two@c"]) expect(queues.load(name, saved)).toBe(0);
  expect(queues.channels().map(({ name }) => name)).toEqual(["a", "b", "c", "one@c", "two@c"]);
  queues.close();
});

test("a group with too much pending gets nothing new, plainly, until some of it is acknowledged", () => {
  using node = new MemoryNode({ pendingMax: 3 });
  node.run(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
  for (let entry = 1; entry <= 6; entry++) node.run(["XADD", "s", `${entry}-1`, "f", "v"]);
  const read = (...more: string[]) =>
    node.run(["XREADGROUP", "GROUP", "g", "c", ...more, "STREAMS", "s", ">"]);
  const ids = (reply: string) => reply.match(/\b\d-1\b/g);
  expect(ids(read())).toEqual(["1-1", "2-1", "3-1"]);
  expect(read("BLOCK", "0")).toStartWith(
    "-OOM the group has 3 entries that nobody acknowledged (channels.pendingMax)",
  );
  // What is pending can be read again, claimed and acknowledged; nothing is added to it by force.
  expect(ids(node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "0"]))).toHaveLength(3);
  expect(ids(node.run(["XCLAIM", "s", "g", "d", "0", "1-1", "4-1", "FORCE"]))).toEqual(["1-1"]);
  expect(ids(read("NOACK", "COUNT", "1"))).toEqual(["4-1"]);
  node.run(["XACK", "s", "g", "1-1", "2-1"]);
  expect(ids(read())).toEqual(["5-1", "6-1"]);
  // There is nothing new: no reason for an error.
  expect(read()).toBe("*-1\r\n");
});
