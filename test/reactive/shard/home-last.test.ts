/**
 * Read committed over several shards: the others vote, the home decides in one entry, nobody refuses; and whoever dies on the way leaves
 * all of it or nothing.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Coordinator, type Group } from "../../../src/reactive/engines/builtin/coordinator.ts";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import { decodeCommand, type ShardCommand } from "../../../src/reactive/shard/commands.ts";
import { encodeOperations, wholePart } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { shardCluster } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const SHARDS = 3;
/** One key on each shard, the home's first. */
const KEYS = Array.from({ length: SHARDS }, (_, shard) => {
  const names = Array.from({ length: 100 }, (_each, index) => `k${index}`);
  return names.find((name) => shardOf(Buffer.from(name), SHARDS) === shard) as string;
});
const HOME_KEY = KEYS[0] as string;

type Kinds = ShardCommand["kind"][];

/** A cluster, and a coordinator of its own whose commands are written down; what `isLost` says of never arrives. */
function scene(seed: number, isLost: (command: ShardCommand) => boolean = () => false) {
  const cluster = shardCluster({ shards: SHARDS, seed });
  const kinds: Kinds[] = cluster.groups.map(() => []);
  const shards = cluster.groups.map((group, shard): Group => ({
    view: group.view,
    query: (body) => group.query(body),
    command(body) {
      const command = decodeCommand(body);
      if (isLost(command)) return new Promise(() => {});
      kinds[shard]?.push(command.kind);
      return group.command(body);
    },
  }));
  const options = { shards, nextTimestamp: () => cluster.next() };
  const commit = (level: Level, number = 1, coordinator = new Coordinator(options)) => {
    const operations = encodeOperations([{ kind: "add", amount: 1n }]);
    const accesses = KEYS.map((key) => ({ key: Buffer.from(key), reads: [], operations }));
    return coordinator.commit({ id: { client: 1, number }, floor: 1, level, snapshot: 0, accesses });
  };
  const run = async <Value>(promise: Promise<Value>) => {
    await cluster.mail.run(promise);
    return promise;
  };
  /** Versions of all keys, at a moment behind everything. */
  const versions = async () => {
    const reading = cluster.next().then((at) => cluster.read(KEYS, at));
    const found = await run(reading);
    return KEYS.map((key) => found.get(key)?.start);
  };
  return { cluster, options, kinds, commit, run, versions };
}

test("the home votes and decides in one entry, behind the votes of the others; a strict home votes first", async () => {
  const counts: number[] = [];
  for (const level of [Level.readCommitted, Level.strict]) {
    const { cluster, options, kinds, commit, run, versions } = scene(1);
    const coordinator = new Coordinator(options);
    const result = await run(commit(level, 1, coordinator));
    await run(coordinator.idle());
    const timestamp = result.kind === "committed" ? result.timestamp : 0;
    expect(await versions()).toEqual([timestamp, timestamp, timestamp]);
    if (level === Level.readCommitted)
      expect(kinds).toEqual([
        ["atOnce", "finish"],
        ["prepare", "commit"],
        ["prepare", "commit"],
      ]);
    else expect(kinds[0]).toEqual(["prepare", "decide", "finish"]);
    counts.push(kinds.flat().length);
    expect(cluster.shards.map(({ state }) => state.outcomes.unfinished())).toEqual([[], [], []]);
    cluster.close();
  }
  expect(counts).toEqual([6, 7]);
});

test("a shard that is only read is no home: who asks what became of a transaction names what it wrote", async () => {
  const { cluster, options, kinds, run } = scene(4);
  const coordinator = new Coordinator(options);
  const add = encodeOperations([{ kind: "add", amount: 1n }]);
  const accesses = KEYS.map((key, shard) => ({
    key: Buffer.from(key),
    reads: shard === 0 ? [{ part: wholePart, version: 0, wasPresent: false }] : [],
    operations: shard === 0 ? new Uint8Array(0) : add,
  }));
  const whole = { id: { client: 1, number: 1 }, floor: 1, level: Level.strict, snapshot: 0, accesses };
  expect(await run(coordinator.commit(whole))).toMatchObject({ kind: "committed" });
  await run(coordinator.idle());
  expect(kinds).toEqual([
    ["prepare", "commit"],
    ["prepare", "decide", "finish"],
    ["prepare", "commit"],
  ]);
  cluster.close();
});

test("a home that has answered above the timestamp votes like the others, and nothing is refused", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { cluster, options, kinds, commit, run, versions } = scene(seed);
    let isFirst = true;
    const nextTimestamp = async () => {
      const timestamp = await cluster.next();
      if (isFirst) await cluster.next().then((above) => cluster.read([HOME_KEY], above));
      isFirst = false;
      return timestamp;
    };
    const coordinator = new Coordinator({ ...options, nextTimestamp });
    const result = await run(commit(Level.readCommitted, 1, coordinator));
    await run(coordinator.idle());
    expect(kinds[0]).toEqual(["atOnce", "prepare", "decide", "finish"]);
    const timestamp = result.kind === "committed" ? result.timestamp : 0;
    expect(await versions()).toEqual([timestamp, timestamp, timestamp]);
    cluster.close();
  }
});

test("a frontend that dies behind its answer leaves what another one carries out", async () => {
  const { cluster, commit, run, versions } = scene(2, ({ kind }) => kind === "commit" || kind === "several");
  const result = await run(commit(Level.readCommitted));
  const timestamp = result.kind === "committed" ? result.timestamp : 0;
  // The client needs it no more: the home keeps its decision all the same.
  const next = { id: { client: 1, number: 2 }, floor: 2, level: Level.strict, snapshot: 0 };
  const operations = encodeOperations([{ kind: "add", amount: 0n }]);
  await run(
    cluster.coordinator.commit({
      ...next,
      accesses: [{ key: Buffer.from(HOME_KEY), reads: [], operations }],
    }),
  );
  expect(cluster.shards.map(({ state }) => state.prepared.size)).toEqual([0, 1, 1]);
  for (const shard of [1, 2])
    expect(await run(cluster.coordinator.settle({ client: 1, number: 1 }, 0, shard))).toEqual({
      kind: "committed",
      timestamp,
    });
  expect((await versions()).slice(1)).toEqual([timestamp, timestamp]);
  cluster.close();
});

test("one that dies before its home has decided leaves nothing, also when its decision comes late", async () => {
  const { cluster, commit, run, versions } = scene(3, ({ kind }) => kind === "atOnce");
  void commit(Level.readCommitted);
  const prepared = () => cluster.shards.map(({ state }) => state.prepared.size);
  for (let turn = 0; turn < 100 && prepared().join() !== "0,1,1"; turn++) await run(cluster.mail.turn());
  expect(prepared()).toEqual([0, 1, 1]);
  const id = { client: 1, number: 1 };
  for (const shard of [1, 2])
    expect(await run(cluster.coordinator.settle(id, 0, shard))).toEqual({ kind: "aborted" });
  // Whoever sends it again hears the same.
  expect(await run(commit(Level.readCommitted, 1, cluster.coordinator))).toEqual({ kind: "aborted" });
  await run(cluster.coordinator.idle());
  expect(prepared()).toEqual([0, 0, 0]);
  expect(await versions()).toEqual([0, 0, 0]);
  cluster.close();
});
