/**
 * Transactions over several shards, messages in any order: strict serializability is checked against a serial execution in the
 * order of commit timestamps; snapshots and read committed against what each promises.
 */
import { describe, expect, test } from "bun:test";
import type { CommitResult } from "../../../src/reactive/engines/engine.ts";
import {
  decodeValue,
  encodeOperations,
  type Operation,
  type Value,
  wholePart,
} from "../../../src/reactive/shard/operations.ts";
import {
  type Access,
  Level,
  transactionBytes,
  writeTransaction,
} from "../../../src/reactive/shard/transaction.ts";
import { ByteWriter } from "../../../src/reactive/wire/bytes.ts";
import { applyOperation } from "../../../src/reactive/shard/apply.ts";
import type { Batch } from "../../../src/reactive/replication/types.ts";
import {
  decodeOutcome,
  decodeVote,
  encodeCommand,
  type ShardCommand,
} from "../../../src/reactive/shard/commands.ts";
import { ShardService, shardDefaults } from "../../../src/reactive/shard/service.ts";
import { type ClusterOptions, randomOf, shardCluster, type ShardCluster } from "./shard-harness.ts";
import { whole } from "../whole.ts";

const KEYS = ["a", "b", "c", "d", "e", "f"];

interface Done {
  result: CommitResult;
  reads: Map<string, Value>;
  operations: Map<string, Operation[]>;
  /** Positions in one order of everything that clients saw. */
  began: number;
  ended: number;
}

/** One client that runs transactions of 1 to 4 random operations. */
async function client(
  cluster: ShardCluster,
  name: number,
  level: Level,
  count: number,
  random: () => number,
  clock: { now: number },
) {
  const history: Done[] = [];
  for (let number = 1; number <= count; number++) {
    const began = clock.now++;
    const snapshot = level === Level.snapshot ? cluster.issued() : 0;
    const keys = KEYS.filter(() => random() < 0.4);
    const read = keys.filter(() => random() < 0.6);
    const versions = await cluster.read(read, snapshot);
    const reads = new Map<string, Value>();
    const operations = new Map<string, Operation[]>();
    const accesses = keys.map((key): Access => {
      const version = versions.get(key);
      if (version !== undefined) reads.set(key, decodeValue(version.type, version.value));
      const own: Operation[] =
        random() < 0.6 || version === undefined ? [randomOperation(random, name, number)] : [];
      operations.set(key, own);
      return {
        key: Buffer.from(key),
        reads:
          version === undefined
            ? []
            : [{ part: wholePart, version: version.start, wasPresent: version.type !== 0 }],
        operations: own.length === 0 ? new Uint8Array(0) : encodeOperations(own),
      };
    });
    const id = { client: name, number };
    const result = await cluster.coordinator.commit({ id, floor: number, level, snapshot, accesses });
    history.push({ result, reads, operations, began, ended: clock.now++ });
  }
  return history;
}

function randomOperation(random: () => number, name: number, number: number): Operation {
  const element = Buffer.from(`${name}.${number}`);
  const coin = random();
  if (coin < 0.3) return { kind: "put", value: { type: "list", elements: [element] } };
  if (coin < 0.4) return { kind: "delete" };
  return { kind: "append", element };
}

async function run(
  level: Level,
  options: ClusterOptions,
): Promise<{ history: Done[]; cluster: ShardCluster }> {
  const cluster = shardCluster(options);
  const random = randomOf(options.seed ^ 0x5eed);
  const clock = { now: 0 };
  const clients = Array.from({ length: 5 }, (_, name) => client(cluster, name + 1, level, 12, random, clock));
  const all = Promise.all(clients);
  await cluster.mail.run(all);
  await cluster.mail.run(cluster.coordinator.idle());
  return { history: (await all).flat(), cluster };
}

const committed = (history: readonly Done[]) =>
  history
    .filter(
      ({ result, operations }) =>
        result.kind === "committed" && [...operations.values()].some((own) => own.length > 0),
    )
    .toSorted((a, b) => timestampOf(a) - timestampOf(b));

const timestampOf = ({ result }: Done) => (result.kind === "committed" ? result.timestamp : 0);

const text = (value: Value | undefined) =>
  value?.type === "list"
    ? value.elements.map((element) => Buffer.from(element).toString()).join(" ")
    : (value?.type ?? "absent");

/** What is wrong with a strict history: reads that no serial execution in timestamp order gives, or real time turned round. */
function violations(history: readonly Done[]): string[] {
  const found: string[] = [];
  const state = new Map<string, Value>();
  const order = committed(history);
  for (const each of order) {
    for (const [key, value] of each.reads)
      if (text(value) !== text(state.get(key)))
        found.push(
          `at ${timestampOf(each)} ${key} was read as "${text(value)}", it is "${text(state.get(key))}"`,
        );
    for (const [key, own] of each.operations)
      state.set(key, own.reduce(applyOperation, state.get(key) ?? { type: "absent" }));
  }
  for (const [index, each] of order.entries())
    for (const later of order.slice(index + 1))
      if (later.ended < each.began)
        found.push(`${timestampOf(later)} ended before ${timestampOf(each)} began`);
  return found;
}

describe.each([
  [1, true],
  [2, true],
  [3, true],
  [2, false],
])("over %p shards, in one entry where one shard is enough: %p", (shards, isAtOnce) => {
  test("strict transactions are as if one came after the other", async () => {
    let commits = 0;
    let refusals = 0;
    for (let seed = 1; seed <= 25; seed++) {
      const { history, cluster } = await run(Level.strict, { shards, seed, isAtOnce });
      expect({ seed, violations: violations(history) }).toEqual({ seed, violations: [] });
      commits += committed(history).length;
      refusals += history.filter(({ result }) => result.kind === "refused").length;
      expect(cluster.shards.map(({ state }) => state.prepared.size)).toEqual(cluster.shards.map(() => 0));
      cluster.close();
    }
    // Both happen, or nothing was tried.
    expect(commits).toBeGreaterThan(100);
    expect(refusals).toBeGreaterThan(100);
  });
});

test("control: a timestamp that was taken before the votes turns it red", async () => {
  let red = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const taken: number[] = [];
    const timestamps = (next: () => Promise<number>) => {
      const prefetch = async () => void taken.push(await next());
      void prefetch();
      void prefetch();
      return async () => {
        const fresh = await next();
        taken.push(fresh);
        return taken.shift() ?? fresh;
      };
    };
    const outcome = await run(Level.strict, { shards: 2, seed, timestamps, isAtOnce: false }).then(
      ({ history }) => violations(history).length > 0,
      () => true, // the coordinator's own assertion
    );
    red += Number(outcome);
  }
  expect(red).toBeGreaterThan(10);
});

test("a snapshot read shows whole transactions, whatever is still under way", async () => {
  const seen: string[] = [];
  for (let seed = 1; seed <= 40; seed++) {
    const cluster = shardCluster({ shards: 3, seed });
    const random = randomOf(seed);
    const writer = async (name: number) => {
      for (let number = 1; number <= 15; number++) {
        const value = encodeOperations([
          { kind: "put", value: { type: "bytes", bytes: Buffer.from(`${name}.${number}`) } },
        ]);
        const accesses = KEYS.map((key) => ({ key: Buffer.from(key), reads: [], operations: value }));
        const id = { client: name, number };
        await cluster.coordinator.commit({ id, floor: number, level: Level.strict, snapshot: 0, accesses });
      }
    };
    const reader = async () => {
      for (let turn = 0; turn < 30; turn++) {
        // Only a timestamp that was issued can be read at.
        const timestamp = Math.max(0, cluster.issued() - Math.floor(random() * 3));
        if (timestamp === 0) {
          await cluster.mail.turn();
          continue;
        }
        const versions = await cluster.read(KEYS, timestamp);
        const values = new Set([...versions.values()].map(({ value }) => Buffer.from(value).toString()));
        seen.push(...values);
        expect({ seed, timestamp, values: values.size }).toEqual({ seed, timestamp, values: 1 });
        for (const { start, end } of versions.values()) {
          expect(start).toBeLessThanOrEqual(timestamp);
          expect(end).toBeGreaterThanOrEqual(timestamp);
        }
      }
    };
    await cluster.mail.run(Promise.all([writer(1), writer(2), reader(), reader()]));
    cluster.close();
  }
  expect(new Set(seen).size).toBeGreaterThan(10);
});

test("snapshot isolation loses no update and may show write skew; read committed never refuses", async () => {
  let skews = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const cluster = shardCluster({ shards: 2, seed });
    const add = async (name: number, level: Level) => {
      const snapshot = level === Level.snapshot ? cluster.issued() : 0;
      const versions = await cluster.read(["x", "y"], snapshot);
      const text = (key: string) => Buffer.from(versions.get(key)?.value ?? []).toString();
      const target = name % 2 === 0 ? "x" : "y";
      const other = target === "x" ? "y" : "x";
      const operations = encodeOperations([
        { kind: "put", value: { type: "bytes", bytes: Buffer.from(`${name}`) } },
      ]);
      const result = await cluster.coordinator.commit({
        id: { client: name, number: 1 },
        floor: 1,
        level,
        snapshot,
        accesses: [{ key: Buffer.from(target), reads: [], operations }],
      });
      return { result, sawOther: text(other), target };
    };
    const pair = Promise.all([add(1, Level.snapshot), add(2, Level.snapshot)]);
    await cluster.mail.run(pair);
    const both = await pair;
    if (both.every(({ result, sawOther }) => result.kind === "committed" && sawOther === "")) skews += 1;
    // Two writers of one key from one snapshot: the second one loses.
    const same = Promise.all([add(4, Level.snapshot), add(6, Level.snapshot)]);
    await cluster.mail.run(same);
    const wins = (await same).filter(({ result }) => result.kind === "committed");
    expect(wins.length).toBeLessThanOrEqual(2);
    const free = Promise.all([8, 10, 12, 14].map((name) => add(name, Level.readCommitted)));
    await cluster.mail.run(free);
    expect((await free).map(({ result }) => result.kind)).toEqual(Array(4).fill("committed"));
    cluster.close();
  }
  expect(skews).toBeGreaterThan(5);
});

test("blind increments, appends and inserts never abort each other at any level, and each counts once", async () => {
  for (const level of [Level.strict, Level.snapshot, Level.readCommitted]) {
    const cluster = shardCluster({ shards: 2, seed: 7 + level });
    const worker = async (name: number) => {
      for (let number = 1; number <= 20; number++) {
        const accesses = [
          {
            key: Buffer.from("count"),
            reads: [],
            operations: encodeOperations([
              { kind: "add", amount: 1n },
              { kind: "add", amount: 2n },
            ]),
          },
          {
            key: Buffer.from("list"),
            reads: [],
            operations: encodeOperations([{ kind: "append", element: Buffer.from(`${name}.${number}`) }]),
          },
          {
            key: Buffer.from("set"),
            reads: [],
            operations: encodeOperations([{ kind: "insert", element: Buffer.from(`${name}`) }]),
          },
        ];
        const id = { client: name, number };
        const snapshot = level === Level.snapshot ? cluster.issued() : 0;
        const result = await cluster.coordinator.commit({ id, floor: number, level, snapshot, accesses });
        expect(result.kind).toBe("committed");
      }
    };
    await cluster.mail.run(Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(worker)));
    await cluster.mail.run(cluster.coordinator.idle());
    const reading = cluster.read(["count", "list", "set"], 0);
    await cluster.mail.run(reading);
    const found = await reading;
    const value = (key: string) =>
      decodeValue(found.get(key)?.type ?? 0, found.get(key)?.value ?? new Uint8Array(0));
    expect(value("count")).toEqual({ type: "counter", count: 480n });
    const list = value("list");
    expect(
      list.type === "list" && new Set(list.elements.map((element) => Buffer.from(element).toString())).size,
    ).toBe(160);
    expect(list.type === "list" && list.elements.length).toBe(160);
    const set = value("set");
    expect(set.type === "set" && set.elements.length).toBe(8);
    cluster.close();
  }
});

test("whoever asks again with the same id gets the same answer", async () => {
  const cluster = shardCluster({ shards: 3, seed: 3 });
  const accesses = KEYS.map((key) => ({
    key: Buffer.from(key),
    reads: [],
    operations: encodeOperations([{ kind: "add", amount: 1n }]),
  }));
  const whole = { id: { client: 1, number: 1 }, floor: 1, level: Level.strict, snapshot: 0, accesses };
  const twice = Promise.all([cluster.coordinator.commit(whole), cluster.coordinator.commit(whole)]);
  await cluster.mail.run(twice);
  await cluster.mail.run(cluster.coordinator.idle());
  const again = cluster.coordinator.commit(whole);
  await cluster.mail.run(again);
  const results = [...(await twice), await again];
  expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
  const reading = cluster.read(["a"], 0);
  await cluster.mail.run(reading);
  const { type = 0, value = new Uint8Array(0) } = (await reading).get("a") ?? {};
  expect(decodeValue(type, value)).toEqual({
    type: "counter",
    count: results[0]?.kind === "committed" ? 1n : 0n,
  });
  cluster.close();
});

test("a refusal is final: the same transaction is not voted for later, when nothing stands in its way any more", () => {
  const shard = new ShardService();
  let op = 0;
  const run = (command: ShardCommand) =>
    whole(
      shard.apply({
        op: ++op,
        timeMs: op,
        commands: [{ session: 1, number: op, body: encodeCommand(command) }],
      }),
    )[0] as Uint8Array;
  const prepare = (client: number) => {
    const operations = encodeOperations([{ kind: "delete" }]);
    const accesses = [{ key: Buffer.from("a"), reads: [], operations }];
    const id = { client, number: 1 };
    const transaction = {
      id,
      floor: 1,
      level: Level.strict,
      snapshot: 0,
      home: 0,
      participants: [0, 1],
      accesses,
    };
    return decodeVote(run({ kind: "prepare", transaction }));
  };
  expect(prepare(1)).toMatchObject({ kind: "yes" });
  expect(prepare(2)).toMatchObject({ kind: "no", reason: "prepared" });
  run({ kind: "abort", id: { client: 1, number: 1 } });
  expect(prepare(2)).toEqual({ kind: "decided", outcome: { kind: "aborted" } });
  expect(prepare(3)).toMatchObject({ kind: "yes" });
  shard.close();
});

test("whoever sends a transaction twice never hears that it is refused and that it is committed", async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 150; seed++) {
    const cluster = shardCluster({ shards: 3, seed });
    const put = (name: string) =>
      encodeOperations([{ kind: "put", value: { type: "bytes", bytes: Buffer.from(name) } }]);
    const commit = (client: number, keys: string[]) =>
      cluster.coordinator.commit({
        id: { client, number: 1 },
        floor: 1,
        level: Level.strict,
        snapshot: 0,
        accesses: keys.map((key) => ({ key: Buffer.from(key), reads: [], operations: put(`${client}`) })),
      });
    // The others hold some keys for a while.
    const others = [commit(2, ["a", "b"]), commit(3, ["c", "d"]), commit(4, ["e", "f"])];
    const twice = Promise.all([commit(1, KEYS), commit(1, KEYS)]);
    await cluster.mail.run(Promise.all([twice, ...others]));
    const kinds = (await twice).map(({ kind }) => (kind === "committed" ? kind : "refused"));
    expect({ seed, kinds: new Set(kinds).size }).toEqual({ seed, kinds: 1 });
    const [kind = ""] = kinds;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    cluster.close();
  }
  expect(Math.min(seen.get("committed") ?? 0, seen.get("refused") ?? 0)).toBeGreaterThan(5);
});

test("the first record of a decision is its only one, whether its coordinator or who settles comes first", () => {
  const add = encodeOperations([{ kind: "add", amount: 1n }]);
  for (const first of ["decide", "resolve"] as const) {
    const shard = new ShardService(shardDefaults);
    let op = 0;
    const run = (command: ShardCommand) => {
      const body = encodeCommand(command);
      const batch = { op: ++op, timeMs: 0, commands: [{ session: 1, number: op, body }] };
      return whole(shard.apply(batch))[0] as Uint8Array;
    };
    const id = { client: 1, number: 1 };
    const accesses = [{ key: Buffer.from("a"), reads: [], operations: add }];
    const common = { id, floor: 1, level: Level.strict, snapshot: 0, home: 0, participants: [0, 1] };
    run({ kind: "prepare", transaction: { ...common, accesses } });
    const decide = { kind: "decide", id, timestamp: 10 } as const;
    const others = [{ kind: "resolve", id }, { kind: "abort", id }, decide] as const;
    const outcome = decodeOutcome(run(first === "decide" ? decide : { kind: "resolve", id }));
    expect(outcome.kind).toBe(first === "decide" ? "committed" : "aborted");
    for (const command of others) expect(decodeOutcome(run(command))).toEqual(outcome);
    expect(shard.versions.read(Buffer.from("a"), 20)?.start).toBe(first === "decide" ? 10 : 0);
    shard.close();
  }
});

test("a copy that is prepared when its commit was carried out and forgotten changes nothing, and locks nothing", () => {
  const shard = new ShardService(shardDefaults);
  const operations = encodeOperations([{ kind: "add", amount: 1n }]);
  let op = 0;
  const run = (command: ShardCommand) => {
    const body = encodeCommand(command);
    const batch = { op: ++op, timeMs: 0, commands: [{ session: 1, number: op, body }] };
    return whole(shard.apply(batch))[0] as Uint8Array;
  };
  const transactionOf = (number: number, key: string) => ({
    ...{ id: { client: number, number }, floor: 1, level: Level.strict, snapshot: 0, home: 0 },
    ...{ participants: [0, 1], accesses: [{ key: Buffer.from(key), reads: [], operations }] },
  });
  run({ kind: "atOnce", timestamp: 20, view: 0, transaction: transactionOf(1, "a") });
  const copy = transactionOf(2, "b");
  expect(decodeVote(run({ kind: "prepare", transaction: copy }))).toEqual({ kind: "yes", largest: 20 });
  const outcome = { kind: "committed", timestamp: 10 } as const;
  expect(decodeOutcome(run({ kind: "commit", id: copy.id, timestamp: 10 }))).toEqual(outcome);
  expect([shard.state.prepared.size, shard.versions.read(Buffer.from("b"), 30)?.start]).toEqual([0, 0]);
  expect(decodeVote(run({ kind: "prepare", transaction: copy }))).toEqual({ kind: "decided", outcome });
  shard.close();
});

test("room is made for a transaction as it is, whatever it reads and touches", () => {
  const id = { client: 2 ** 52, number: 1 };
  const part = { kind: 2 as const, data: Buffer.from("element") };
  const read = { part, version: 7, wasPresent: true };
  const accesses = [
    { key: Buffer.from("a"), reads: [], operations: encodeOperations([{ kind: "add", amount: 1n }]) },
    {
      key: Buffer.from("longer"),
      reads: [read, { ...read, part: wholePart }],
      operations: new Uint8Array(0),
    },
  ];
  for (const participants of [[0], [0, 3, 4]])
    for (const some of [[], accesses.slice(1), accesses]) {
      const common = { id, floor: 1, level: Level.strict, snapshot: 0, home: 0, participants };
      const transaction = { ...common, accesses: some };
      const writer = new ByteWriter(1);
      writeTransaction(writer, transaction);
      expect(transactionBytes(transaction)).toBe(writer.length);
    }
});

test("a transaction that names a key twice is refused as unreadable, and its shard goes on", () => {
  const shard = new ShardService(shardDefaults);
  const add = encodeOperations([{ kind: "add", amount: 1n }]);
  const access = { key: Buffer.from("a"), reads: [], operations: add };
  let op = 0;
  const run = (command: ShardCommand) => {
    const body = encodeCommand(command);
    return whole(shard.apply({ op: ++op, timeMs: 0, commands: [{ session: 1, number: op, body }] }))[0];
  };
  for (const accesses of [[access, access], [access]]) {
    const id = { client: 1, number: accesses.length };
    const common = { id, floor: 1, level: Level.strict, snapshot: 0, home: 0, participants: [0] };
    const transaction = { ...common, accesses };
    const reply = run({ kind: "atOnce", timestamp: 10, view: 0, transaction });
    if (accesses.length > 1) expect([...(reply as Uint8Array)]).toEqual([255]);
    else expect(decodeVote(reply as Uint8Array)).toMatchObject({ kind: "decided" });
  }
  shard.close();
});

test("replicas that follow one log hold one state and give one answer, also one that began from a snapshot", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = randomOf(seed);
    // Versions grow old quickly, and each replica collects at its own pace.
    const steps = { stepAccesses: seed % 2 === 0 ? 1000 : 1 };
    const settings = { ...shardDefaults, retentionMs: 3000, outcomeRetentionMs: 20_000, ...steps };
    const cluster = shardCluster({ shards: 1, seed, settings });
    const [primary] = cluster.shards as [ShardService];
    const batches: Batch[] = [];
    const replies: Uint8Array[][] = [];
    const apply = primary.apply.bind(primary);
    primary.apply = (batch) => {
      const answer = whole(apply(batch));
      batches.push(batch);
      replies.push(answer);
      return answer;
    };
    const clock = { now: 0 };
    const clients = [1, 2, 3].map((name) => client(cluster, name, Level.strict, 15, random, clock));
    await cluster.mail.run(Promise.all(clients));
    await cluster.mail.run(cluster.coordinator.idle());

    // It does in steps what the primary did whole, or the other way round.
    const others = { ...settings, stepAccesses: seed % 2 === 0 ? 1 : 1000 };
    let follower = new ShardService(others);
    for (const [index, batch] of batches.entries()) {
      // A snapshot is under way for some entries: nothing is collected meanwhile.
      const stream = random() < 0.05 ? follower.snapshot() : undefined;
      expect(whole(follower.apply(batch))).toEqual(replies[index] as Uint8Array[]);
      if (stream === undefined) continue;
      const copy = new ShardService(others);
      const restorer = copy.restore();
      for await (const chunk of stream.chunks) restorer.add(chunk);
      restorer.finish();
      stream.close();
      expect(whole(copy.apply(batch))).toEqual(replies[index] as Uint8Array[]);
      follower.close();
      follower = copy;
    }
    expect(follower.state.horizon).toBe(primary.state.horizon);
    expect(primary.state.horizon).toBeGreaterThan(0);
    for (const key of KEYS) {
      const [own, others] = [primary, follower].map(({ versions, state }) => {
        const view = versions.read(Buffer.from(key), state.largest);
        return view && { ...view, value: Buffer.from(view.value).toString() };
      });
      expect(own).toEqual(others);
    }
    follower.close();
    cluster.close();
  }
});
