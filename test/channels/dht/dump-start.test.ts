/** Which files win when a node finds a log and dumps: a log that holds anything, always. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { SimProcess } from "../../../src/core/sim/process.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { contentOf, DIRECTORY } from "../tcm/harness.ts";
import { TestNode, type NodeOptions } from "./node-harness.ts";

setDefaultTimeout(60_000);

type Mode = "log" | "dump";
let scheduler = new Scheduler(1);
let disk = new SimDisk(scheduler);
afterEach(() => {
  scheduler = new Scheduler(1);
  disk = new SimDisk(scheduler);
});

const run = <Value>(work: () => Promise<Value>) => scheduler.run(work, { timeLimitMs: 10_000_000 });

function open(mode: Mode, options: NodeOptions = {}): Promise<TestNode> {
  return TestNode.open(
    { clock: new SimClock(scheduler), disk, random: scheduler.fork() },
    { mode, ...options },
  );
}

/** One life of a node: writes, stops cleanly, and says what it served at its start. */
function live(mode: Mode, writes: Record<string, string> = {}): Record<string, string> {
  return run(async () => {
    await disk.makeDirectory(DIRECTORY);
    await disk.syncDirectory("/");
    const node = await open(mode);
    const found = contentOf(node.durable.store);
    const client = node.connect();
    for (const [key, value] of Object.entries(writes)) await client.call("SET", key, value);
    await node.close();
    return found;
  });
}

const names = () => run(() => disk.list(DIRECTORY)).map(({ name }) => name);

test("an empty log takes the dumps over once, and renames them", () => {
  live("dump", { "0000000000000001": "dumped", name: "side" });
  const wanted = { "0/0000000000000001": "dumped", "0/name": "side" };
  expect(live("log")).toEqual(wanted);
  expect(names()).toEqual(["0.nxs.imported", "0.tcm.imported", "store"]);
  expect(live("log", { name: "later" })).toEqual(wanted);
  disk.crash({ names: "any", isTearing: true });
  expect(live("log")).toEqual({ ...wanted, "0/name": "later" });
});

test("a log that holds something ignores dumps", () => {
  live("dump", { "0000000000000001": "dumped" });
  const dump = run(() => disk.rename(`${DIRECTORY}/0.tcm`, `${DIRECTORY}/aside`));
  expect(dump).toBeUndefined();
  live("log", { "0000000000000001": "logged" });
  run(() => disk.rename(`${DIRECTORY}/aside`, `${DIRECTORY}/0.tcm`));
  expect(live("log")).toEqual({ "0/0000000000000001": "logged" });
  expect(names()).toEqual(["0.tcm", "store"]);
});

test("dump mode takes a log over, dumps it and puts it aside; dumps beside it are superseded", () => {
  live("dump", { stale: "x", "0000000000000001": "old" });
  run(() => disk.rename(`${DIRECTORY}/0.tcm`, `${DIRECTORY}/keep`));
  run(() => disk.rename(`${DIRECTORY}/0.nxs`, `${DIRECTORY}/keep-side`));
  live("log", { "0000000000000001": "logged" });
  run(() => disk.rename(`${DIRECTORY}/keep`, `${DIRECTORY}/0.tcm`));
  run(() => disk.rename(`${DIRECTORY}/keep-side`, `${DIRECTORY}/0.nxs`));
  const wanted = { "0/0000000000000001": "logged" };
  expect(live("dump")).toEqual(wanted);
  expect(names()).toEqual([
    "0.nxs.superseded",
    "0.tcm",
    "0.tcm.backup",
    "0.tcm.superseded",
    "store.imported-1",
  ]);
  expect(live("dump")).toEqual(wanted);
});

test("back and forth loses nothing", () => {
  const wanted: Record<string, string> = {};
  for (let round = 0; round < 6; round++) {
    const key = `key${round}`;
    expect(live(round % 2 === 0 ? "log" : "dump", { [key]: `${round}` })).toEqual(wanted);
    wanted[`0/${key}`] = `${round}`;
  }
  expect(live("dump")).toEqual(wanted);
});

test.each([
  ["dump", "log"],
  ["log", "dump"],
] as const)("power loss at any call of the change from %s to %s loses nothing", (from, to) => {
  const wanted = { "0/0000000000000001": "x", "0/name": "y" };
  live(from, { "0000000000000001": "x", name: "y" });
  const start = disk.capture();
  let moments = 0;
  for (let stop = 1; ; stop++) {
    disk.restore(start);
    let calls = 0;
    let isOver = false;
    let node: TestNode | undefined;
    const process = new SimProcess(scheduler, disk);
    run(
      () =>
        new Promise<void>((resolve) => {
          disk.onChange = () => {
            if (++calls === stop) resolve();
          };
          const world = { clock: process.clock, disk: process.disk, random: scheduler.fork() };
          void TestNode.open(world, { mode: to }).then((opened) => {
            node = opened;
            isOver = true;
            resolve();
          });
        }),
    );
    disk.onChange = undefined;
    process.exit();
    disk.crash({ names: stop % 2 === 0 ? "any" : "ordered", isTearing: true });
    node?.abandon();
    const second = run(() => open(to));
    expect({ stop, found: contentOf(second.durable.store) }).toEqual({ stop, found: wanted });
    second.abandon();
    moments++;
    if (isOver) break;
  }
  expect(moments).toBeGreaterThan(30);
});
