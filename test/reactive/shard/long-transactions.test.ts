/**
 * Transactions with very many keys, and very many clients in a snapshot: how long each of them holds the thread at a time. The
 * primary's heartbeats are 50 ms apart, and another one is asked for after 300 ms.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { realClock } from "../../../src/core/seams/clock.ts";
import { ValueType } from "../../../src/native/version-values.ts";
import { threadCpuMs } from "../../../src/native/system.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import { TooOldError } from "../../../src/reactive/failures.ts";
import { finish, type Steps } from "../../../src/reactive/replication/steps.ts";
import type { Command } from "../../../src/reactive/replication/types.ts";
import { decodeOutcome, decodeVote, encodeCommand, type ShardCommand } from "../../../src/reactive/shard/commands.ts"; // prettier-ignore
import { isLongerThan, readPrepareInSteps } from "../../../src/reactive/shard/long-transactions.ts";
import { encodeOperations, wholePart } from "../../../src/reactive/shard/operations.ts";
import {
  decodeQuery,
  decodeReadReply,
  encodeQuery,
  encodeReadReply,
} from "../../../src/reactive/shard/query-messages.ts";
import { ShardService, shardDefaults } from "../../../src/reactive/shard/service.ts";
import { type Access, Level, readAccesses, type Transaction, writeAccesses } from "../../../src/reactive/shard/transaction.ts"; // prettier-ignore
import { ByteReader, ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";

setDefaultTimeout(60_000);

const VIEW = 0;
const KEYS = 100_000;
/** No step takes more of the whole: most of them take a hundredth. */
const SHARE_MAX = 1 / 5;
/** One may meet the collector of garbage. */
const COLLECTION_MS_MAX = 30;
const add = encodeOperations([{ kind: "add", amount: 1n }]);
const nameOf = (index: number) => Buffer.from(`key${(index * 7919) % KEYS}`);

const accessesOf = (count: number): Access[] =>
  Array.from({ length: count }, (_, index) => ({ key: nameOf(index), reads: [], operations: add }));

const transactionOf = (number: number, accesses: Access[]): Transaction => ({
  id: { client: 1, number },
  floor: 0,
  level: Level.strict,
  snapshot: 0,
  home: 0,
  participants: [0],
  accesses,
});

class Shard {
  readonly service: ShardService;
  #op = 0;

  constructor(stepAccesses = shardDefaults.stepAccesses) {
    this.service = new ShardService({ ...shardDefaults, stepAccesses });
  }

  begin(...commands: ShardCommand[]): Uint8Array[] | Steps<Uint8Array[]> {
    const op = ++this.#op;
    const ordered = commands.map((command, index): Command => ({
      session: 1,
      number: 100 * op + index,
      body: encodeCommand(command),
    }));
    return this.service.apply({ op, timeMs: op, commands: ordered });
  }

  /** `costs`: the thread's time of each step, in milliseconds. */
  run(...commands: ShardCommand[]): { replies: Uint8Array[]; costs: number[] } {
    const begun = this.begin(...commands);
    if (Array.isArray(begun)) return { replies: begun, costs: [] };
    const costs: number[] = [];
    for (;;) {
      const startMs = threadCpuMs();
      const { done, value } = begun.next();
      costs.push(threadCpuMs() - startMs);
      if (done === true) return { replies: value, costs };
    }
  }

  async read(keys: Uint8Array[], timestamp: number) {
    const reply = await this.service.query(
      encodeQuery({ kind: "read", timestamp, known: timestamp, keys }),
      VIEW,
    );
    return decodeReadReply(reply as Uint8Array).versions;
  }
}

function demandPauses(what: string, costs: readonly number[]): void {
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const longest = Math.max(...costs);
  console.log(`${what}: ${total.toFixed(0)} ms of the thread's time in ${costs.length} steps, at most ${longest.toFixed(1)} ms at once`); // prettier-ignore
  expect(longest).toBeLessThan(Math.max(total * SHARE_MAX, COLLECTION_MS_MAX));
}

test("a transaction of 100,000 keys is voted for, committed and aborted in short steps", async () => {
  const shard = new Shard();
  const transaction = transactionOf(1, accessesOf(KEYS));
  const prepare = shard.run({ kind: "prepare", transaction });
  expect(decodeVote(prepare.replies[0] as Uint8Array)).toEqual({ kind: "yes", largest: 0 });
  demandPauses("prepare", prepare.costs);
  const decide = shard.run({ kind: "decide", id: transaction.id, timestamp: 5 });
  expect(decodeOutcome(decide.replies[0] as Uint8Array)).toEqual({ kind: "committed", timestamp: 5 });
  demandPauses("decide", decide.costs);
  expect((await shard.read([nameOf(0), nameOf(KEYS - 1)], 6)).map(({ start }) => start)).toEqual([5, 5]);
  expect(shard.service.feed.after(0, 1)?.map(({ keys }) => keys.length)).toEqual([KEYS]);
  const other = transactionOf(2, accessesOf(KEYS));
  shard.run({ kind: "prepare", transaction: other });
  const abort = shard.run({ kind: "several", commands: [{ kind: "abort", id: other.id }] });
  demandPauses("abort", abort.costs);
  expect([shard.service.state.prepared.size, shard.service.versions.stats().versions]).toEqual([0, KEYS]);
  shard.service.close();
});

test("one with very many keys is not taken in one entry, a long value is", () => {
  const { service } = new Shard();
  const admit = (accesses: Access[]) => {
    const transaction = transactionOf(1, accesses);
    const body = encodeCommand({ kind: "atOnce", timestamp: 9, view: VIEW, transaction });
    return service.admit({ session: 1, number: 1, body }, VIEW);
  };
  const value = { type: "bytes" as const, bytes: Buffer.alloc(1 << 20) };
  const operations = encodeOperations([{ kind: "put", value }]);
  expect(admit([{ key: Buffer.from("a"), reads: [], operations }])).toBeUndefined();
  expect(admit(accessesOf(1000))).toBeUndefined();
  expect(decodeVote(admit(accessesOf(1001)) as Uint8Array)).toEqual({ kind: "late" });
  service.close();
});

test("a transaction that is read in steps is the one that is read whole, and what cannot be read is refused alike", () => {
  const inSteps = (body: Uint8Array) => ({
    kind: "prepare" as const,
    transaction: finish(readPrepareInSteps(body, 2)),
  });
  const shown = (read: () => unknown) => {
    try {
      return read();
    } catch (error) {
      if (error instanceof WireError) return error.message;
      throw error;
    }
  };
  const body = encodeCommand({ kind: "prepare", transaction: transactionOf(1, accessesOf(5)) });
  expect(inSteps(body).transaction).toEqual(transactionOf(1, accessesOf(5).map((each) => ({ ...each, key: new Uint8Array(each.key) })))); // prettier-ignore
  const twins = encodeCommand({ kind: "prepare", transaction: transactionOf(1, [...accessesOf(3), ...accessesOf(1)]) }); // prettier-ignore
  expect(shown(() => inSteps(twins))).toBe("a transaction names a key twice");
  expect(shown(() => inSteps(Buffer.concat([body, Buffer.alloc(1)])))).toBe("1 bytes follow the last field");
  expect([isLongerThan(4, body), isLongerThan(5, body)]).toEqual([true, false]);
  for (let length = 0; length < body.byteLength; length++) {
    expect(shown(() => inSteps(body.slice(0, length)))).toBeString();
    // Whoever decides whether it is long reads only its beginning, and never past it.
    isLongerThan(4, body.slice(0, length));
  }
  const shard = new Shard(1);
  const broken = { session: 1, number: 1, body: twins };
  const steps = shard.service.apply({ op: 1, timeMs: 1, commands: [broken] });
  expect(Array.isArray(steps)).toBe(false);
  expect(finish(steps as Steps<Uint8Array[]>)).toEqual([Uint8Array.of(255)]);
  shard.service.close();
});

test("who waits for a transaction is let go when the whole entry is applied, not in the midst of it", async () => {
  const shard = new Shard(2);
  const key = Buffer.from("a");
  shard.run({ kind: "prepare", transaction: transactionOf(1, [{ key, reads: [], operations: add }]) });
  shard.run({ kind: "prepare", transaction: transactionOf(2, accessesOf(9)) });
  let seen: number[] | undefined;
  const reading = shard.read([key], 20).then((versions) => {
    seen = versions.map(({ start }) => start);
  });
  const steps = shard.begin(
    { kind: "decide", id: { client: 1, number: 1 }, timestamp: 5 },
    { kind: "decide", id: { client: 1, number: 2 }, timestamp: 6 },
  );
  if (Array.isArray(steps)) throw new Error("it was done at once");
  let rounds = 0;
  while (steps.next().done !== true) {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(seen).toBeUndefined();
    rounds += 1;
  }
  expect(rounds).toBeGreaterThan(5);
  await reading;
  expect(seen).toEqual([5]);
  shard.service.close();
});

test("a snapshot of 300,000 clients is begun and read in short steps, while they go on", () => {
  const { service } = new Shard();
  const { outcomes } = service.state;
  const CLIENTS = 300_000;
  for (let client = 0; client < CLIENTS; client++)
    outcomes.record({ id: { client, number: 1 }, timestamp: 5, isFinished: true, participants: [0] }, 1);
  const costs: number[] = [];
  const costed = <Result>(work: () => Result): Result => {
    const startMs = threadCpuMs();
    const result = work();
    costs.push(threadCpuMs() - startMs);
    return result;
  };
  const stream = costed(() => service.snapshot());
  const chunks = (stream.chunks as Iterable<Uint8Array>)[Symbol.iterator]();
  const copy = new ShardService();
  const restorer = copy.restore();
  for (let next = costed(() => chunks.next()); next.done !== true; next = costed(() => chunks.next())) {
    const { value } = next;
    costed(() => restorer.add(value));
    outcomes.settle(costs.length * 400, 2, 2);
  }
  stream.close();
  restorer.finish();
  demandPauses("snapshot, written and read", costs);
  for (const client of [0, 400, 1200, CLIENTS - 1])
    expect(copy.state.outcomes.get({ client, number: 1 })).toMatchObject({ timestamp: 5 });
  service.close();
  copy.close();
});

test("very many keys are read and validated in parts that a shard answers shortly, all of one timestamp", async () => {
  const COUNT = 2500;
  const shard = new Shard();
  shard.run({ kind: "prepare", transaction: transactionOf(1, accessesOf(COUNT)) });
  shard.run({ kind: "decide", id: { client: 1, number: 1 }, timestamp: 1 });
  let issued = 1;
  const asked: number[] = [];
  const group = {
    view: VIEW,
    command: async (body: Uint8Array) =>
      shard.service.admit({ session: 1, number: 1, body }, VIEW) as Uint8Array,
    async query(body: Uint8Array) {
      const query = decodeQuery(body);
      if (query.kind === "read") asked.push(query.keys.length);
      else if (query.kind === "validate") asked.push(query.transaction.accesses.length);
      return (await shard.service.query(body, VIEW)) as Uint8Array;
    },
  };
  const backend = new Backend([group], { next: async () => ++issued }, realClock);
  const keys = accessesOf(COUNT).map(({ key }) => key);
  const whole = await backend.read(keys, undefined);
  expect([asked, whole.versions.length]).toEqual([[1000, 1000, 500], COUNT]);
  expect(whole.versions.every(({ start }) => start === 1)).toBe(true);
  const reads = [{ part: wholePart, version: 1, wasPresent: true }];
  const accesses = keys.map((key) => ({ key, reads, operations: new Uint8Array(0) }));
  const rest = { id: { client: 1, number: 2 }, floor: 0, level: Level.strict, snapshot: 0 };
  asked.length = 0;
  expect(await backend.commit({ ...rest, accesses })).toMatchObject({ kind: "committed" });
  expect(asked).toEqual([1000, 1000, 500]);
  asked.length = 0;
  // One of the last part has changed.
  const last = accesses.map((access, place) =>
    place < 2400 ? access : { ...access, reads: [{ part: wholePart, version: 0, wasPresent: false }] },
  );
  expect(await backend.commit({ ...rest, accesses: last })).toMatchObject({
    kind: "refused",
    reason: "stale",
  });
  expect(asked).toEqual([1000, 1000, 500]);
  shard.service.close();
});

test("two keys are one when all their bytes are equal, among few keys and among many", () => {
  const keysOf = (count: number) =>
    Array.from({ length: count }, (_, byte) => Uint8Array.of(byte, 255 - byte));
  const read = (keys: Uint8Array[]) => {
    const writer = new ByteWriter();
    writeAccesses(
      writer,
      keys.map((key) => ({ key, reads: [], operations: add })),
    );
    return readAccesses(new ByteReader(writer.done())).length;
  };
  for (const count of [2, 8, 9, 256]) {
    const keys = keysOf(count);
    expect(read(keys)).toBe(count);
    expect(() => read([...keys, keys[1] as Uint8Array])).toThrow("names a key twice");
    expect(() => read([keys[count - 1] as Uint8Array, ...keys])).toThrow("names a key twice");
  }
});

test("a read in parts whose moment is forgotten between two of them is refused, not cut short", async () => {
  let parts = 0;
  const version = { start: 1, end: 9, type: ValueType.absent, value: new Uint8Array(0) };
  const group = {
    command: () => Promise.reject(new Error("nothing is committed")),
    async query(body: Uint8Array) {
      const query = decodeQuery(body);
      const count = query.kind === "read" && ++parts !== 2 ? query.keys.length : 0;
      return encodeReadReply({
        horizon: 7,
        position: 1,
        versions: Array<typeof version>(count).fill(version),
      });
    },
  };
  const backend = new Backend([group], { next: async () => 5 }, realClock);
  const keys = accessesOf(2500).map(({ key }) => key);
  const error = await backend.read(keys, 5).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TooOldError);
  expect(parts).toBe(2);
});
