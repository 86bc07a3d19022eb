/** Failing calls and a full disk under the dumps of a whole node: the old dump stays, the node runs, the next one works. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { SimClock } from "../../src/core/sim/clock.ts";
import { SimDisk, type PlannedFailure } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { TestNode, type NodeOptions } from "../channels/dht/node-harness.ts";
import { contentOf, DIRECTORY } from "../channels/tcm/harness.ts";

setDefaultTimeout(120_000);

class NodeWorld {
  readonly scheduler = new Scheduler(11);
  readonly disk = new SimDisk(this.scheduler);
  clock = new SimClock(this.scheduler);

  constructor() {
    this.run(() => this.disk.makeDirectory(DIRECTORY).then(() => this.disk.syncDirectory("/")));
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.scheduler.run(work, { timeLimitMs: 100_000_000 });
  }

  open(options: NodeOptions = {}): Promise<TestNode> {
    const world = { clock: this.clock, disk: this.disk, random: this.scheduler.fork() };
    return TestNode.open(world, { mode: "dump", ...options });
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }

  names(): string[] {
    return this.run(() => this.disk.list(DIRECTORY)).map(({ name }) => name);
  }

  /** What a node that starts now serves; it is gone afterwards without a dump. */
  found(options: NodeOptions = {}): Record<string, string> {
    return this.run(async () => {
      const node = await this.open(options);
      const content = contentOf(node.durable.store);
      node.abandon();
      return content;
    });
  }
}

async function write(node: TestNode, value: string): Promise<Record<string, string>> {
  const client = node.connect();
  await client.call("SET", "0000000000000001", value);
  await client.call("SET", "name", value);
  client.terminate();
  return { "0/0000000000000001": value, "0/name": value };
}

/** Dumps "old", then "new" while a call fails, then loses power; returns whether the failure happened. */
function runWithFailure(plan: PlannedFailure): boolean {
  const world = new NodeWorld();
  let old: Record<string, string> = {};
  let later = old;
  const { hasFired, isDumped } = world.run(async () => {
    const node = await world.open();
    old = await write(node, "old");
    expect(await node.durable.dump()).toBe(true);
    later = await write(node, "new");
    world.disk.failLater(plan);
    const isDumped = await node.durable.dump();
    const hasFired = world.disk.hasFailed;
    world.disk.failLater(undefined);
    expect(node.fatal).toBeUndefined();
    expect(node.durable.trouble === undefined).toBe(isDumped);
    const client = node.connect();
    expect(await client.call("GET", "name")).toContain("new");
    expect(await client.call("SET", "other", "x")).toBe("+OK\r\n");
    await client.call("DEL", "other");
    node.abandon();
    return { hasFired, isDumped };
  });
  const before = world.disk.capture();
  for (const model of [{ names: "ordered" }, { names: "any" }] as const) {
    world.disk.restore(before);
    world.disk.crash({ ...model, isTearing: true });
    const found = world.found();
    const allowed = isDumped ? [later] : [old, later];
    expect(allowed).toContainEqual(found);
  }
  world.disk.restore(before);
  world.run(async () => {
    const node = await world.open();
    const newest = await write(node, "newest");
    expect(await node.durable.dump()).toBe(true);
    node.abandon();
    later = newest;
  });
  world.disk.crash({ names: "any", isTearing: true });
  expect(world.found()).toEqual(later);
  return hasFired;
}

for (const errno of ["EIO", "ENOSPC"] as const) {
  for (const isSticky of [false, true]) {
    test(`the old dump or the new one is there when the n-th call fails ${isSticky ? "and all later ones" : "once"} with ${errno}`, () => {
      let fired = 0;
      for (let nth = 1; runWithFailure({ nth, isSticky, errno }); nth++) fired++;
      console.log(`${fired} calls failed`);
      expect(fired).toBeGreaterThan(20);
    });
  }
}

test("a dump that fails in the same process is made good by the next one", () => {
  for (let nth = 1; ; nth++) {
    const world = new NodeWorld();
    const [hasFired, wanted] = world.run(async () => {
      const node = await world.open();
      await write(node, "old");
      await node.durable.dump();
      await write(node, "new");
      world.disk.failLater({ nth, isSticky: false, errno: "EIO" });
      await node.durable.dump();
      const hasFired = world.disk.hasFailed;
      world.disk.failLater(undefined);
      const wanted = await write(node, "newest");
      expect(await node.durable.dump()).toBe(true);
      expect(node.durable.trouble).toBeUndefined();
      node.abandon();
      return [hasFired, wanted];
    });
    world.disk.crash({ names: "any", isTearing: true });
    expect({ nth, found: world.found() }).toEqual({ nth, found: wanted });
    if (!hasFired) break;
  }
});

test("a full disk costs the dump, not the node; when there is room the next one works", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open();
    await write(node, "old");
    await node.durable.dump();
    await write(node, "x".repeat(5000));
    world.disk.capacityBytes = world.disk.usedBytes() + 2048;
    expect(await node.durable.dump()).toBe(false);
    expect(node.durable.trouble).toContain("the last dump failed");
    expect(node.durable.trouble).toContain("the disk is full");
    expect(node.durable.figures.dump).toMatchObject({ dumps: 1, failures: 1 });
    world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    expect(await node.durable.dump()).toBe(true);
    expect(node.durable.trouble).toBeUndefined();
    await node.close();
  });
  expect(world.names().filter((name) => name.includes("dumping"))).toEqual([]);
});

test("a clean shutdown dumps every channel, one that was emptied too", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open();
    const client = node.connect();
    await client.call("SET", "a", "1");
    await client.call("SELECT", "3");
    await client.call("SET", "b", "2");
    await node.close();
  });
  world.disk.crash({ names: "any", isTearing: true });
  expect(world.found()).toEqual({ "0/a": "1", "3/b": "2" });
  world.run(async () => {
    const node = await world.open();
    const client = node.connect();
    await client.call("DEL", "a");
    await node.close();
  });
  expect(world.found()).toEqual({ "3/b": "2" });
});

test("a shutdown whose dump fails says so", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open();
    await write(node, "x");
    world.disk.failLater({ nth: 1, isSticky: true, errno: "EIO", operations: ["write"] });
    const error = await node.close().then(
      () => undefined,
      (failure: Error) => failure,
    );
    expect(error?.message).toContain("the last dump is not complete");
    // The process ends with the exit code of this error.
    expect(node.fatal).toBe(error);
  });
});

test("a removed channel stays removed after power loss, and its files are set aside", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open();
    await write(node, "x");
    await node.durable.dump();
    await node.durable.dump();
    await node.connect().call("FLUSHDB");
    await world.wait(100);
    node.abandon();
  });
  world.disk.crash({ names: "any", isTearing: true });
  expect(world.names()).toEqual([
    "0.nxs.backup.deleted",
    "0.nxs.deleted",
    "0.tcm.backup.deleted",
    "0.tcm.deleted",
  ]);
  expect(world.found()).toEqual({});
});

test("a channel that is removed at any moment of its dump does not come back", () => {
  let moments = 0;
  for (let delayMs = 0; delayMs < 8; delayMs += 0.05, moments++) {
    const world = new NodeWorld();
    world.run(async () => {
      const node = await world.open();
      await write(node, "old");
      await node.durable.dump();
      const dumping = node.durable.dump();
      await world.wait(delayMs);
      const client = node.connect();
      await client.call("FLUSHALL");
      await client.call("SET", "after", "x");
      await dumping;
      await world.wait(50);
      node.abandon();
    });
    world.disk.crash({ names: "any", isTearing: true });
    const found = world.found();
    expect([{}, { "0/after": "x" }]).toContainEqual(found);
  }
  expect(moments).toBeGreaterThan(100);
});

test("the first dump comes after a random part of the period, the next a period after its start", () => {
  const firsts = new Set<number>();
  for (let seed = 1; seed <= 5; seed++) {
    const scheduler = new Scheduler(seed);
    const disk = new SimDisk(scheduler);
    const clock = new SimClock(scheduler);
    scheduler.run(
      async () => {
        await disk.makeDirectory(DIRECTORY);
        const node = await TestNode.open(
          { clock, disk, random: scheduler.fork() },
          { mode: "dump", dump: { periodSeconds: 600 } },
        );
        await write(node, "x");
        const starts: number[] = [];
        for (let second = 0; second < 2000; second++) {
          const { lastDumpAtMs } = node.durable.figures.dump ?? { lastDumpAtMs: 0 };
          const atSecond = Math.round(lastDumpAtMs / 1000);
          if (lastDumpAtMs > 0 && starts.at(-1) !== atSecond) starts.push(atSecond);
          await new Promise<void>((resolve) => clock.after(1000, resolve));
        }
        expect(starts.length).toBeGreaterThanOrEqual(3);
        for (let index = 1; index < starts.length; index++)
          expect(
            Math.abs((starts[index] as number) - (starts[index - 1] as number) - 600),
          ).toBeLessThanOrEqual(1);
        firsts.add((starts[0] as number) - 1_767_225_600);
        await node.close();
      },
      { timeLimitMs: 10_000_000 },
    );
  }
  for (const first of firsts) expect(first).toBeLessThanOrEqual(600);
  expect(firsts.size).toBeGreaterThan(2);
});

test("dumps are at least a minute apart, however short the period", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open({ dump: { periodSeconds: 1 } });
    await world.wait(125_000);
    expect(node.durable.figures.dump?.dumps).toBe(3);
    await node.close();
  });
});

test("with dumps disabled only the shutdown writes one", () => {
  const world = new NodeWorld();
  world.run(async () => {
    const node = await world.open({ dump: { periodSeconds: 1, disabled: true } });
    await write(node, "x");
    await world.wait(200_000);
    expect(node.durable.figures.dump).toMatchObject({ dumps: 0, nextDumpSeconds: undefined });
    await node.close();
  });
  expect(world.found()).toEqual({ "0/0000000000000001": "x", "0/name": "x" });
});
