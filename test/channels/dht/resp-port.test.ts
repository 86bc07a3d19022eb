/** The listener with clients that do not read, and on a disk that runs full, in simulated time. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { type NodeOptions, requestOf, type TestClient, TestNode } from "./node-harness.ts";

const MEBIBYTE = 1 << 20;
const MISCONF =
  "-MISCONF The disk is full: writes are refused until there is space. Free some; reads go on.\r\n";

interface Surroundings {
  node: TestNode;
  disk: SimDisk;
  pause(ms: number): Promise<void>;
}

/** Runs `use` to its end; a client that waits for ever ends it as stuck. */
function withNode(options: NodeOptions, use: (surroundings: Surroundings) => Promise<void>): void {
  const scheduler = new Scheduler(11);
  const clock = new SimClock(scheduler);
  const disk = new SimDisk(scheduler);
  scheduler.run(
    async () => {
      const node = await TestNode.open({ clock, disk, random: scheduler.fork() }, options);
      await use({ node, disk, pause: (ms) => new Promise((resolve) => clock.after(ms, resolve)) });
      await node.close();
    },
    { timeLimitMs: 20_000 },
  );
}

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;

/** A client that asks for `key` and takes nothing of the answer. */
async function silentReader({ node, pause }: Surroundings, key: string): Promise<TestClient> {
  const client = node.connect();
  client.writeBytesMax = 0;
  client.send(requestOf(["GET", key]));
  await pause(1);
  return client;
}

describe("clients with long replies and others", () => {
  /** One that has asked for little so far, and ten that have sent `request` for mebibytes. */
  async function crowd({ node, pause }: Surroundings, request: string) {
    const modest = node.connect();
    await modest.call("SET", "large", "v".repeat(MEBIBYTE));
    await modest.call("SET", "small", "s");
    for (let times = 0; times < 4; times++) await modest.call("GET", "small");
    await pause(1);
    const greedy = Array.from({ length: 10 }, () => node.connect());
    for (const client of greedy) client.send(request);
    return { modest, greedy };
  }

  test("short replies of the same turn come before further long ones", () => {
    withNode({ mode: "memory", outboxBytesMax: 64 * MEBIBYTE }, async (surroundings) => {
      const { modest, greedy } = await crowd(surroundings, requestOf(["GET", "large"]));
      modest.send(requestOf(["GET", "small"]));
      expect(modest.received.toString()).toBe(bulk("s"));
      expect(greedy.filter((client) => client.received.byteLength > 0).length).toBe(1);
      // Those of the others have not even been made.
      expect(surroundings.node.port.figures.bytesSent).toBeLessThan(2 * MEBIBYTE);
      await surroundings.pause(10);
      expect(greedy.every((client) => client.received.byteLength > MEBIBYTE)).toBe(true);
    });
  });

  test("what arrives while a client waits is answered whole and in order", () => {
    withNode({ mode: "memory", outboxBytesMax: 64 * MEBIBYTE }, async (surroundings) => {
      const request = requestOf(["GET", "large"]) + requestOf(["ECHO", "one"]);
      const { greedy } = await crowd(surroundings, request.slice(0, -5));
      // The sockets hand over what they had read already.
      for (const client of greedy) client.send(request.slice(-5) + requestOf(["ECHO", "two"]));
      await surroundings.pause(20);
      const wanted = bulk("v".repeat(MEBIBYTE)) + bulk("one") + bulk("two");
      expect(greedy.filter((client) => client.received.toString() !== wanted).length).toBe(0);
      expect(greedy.filter((client) => client.isPaused).length).toBe(0);
    });
  });

  test("a client that leaves while it waits takes what it sent along", () => {
    withNode({ mode: "memory", outboxBytesMax: 64 * MEBIBYTE }, async (surroundings) => {
      const { modest, greedy } = await crowd(surroundings, requestOf(["INCRBY", "asked", "1"]));
      const late = Array.from({ length: 3 }, () => surroundings.node.connect());
      greedy[0]?.send(requestOf(["GET", "large"]));
      for (const client of late) client.send(requestOf(["INCRBY", "asked", "1"]));
      late[0]?.terminate();
      await surroundings.pause(10);
      expect(await modest.call("GET", "asked")).toBe(bulk("12"));
    });
  });
});

describe("clients that do not read", () => {
  test("a value longer than outboxBytesMax reaches a client that reads slowly", () => {
    withNode({ mode: "memory", outboxBytesMax: 65_536 }, async ({ node, pause }) => {
      const client = node.connect();
      const value = "v".repeat(2 * MEBIBYTE);
      await client.call("SET", "k", value);
      client.writeBytesMax = 100_000;
      const reply = client.call("GET", "k");
      for (let drains = 0; drains < 21; drains++) {
        client.drain();
        await pause(1);
      }
      expect((await reply) === bulk(value)).toBe(true);
      expect(client.isPaused).toBe(false);
    });
  });

  test("what all leave unread is bounded: the one furthest behind is closed, a single one never", () => {
    withNode({ mode: "memory", outboxBytesMax: 65_536 }, async (surroundings) => {
      const { node } = surroundings;
      const writer = node.connect();
      await writer.call("SET", "large", "v".repeat(2 * MEBIBYTE));
      await writer.call("SET", "larger", "v".repeat(3 * MEBIBYTE));
      const first = await silentReader(surroundings, "large");
      expect([first.isClosed, first.isPaused]).toEqual([false, true]);
      const second = await silentReader(surroundings, "larger");
      expect([first.isClosed, second.isClosed]).toEqual([false, true]);
      expect(node.port.figures.closedAsSlow).toBe(1);
      expect(await writer.call("STRLEN", "large")).toBe(":2097152\r\n");
    });
  });

  test("many that go on at once do not keep another waiting for all of them", () => {
    withNode({ mode: "memory", outboxBytesMax: 64 * MEBIBYTE }, async ({ node, pause }) => {
      const writer = node.connect();
      await writer.call("SET", "k", "v".repeat(MEBIBYTE));
      const greedy = Array.from({ length: 10 }, () => node.connect());
      const request = requestOf(["GET", "k"]).repeat(5);
      for (const client of greedy) client.send(request);
      // The first has a part of its first reply, which is enough for one turn.
      const after = () => greedy.map((client) => client.received.byteLength / MEBIBYTE);
      expect(after()).toEqual([1 / 4, ...Array.from({ length: 9 }, () => 0)]);
      expect(greedy.filter((client) => client.isPaused).length).toBe(10);
      // A whole reply leaves before another begins: what waits to leave is that of one client.
      let begun = 0;
      for (let turns = 0; turns < 60; turns++) {
        await pause(0);
        begun = Math.max(begun, after().filter((mebibytes) => mebibytes % 1 > 0.01).length);
      }
      expect(begun).toBe(1);
      await pause(10);
      expect(after().map(Math.round)).toEqual(Array.from({ length: 10 }, () => 5));
    });
  });
});

test("a node does not rest while replies wait for the log", () => {
  withNode({ mode: "log" }, async ({ node }) => {
    expect(node.mayRest()).toBe(true);
    const reply = node.connect().call("SET", "k", "v");
    expect(node.mayRest()).toBe(false);
    await reply;
    await Promise.resolve();
    expect(node.mayRest()).toBe(true);
  });
});

test("a long pipeline leaves the others their turn: its answers come in pieces, in order", () => {
  withNode({ mode: "memory" }, async ({ node, pause }) => {
    const [long, other] = [node.connect(), node.connect()];
    const count = 200;
    long.send(
      requestOf(["INCRBY", "counter", "1"]).repeat(count) +
        requestOf(["SET", "k", "v".repeat(1024)]).repeat(count),
    );
    const first = long.received.toString().length;
    const reply = other.call("GET", "counter");
    expect(await reply).toBe(bulk(String(count)));
    expect(first).toBeGreaterThan(0);
    await pause(10);
    const counters = Array.from({ length: count }, (_, index) => `:${index + 1}\r\n`).join("");
    expect(long.received.toString()).toBe(counters + "+OK\r\n".repeat(count));
    expect(first).toBeLessThan(long.received.byteLength);
  });
});

describe("on a full disk", () => {
  const full = { nth: 1, isSticky: true, errno: "ENOSPC", operations: ["write"] } as const;

  test("reads that wait for another's write are answered; the write is acknowledged once there is space", () => {
    withNode({}, async ({ node, disk, pause }) => {
      const [writer, reader] = [node.connect(), node.connect()];
      expect(await writer.call("SET", "k", "old")).toBe("+OK\r\n");
      await pause(200);
      disk.failLater(full);
      let isAcknowledged = false;
      const write = writer.call("SET", "k", "new").then((reply) => {
        isAcknowledged = true;
        return reply;
      });
      expect(await reader.call("GET", "k")).toBe(bulk("new"));
      expect(await reader.call("SET", "k", "newer")).toBe(MISCONF);
      expect(await reader.call("GET", "k")).toBe(bulk("new"));
      await pause(3000);
      expect(isAcknowledged).toBe(false);
      disk.failLater(undefined);
      expect(await write).toBe("+OK\r\n");
      expect(await reader.call("SET", "k", "newer")).toBe("+OK\r\n");
    });
  });

  test("a client that was held back because the log could not keep up may read", () => {
    withNode({}, async ({ node, disk, pause }) => {
      const reader = node.connect();
      const writers = Array.from({ length: 9 }, () => node.connect());
      expect(await reader.call("SET", "small", "1")).toBe("+OK\r\n");
      await pause(200);
      disk.failLater(full);
      // More than the log lets wait: everybody who sends is held back.
      for (const writer of writers) writer.send(requestOf(["SET", "k", "v".repeat(MEBIBYTE)]));
      const first = reader.call("GET", "small");
      // One with nothing to wait for but the log: its request is not complete.
      const halfway = node.connect();
      halfway.send("*2\r\n$3\r\nGET\r\n");
      expect(node.durable.isCongested).toBe(true);
      expect([reader.isPaused, halfway.isPaused]).toEqual([true, true]);
      expect(await first).toBe(bulk("1"));
      await pause(1);
      expect([reader.isPaused, halfway.isPaused]).toEqual([false, false]);
      expect(await reader.call("GET", "small")).toBe(bulk("1"));
      disk.failLater(undefined);
      await pause(3000);
      expect(writers.map(({ received }) => received.toString())).toEqual(writers.map(() => "+OK\r\n"));
    });
  });
});
