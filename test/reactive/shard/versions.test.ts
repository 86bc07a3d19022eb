/** The store of versions against its model: any writes in any order, reads at any time, collecting, dumps, ranges. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Part, ValueType } from "../../../src/native/version-values.ts";
import { Versions, type VersionView } from "../../../src/native/versions.ts";
import {
  checkOperations,
  decodeOperations,
  decodeValue,
  elementPart,
  encodeOperations,
  encodeValue,
  fieldPart,
  indexPart,
  type Operation,
  wholePart,
} from "../../../src/reactive/shard/operations.ts";
import { VersionsModel } from "../../../src/reactive/shard/versions-model.ts";
import { ByteReader, compareBytes, WireError } from "../../../src/reactive/wire/bytes.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const word = fc.constantFrom("", "a", "ab", "b", "é", "long".repeat(30)).map(bytes);
const value = fc.oneof(
  word.map((each) => ({ type: "bytes" as const, bytes: each })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((count) => ({ type: "counter" as const, count })),
  fc.array(word, { maxLength: 4 }).map((elements) => ({ type: "list" as const, elements })),
  fc.array(word, { maxLength: 4 }).map((elements) => ({ type: "set" as const, elements })),
  fc.array(fc.tuple(word, word), { maxLength: 4 }).map((entries) => ({ type: "map" as const, entries })),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  value.map((each) => ({ kind: "put" as const, value: each })),
  { weight: 2, arbitrary: fc.constant({ kind: "delete" as const }) },
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((amount) => ({ kind: "add" as const, amount })),
  word.map((element) => ({ kind: "append" as const, element })),
  fc.record({ kind: fc.constant("setIndex" as const), index: fc.nat(4), element: word }),
  word.map((element) => ({ kind: "insert" as const, element })),
  word.map((element) => ({ kind: "remove" as const, element })),
  fc.record({ kind: fc.constant("mapSet" as const), field: word, value: word }),
  word.map((field) => ({ kind: "mapDelete" as const, field })),
);
const part: fc.Arbitrary<Part> = fc.oneof(
  fc.constant(wholePart),
  fc.nat(4).map(indexPart),
  word.map(elementPart),
  word.map(fieldPart),
);
const key = fc.constantFrom("k", "k1", "k2", "l").map(bytes);
/** From a little below the horizon, so that most of what is written and read is allowed. */
const timestamp = fc.integer({ min: -2, max: 10 });

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      key,
      timestamp,
      operations: fc.array(operation, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("read" as const), key, timestamp }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("changed" as const),
      key,
      part,
      timestamp,
      wasPresent: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("newest" as const), key }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("raise" as const), by: fc.integer({ min: -2, max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("collect" as const), keysMax: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reload" as const), chunkBytes: fc.nat(60) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("scan" as const),
      ...{ timestamp, from: key, to: fc.oneof(key, fc.constant(bytes(""))), after: fc.boolean() },
      ...{ count: fc.nat(3), bytesTarget: fc.constantFrom(0, 40, 1000) },
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Each> ? Each : never;

interface Scan {
  timestamp: number;
  from: Uint8Array;
  to: Uint8Array;
  after: boolean;
  count: number;
  bytesTarget: number;
}

interface Found extends VersionView {
  key: Uint8Array;
}

/** What a scan gives that goes on behind its last key as long as there is more; each part is within its limits. */
function scanAll(store: Versions, at: number, scan: Scan): Found[] {
  const { to, count, bytesTarget } = scan;
  const all: Found[] = [];
  let { from, after } = scan;
  for (let isMore = true; isMore;) {
    const part = store.scan(from, after, to, at, count + 1, bytesTarget);
    isMore = part.isMore;
    const reader = new ByteReader(part.entries);
    const lengths: number[] = [];
    while (reader.remaining > 0) {
      const before = reader.remaining;
      const [name, start, next] = [reader.ownBytes(), reader.u64(), reader.u64()];
      all.push({ key: name, start, next, type: reader.u8() as ValueType, value: reader.ownBytes() });
      lengths.push(before - reader.remaining);
    }
    expect(lengths.length).toBeLessThanOrEqual(count + 1);
    // Whatever reaches the target is the last one.
    const withoutLast = lengths.slice(0, -1).reduce((sum, length) => sum + length, 0);
    if (lengths.length > 1) expect(withoutLast).toBeLessThan(bytesTarget);
    if (isMore) expect(lengths.length).toBeGreaterThan(0);
    [from, after] = [all.at(-1)?.key ?? from, true];
  }
  return all;
}

class Pair {
  store = new Versions();
  readonly model = new VersionsModel();
  position = 0;
  horizon = 0;

  run(each: Step): void {
    const at = "timestamp" in each ? Math.max(1, this.horizon + each.timestamp) : 0;
    switch (each.do) {
      case "write": {
        const ops = encodeOperations(each.operations);
        this.position += 1;
        const result = this.store.write(each.key, at, this.position, ops);
        expect(result).toBe(this.model.write(each.key, at, this.position, ops));
        return;
      }
      case "read": {
        const seen = this.store.read(each.key, at);
        const copy = seen && { ...seen, value: new Uint8Array(seen.value) };
        expect(copy).toEqual(this.#plain(each.key, at));
        return;
      }
      case "changed": {
        const asked = [each.key, each.part, at, each.wasPresent] as const;
        expect(this.store.changed(...asked)).toBe(this.model.changed(...asked));
        return;
      }
      case "raise": {
        const wanted = Math.max(0, this.horizon + each.by);
        this.store.raiseHorizon(wanted);
        this.model.raiseHorizon(wanted);
        this.horizon = Math.max(this.horizon, wanted);
        return;
      }
      case "collect":
        // One step: whatever is collected or not, the model, which collects nothing, answers the same.
        this.store.collect(each.keysMax);
        return;
      case "reload":
        this.#reload(each.chunkBytes);
        return;
      case "scan": {
        const isIn = (name: Uint8Array) =>
          compareBytes(name, each.from) >= (each.after ? 1 : 0) &&
          (each.to.byteLength === 0 || compareBytes(name, each.to) < 0);
        const wanted = this.model.keys(at).filter(isIn);
        expect(scanAll(this.store, at, each)).toEqual(
          wanted.map((name) => ({ key: new Uint8Array(name), ...(this.#plain(name, at) as VersionView) })),
        );
        return;
      }
      case "newest":
        expect(this.store.newest(each.key)).toBe(this.model.newest(each.key));
    }
  }

  #plain(name: Uint8Array, at: number) {
    const view = this.model.read(name, at);
    return view && { ...view, value: new Uint8Array(view.value) };
  }

  /** What is left when all is collected; the model says how much that may be. */
  collectAll(): void {
    for (let rounds = 0; rounds < 3;) rounds += Number(this.store.collect(1));
    const { versions, keys } = this.store.stats();
    const { least, most } = this.model.left();
    expect(keys).toBe(this.model.traced());
    expect(versions).toBeGreaterThanOrEqual(least);
    expect(versions).toBeLessThanOrEqual(most);
  }

  /** Every key is deleted and forgotten: nothing of them is left, and nothing is counted. */
  forgetAll(): void {
    const at = this.horizon + 2000;
    const erase = encodeOperations([{ kind: "delete" }]);
    for (const name of this.model.names()) {
      this.store.write(name, at, this.position, erase);
      this.model.write(name, at, this.position, erase);
    }
    this.store.raiseHorizon(at);
    this.model.raiseHorizon(at);
    this.collectAll();
    expect(this.store.stats()).toMatchObject({ keys: 0, versions: 0, memoryBytes: 0 });
    for (const name of this.model.names()) expect(this.store.newest(name)).toBe(0);
  }

  /**
   * Replaces the store by one made of its dump, which must not show what is written while it is taken. Where the horizon is
   * known beforehand, the copy may think that all was collected already.
   */
  #reload(chunkBytes: number): void {
    const copy = new Versions();
    if (chunkBytes % 2 === 0) copy.raiseHorizon(this.horizon);
    copy.collect(1);
    const late = encodeOperations([{ kind: "append", element: bytes("late") }]);
    let lateAt = 1000;
    const dump = this.store.dump(this.position, chunkBytes);
    for (const chunk of dump.chunks) {
      expect(copy.load(chunk)).toBe(true);
      expect(this.store.write(bytes("k1"), lateAt++, this.position + 1, late)).toBe("written");
      expect(this.store.collect(100)).toBe(true);
    }
    dump.close();
    copy.raiseHorizon(this.horizon);
    this.store.close();
    this.store = copy;
  }
}

test("does what its model does, whatever is written, read, collected and reloaded", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const pair = new Pair();
      try {
        for (const each of steps) pair.run(each);
        pair.collectAll();
        pair.forgetAll();
      } finally {
        pair.store.close();
      }
    }),
    { numRuns: 400 },
  );
});

const opsOf = (...operations: Operation[]) => encodeOperations(operations);

test("refuses to write what a deleted key had before the horizon, when the delete itself came too late", () => {
  const store = new Versions();
  const model = new VersionsModel();
  store.raiseHorizon(2);
  model.raiseHorizon(2);
  for (const [at, operation] of [
    [2, { kind: "mapDelete", field: bytes("") }],
    [1, { kind: "insert", element: bytes("") }],
  ] as [number, Operation][]) {
    store.collect(4);
    expect(store.write(bytes("l"), at, 1, opsOf(operation))).toBe("stale");
    expect(model.write(bytes("l"), at, 1, opsOf(operation))).toBe("stale");
  }
  expect(store.read(bytes("l"), 2)).toMatchObject({ start: 0, next: 0, type: ValueType.absent });
  expect(store.stats().keys).toBe(0);
  store.close();
});

test("refuses a write at or below the horizon, of a key that is there, was collected or never was", () => {
  const store = new Versions();
  store.write(bytes("kept"), 1, 1, opsOf({ kind: "insert", element: bytes("") }));
  store.write(bytes("gone"), 2, 2, opsOf({ kind: "delete" }));
  store.raiseHorizon(2);
  const names = ["kept", "gone", "other"].map(bytes);
  const late = opsOf({ kind: "mapDelete", field: bytes("") });
  const refused = () => names.flatMap((name) => [1, 2].map((at) => store.write(name, at, 3, late)));
  expect(refused()).toEqual(Array(6).fill("stale"));
  while (!store.collect(1)) expect(refused()).toEqual(Array(6).fill("stale"));
  expect(refused()).toEqual(Array(6).fill("stale"));
  expect(store.stats()).toMatchObject({ keys: 1, versions: 1, removedKeys: 1 });
  expect(names.map((name) => store.write(name, 3, 3, late))).toEqual(["written", "written", "written"]);
  store.close();
});

test("the horizon is the same in a copy made of a dump, and does not go back", () => {
  const store = new Versions();
  const copy = new Versions();
  const late = opsOf({ kind: "insert", element: bytes("") });
  store.write(bytes("k"), 2, 1, late);
  store.raiseHorizon(5);
  store.raiseHorizon(3);
  for (const chunk of store.dump(1, 1000).chunks) expect(copy.load(chunk)).toBe(true);
  copy.raiseHorizon(5);
  for (const each of [store, copy]) {
    expect(each.write(bytes("l"), 5, 2, late)).toBe("stale");
    expect(each.read(bytes("k"), 4)).toBeUndefined();
    expect(each.read(bytes("k"), 5)?.start).toBe(2);
    each.close();
  }
});

test("a copy that was not told the horizon does not read below what was collected", () => {
  const store = new Versions();
  const copy = new Versions();
  store.write(bytes("k"), 2, 1, opsOf({ kind: "append", element: bytes("a") }));
  store.raiseHorizon(5);
  store.collect(10);
  for (const chunk of store.dump(1, 1000).chunks) expect(copy.load(chunk)).toBe(true);
  expect(copy.read(bytes("k"), 1)).toBeUndefined();
  expect(copy.read(bytes("k"), 2)?.start).toBe(2);
  store.close();
  copy.close();
});

test("a key that was deleted before the horizon and made again answers alike, collected or not", () => {
  const field = (name: string): Operation => ({ kind: "mapSet", field: bytes(name), value: bytes("1") });
  const answers = [true, false].map((isCollected) => {
    const store = new Versions();
    store.write(bytes("k"), 1, 1, opsOf(field("a")));
    store.write(bytes("k"), 2, 2, opsOf({ kind: "delete" }));
    store.raiseHorizon(3);
    if (isCollected) store.collect(10);
    store.write(bytes("k"), 4, 3, opsOf(field("b")));
    const changed = [0, 1, 2, 4].flatMap((since) =>
      [true, false].map((wasPresent) => store.changed(bytes("k"), fieldPart(bytes("a")), since, wasPresent)),
    );
    const start = store.read(bytes("k"), 3)?.start;
    store.close();
    return { changed, start };
  });
  expect(answers[0]).toEqual(answers[1] as (typeof answers)[number]);
  // Who saw the field before it was deleted is told; who saw no key is not.
  expect(answers[0]?.changed.slice(2, 4)).toEqual([true, false]);
});

test("gives the same value whatever order the versions arrive in", () => {
  fc.assert(
    fc.property(
      fc.array(operation, { minLength: 2, maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      (operations, coin) => {
        const straight = new Versions();
        const shuffled = new Versions();
        const writes = operations.map((each, index) => ({ at: index + 1, ops: encodeOperations([each]) }));
        for (const { at, ops } of writes) straight.write(bytes("k"), at, at, ops);
        const order = writes.map((write) => ({ write, place: coin.next().value as number }));
        for (const { write } of order.sort((a, b) => a.place - b.place)) {
          shuffled.write(bytes("k"), write.at, write.at, write.ops);
          shuffled.read(bytes("k"), 100);
        }
        for (let at = 1; at <= writes.length; at++) {
          const wanted = new Uint8Array(straight.read(bytes("k"), at)?.value ?? bytes("stale"));
          expect(new Uint8Array(shuffled.read(bytes("k"), at)?.value ?? bytes("stale"))).toEqual(wanted);
        }
        straight.close();
        shuffled.close();
      },
    ),
  );
});

test("operations can be read where all of them are, whatever is done to their bytes", () => {
  const isRead = (read: (bytes: Uint8Array) => unknown, encoded: Uint8Array) => {
    try {
      read(encoded);
      return true;
    } catch (error) {
      if (error instanceof WireError) return false;
      throw error;
    }
  };
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 3 }), changes, fc.nat(8), (operations, changed, cut) => {
      const whole = encodeOperations(operations);
      for (const [place, byte] of changed) if (whole.byteLength > 0) whole[place % whole.byteLength] = byte;
      const encoded = whole.slice(0, Math.max(0, whole.byteLength - Math.max(0, cut - 4)));
      expect(isRead(checkOperations, encoded)).toBe(isRead(decodeOperations, encoded));
    }),
    { numRuns: 2000 },
  );
});

test("operations and values survive their encoding", () => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 5 }), (operations) => {
      const encoded = encodeOperations(operations);
      expect(encodeOperations(decodeOperations(encoded))).toEqual(encoded);
    }),
  );
  fc.assert(
    fc.property(value, (each) => {
      const encoded = encodeValue(each);
      expect(encodeValue(decodeValue(ValueType[each.type], encoded))).toEqual(encoded);
    }),
  );
});

test("a read a little below the newest of a long chain does not fold the whole chain each time", () => {
  const store = new Versions();
  const add = encodeOperations([{ kind: "add", amount: 1n }]);
  const versions = 50_000;
  for (let at = 1; at <= versions; at++) store.write(bytes("hot"), at, at, add);
  for (let at = versions - 100; at <= versions; at++) {
    const view = store.read(bytes("hot"), at);
    expect(decodeValue(ValueType.counter, view?.value as Uint8Array)).toEqual({
      type: "counter",
      count: BigInt(at),
    });
  }
  // Values are kept where folds were long, not with every version.
  expect(store.stats().memoryBytes).toBeLessThan(versions * 80);
  store.close();
});

test.each([
  ["a list that says it is longer than it is", Uint8Array.of(1, 3, 4, 0, 0, 0, 9, 0, 0, 0)],
  [
    "a set out of order",
    encodeOperations([{ kind: "put", value: { type: "bytes", bytes: bytes("x") } }]).with(1, 4),
  ],
  ["an unknown operation", Uint8Array.of(10)],
  ["an operation that ends early", Uint8Array.of(4, 255, 255, 255, 255, 1)],
])("a dump with %s is refused", (_claim, ops) => {
  const store = new Versions();
  const chunk = Buffer.alloc(4 + 1 + 4 + 17 + 4 + ops.byteLength);
  chunk.writeUInt32LE(1, 0);
  chunk.write("k", 4);
  chunk.writeUInt32LE(1, 5);
  chunk.writeUInt32LE(1, 9);
  chunk.writeUInt32LE(ops.byteLength, 26);
  chunk.set(ops, 30);
  expect(store.load(chunk)).toBe(false);
  store.close();
});

test("a dump whose store is closed before its end fails: half of it would pass for the whole", () => {
  const store = new Versions();
  for (const [index, key] of ["a", "b", "c"].entries())
    store.write(
      bytes(key),
      2 + index,
      1 + index,
      opsOf({ kind: "append", element: bytes("x".repeat(2000)) }),
    );
  const dump = store.dump(3, 1000);
  const chunks = dump.chunks[Symbol.iterator]();
  expect(chunks.next().done).toBe(false);
  store.close();
  expect(() => chunks.next()).toThrow("before its end");
  dump.close();
});

test("a dump that was damaged or cut is taken or refused, and what took it goes on", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30, size: "max" }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (steps, place, flip) => {
        const pair = new Pair();
        for (const each of steps) pair.run(each);
        const [whole = bytes("")] = [...pair.store.dump(pair.position, 1 << 20).chunks];
        pair.store.close();
        if (whole.byteLength === 0) return;
        const at = place % whole.byteLength;
        const cut = whole.slice(0, at);
        const damaged = whole.with(at, (whole[at] as number) ^ flip);
        for (const chunk of [cut, damaged]) {
          const copy = new Versions();
          const isTaken = copy.load(chunk);
          // Keys end where others begin: only there a dump may be cut.
          if (chunk === cut && isTaken && at > 0) expect(copy.stats().keys).toBeGreaterThan(0);
          for (const name of pair.model.names()) expect(copy.newest(name)).toBeGreaterThanOrEqual(0);
          while (!copy.collect(1));
          copy.close();
        }
      },
    ),
    { numRuns: 300 },
  );
});
