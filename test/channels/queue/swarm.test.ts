/** The queue node's swarm requests one by one: statuses, figures, what a full channel does. */
import { describe, expect, test } from "bun:test";
import { StatusError } from "../../../src/channels/wire/legacy/client.ts";
import { Status } from "../../../src/channels/wire/legacy/protocol.ts";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const open = (server: TestServer) => QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });

const statusOf = (request: Promise<unknown>) =>
  request.then(
    () => Status.Ok,
    (error: unknown) => (error instanceof StatusError ? error.status : error),
  );

describe("the requests of the seed generation", () => {
  test("channels, sizes, the limit and connections are told", async () => {
    await using server = await startQueue({ channels: { ringBytes: 1000 } });
    const node = await open(server);
    await node.pushMulti(["one", "two"], "hello");
    await node.push("one", "again");
    expect(await node.channels()).toEqual(["one", "two"]);
    const where = { address: "127.0.0.1", port: server.port };
    expect(await node.channelSize("one")).toEqual({ ...where, records: 2, bytes: 26 });
    expect(await node.channelSize("none")).toEqual({ ...where, records: 0, bytes: 0 });
    expect(await node.size()).toEqual({ ...where, records: 3, bytes: 39 });
    expect(await node.sizeLimit()).toBe(1000);
    expect(await node.connections()).toBe(1);
    await node.removeChannel("one");
    expect(await node.channels()).toEqual(["two"]);
  });

  test("an emptied channel stays; one that Redis clients made shows while it has records", async () => {
    await using server = await startQueue();
    const node = await open(server);
    await node.push("channel", "x");
    await node.pop("channel");
    expect(await node.channels()).toEqual(["channel"]);
    expect(await node.pop("missing")).toBeUndefined();
  });

  test("names and empty records are refused in the protocol's order", async () => {
    await using server = await startQueue();
    const node = await open(server);
    expect(await statusOf(node.push("bad name", ""))).toBe(Status.BadChannelName);
    expect(await statusOf(node.push("", "x"))).toBe(Status.BadChannelName);
    expect(await statusOf(node.push("good", ""))).toBe(Status.EmptyValue);
    expect(await statusOf(node.pushMulti(["good", "bad name"], "x"))).toBe(Status.BadChannelName);
    expect(await statusOf(node.pushMulti(["good"], ""))).toBe(Status.EmptyValue);
    expect(await statusOf(node.produce(["bad name"], []))).toBe(Status.BadChannelName);
    expect(await statusOf(node.consume("bad name"))).toBe(Status.BadChannelName);
    expect(await node.channels()).toEqual([]);
  });
});

describe("a full channel", () => {
  test("refuses what its ring has no room for, also round its end", async () => {
    await using server = await startQueue({ channels: { ringBytes: 64 } });
    const node = await open(server);
    // 24 bytes each with their length: two fit, the third would begin at 48 and end at 72.
    await node.push("ring", "a".repeat(16));
    await node.push("ring", "b".repeat(16));
    expect(await statusOf(node.push("ring", "c".repeat(16)))).toBe(Status.OutOfMemory);
    await node.push("ring", "d".repeat(8));
    await node.pop("ring");
    // The first 24 bytes are free again, but not in one piece with anything.
    await node.push("ring", "e".repeat(16));
    expect(await statusOf(node.push("ring", "f"))).toBe(Status.OutOfMemory);
    const rest = [await node.pop("ring"), await node.pop("ring"), await node.pop("ring")];
    expect(rest.map(String)).toEqual(["b".repeat(16), "d".repeat(8), "e".repeat(16)]);
    await node.push("ring", "g".repeat(56));
    expect(await statusOf(node.push("ring", "h"))).toBe(Status.OutOfMemory);
    expect(await statusOf(node.push("other", "i".repeat(57)))).toBe(Status.OutOfMemory);
  });

  test("PushMulti stores where there is room and tells that one had none", async () => {
    await using server = await startQueue({ channels: { ringBytes: 64 } });
    const node = await open(server);
    await node.push("full", "x".repeat(56));
    expect(await statusOf(node.pushMulti(["full", "free"], "record"))).toBe(Status.OutOfMemory);
    expect(String(await node.pop("free"))).toBe("record");
  });

  test("the limit of all channels together refuses whole requests", async () => {
    await using server = await startQueue({ channels: { sizeBytesMax: 100 } });
    const node = await open(server);
    await node.push("one", "x".repeat(60));
    expect(await statusOf(node.pushMulti(["two", "three"], "y".repeat(20)))).toBe(Status.OutOfMemory);
    expect(await node.pop("two")).toBeUndefined();
    expect(await statusOf(node.push("two", "y".repeat(20)))).toBe(Status.Ok);
  });

  test("Produce drops what does not fit, silently", async () => {
    await using server = await startQueue({ channels: { ringBytes: 64 } });
    const node = await open(server);
    await node.produce("ring", ["a".repeat(16), "b".repeat(16), "c".repeat(16), "d"]);
    expect(String(await node.pop("ring"))).toBe("a".repeat(16));
    expect(String(await node.pop("ring"))).toBe("b".repeat(16));
    expect(String(await node.pop("ring"))).toBe("d");
  });

  test("lets go of the oldest where it is told to", async () => {
    await using server = await startQueue({ channels: { ringBytes: 64, whenFull: "dropOldest" } });
    const node = await open(server);
    for (const letter of "abcde") await node.push("ring", letter.repeat(16));
    expect(String(await node.pop("ring"))).toBe("d".repeat(16));
    expect(String(await node.pop("ring"))).toBe("e".repeat(16));
    expect(await statusOf(node.push("ring", "x".repeat(57)))).toBe(Status.OutOfMemory);
  });

  test("has the size that the longest known prefix of its name says", async () => {
    await using server = await startQueue({
      channels: { ringBytes: 64, ringBytesByPrefix: ["big=1000"] },
    });
    const node = await open(server);
    expect(await statusOf(node.push("bigger", "x".repeat(900)))).toBe(Status.Ok);
    expect(await statusOf(node.push("other", "x".repeat(900)))).toBe(Status.OutOfMemory);
  });
});
