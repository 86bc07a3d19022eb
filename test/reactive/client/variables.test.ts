/**
 * S3: every data type against a model of plain JavaScript values, any operations in any transactions; and the values that the
 * original lost.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { z } from "zod";
import { type Execution, startExecution, type Version } from "../../../src/reactive/client/execution.ts";
import type { Writer } from "../../../src/reactive/client/transaction-handle.ts";
import { asBoolean, asLong, asText, toUtf8 } from "../../../src/reactive/client/types/encodings.ts";
import { list, type ListVariable } from "../../../src/reactive/client/types/list.ts";
import { map, type MapVariable } from "../../../src/reactive/client/types/map.ts";
import { object } from "../../../src/reactive/client/types/object.ts";
import { set, type SetVariable } from "../../../src/reactive/client/types/set.ts";
import {
  boolean,
  bytes,
  counter,
  type CounterVariable,
  document,
  id,
  long,
  text,
} from "../../../src/reactive/client/types/single.ts";
import { applyOperation } from "../../../src/reactive/shard/apply.ts";
import { canonicalValue, decodeOperations, type Value } from "../../../src/reactive/shard/operations.ts";
import { compareBytes } from "../../../src/reactive/wire/bytes.ts";

setDefaultTimeout(120_000);

/** A store of one shard and one client, which commits everything. What is written goes through its bytes. */
class PlainStore {
  readonly values = new Map<string, Value>();
  #timestamp = 0;

  version = (key: string): Version => ({
    start: this.#timestamp,
    end: this.#timestamp,
    value: this.values.get(key) ?? { type: "absent" },
  });

  start(): Execution {
    let names = 0;
    return startExecution({
      load: (keys) => Promise.resolve(keys.map(this.version)),
      uniqueName: () => `name ${names++}`,
    });
  }

  commit(execution: Execution): void {
    this.#timestamp += 1;
    for (const { key, operations } of execution.accesses()) {
      if (operations.byteLength === 0) continue;
      const name = new TextDecoder().decode(key);
      const before: Value = this.values.get(name) ?? { type: "absent" };
      this.values.set(name, canonicalValue(decodeOperations(operations).reduce(applyOperation, before)));
    }
    execution.close();
  }

  async run<T>(code: (transaction: Writer) => Promise<T> | T): Promise<T> {
    const execution = this.start();
    const result = await code(execution);
    this.commit(execution);
    return result;
  }
}

/** What each type is tested with: a step changes the variable and its model, `check` compares them. */
interface Step {
  isCommitAfter: boolean;
  run(transaction: Writer): Promise<void> | void;
}

const names = ["", "a", "b", "line\nbreak", "é", "\u{1f600}", "a\0b", "long ".repeat(50)];
const name = fc.constantFrom(...names);
const byBytes = (one: string, other: string) => compareBytes(toUtf8(one), toUtf8(other));

async function follow(steps: Step[], check: (transaction: Writer) => Promise<void>): Promise<void> {
  const store = new PlainStore();
  let execution = store.start();
  for (const step of steps) {
    await step.run(execution);
    await check(execution);
    if (!step.isCommitAfter) continue;
    store.commit(execution);
    execution = store.start();
    await check(execution);
  }
}

type Commands<Of> = fc.Arbitrary<{ isCommitAfter: boolean; change: Of }>;
const commands = <Of>(change: fc.Arbitrary<Of>): fc.Arbitrary<{ isCommitAfter: boolean; change: Of }[]> =>
  fc.array(fc.record({ isCommitAfter: fc.boolean(), change }) as Commands<Of>, { maxLength: 40 });
const runs = { numRuns: 100 };

describe("S3: against a model", () => {
  test("counters", () => {
    const change = fc.oneof(
      fc.record({
        kind: fc.constant("add" as const),
        amount: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
      fc.record({ kind: fc.constant("set" as const), amount: fc.bigInt({ min: -5n, max: 5n }) }),
      fc.record({ kind: fc.constant("delete" as const), amount: fc.constant(0n) }),
    );
    return fc.assert(
      fc.asyncProperty(commands(change), async (given) => {
        const variable: CounterVariable = counter("k");
        let model = 0n;
        const steps = given.map(({ isCommitAfter, change: { kind, amount } }) => ({
          isCommitAfter,
          run(transaction: Writer) {
            if (kind === "add") variable.add(transaction, amount);
            else if (kind === "set") variable.set(transaction, amount);
            else variable.delete(transaction);
            model = BigInt.asIntN(64, kind === "add" ? model + amount : amount);
          },
        }));
        await follow(steps, async (transaction) => {
          expect(await variable.value(transaction)).toBe(model);
        });
      }),
      runs,
    );
  });

  test("lists", () => {
    const index = fc.nat(5);
    const change = fc.oneof(
      fc.tuple(fc.constant("append" as const), name, index),
      fc.tuple(fc.constant("set" as const), name, index),
      fc.tuple(fc.constant("insert" as const), name, index),
      fc.tuple(fc.constant("erase" as const), name, index),
      fc.tuple(fc.constant("remove" as const), name, index),
      fc.tuple(fc.constant("clear" as const), name, index),
      fc.tuple(fc.constant("delete" as const), name, index),
    );
    return fc.assert(
      fc.asyncProperty(commands(change), async (given) => {
        const variable: ListVariable<string> = list("k");
        let model: string[] = [];
        const steps = given.map(({ isCommitAfter, change: [kind, item, at] }) => ({
          isCommitAfter,
          async run(transaction: Writer) {
            const isBeyond = kind === "insert" ? at > model.length : at >= model.length;
            if (["set", "insert", "erase"].includes(kind) && isBeyond) {
              const attempt = variable[kind as "set"](transaction, at, item);
              expect(await attempt.catch((error: unknown) => error)).toBeInstanceOf(RangeError);
              return;
            }
            if (kind === "append") variable.append(transaction, item);
            else if (kind === "set" || kind === "insert") await variable[kind](transaction, at, item);
            else if (kind === "erase") await variable.erase(transaction, at);
            else if (kind === "remove")
              expect(await variable.remove(transaction, item)).toBe(model.includes(item));
            else variable[kind](transaction);
            if (kind === "append") model.push(item);
            else if (kind === "set") model[at] = item;
            else if (kind === "insert") model.splice(at, 0, item);
            else if (kind === "erase") model.splice(at, 1);
            else if (kind === "remove")
              model = model.toSpliced(Math.max(model.indexOf(item), 0), model.includes(item) ? 1 : 0);
            else model = [];
          },
        }));
        await follow(steps, async (transaction) => {
          expect(await variable.value(transaction)).toEqual(model);
          expect(await variable.size(transaction)).toBe(model.length);
          expect(await variable.at(transaction, 2)).toBe(model[2] as string);
          expect(await variable.indexOf(transaction, "b")).toBe(model.indexOf("b"));
        });
      }),
      runs,
    );
  });

  test("sets", () => {
    const change = fc.tuple(
      fc.constantFrom("add", "remove", "clear", "delete", "replace"),
      fc.array(name, { maxLength: 3 }),
    );
    return fc.assert(
      fc.asyncProperty(commands(change), async (given) => {
        const variable: SetVariable<string> = set("k");
        let model = new Set<string>();
        const steps = given.map(({ isCommitAfter, change: [kind, items] }) => ({
          isCommitAfter,
          run(transaction: Writer) {
            if (kind === "add") variable.add(transaction, ...items);
            else if (kind === "remove") for (const item of items) variable.remove(transaction, item);
            else if (kind === "replace") variable.replace(transaction, items);
            else variable[kind as "clear"](transaction);
            if (kind === "add") for (const item of items) model.add(item);
            else if (kind === "remove") for (const item of items) model.delete(item);
            else model = new Set(kind === "replace" ? items : []);
          },
        }));
        await follow(steps, async (transaction) => {
          expect(await variable.value(transaction)).toEqual([...model].sort(byBytes));
          expect(await variable.size(transaction)).toBe(model.size);
          expect(await variable.has(transaction, "")).toBe(model.has(""));
        });
      }),
      runs,
    );
  });

  test("maps", () => {
    const change = fc.tuple(fc.constantFrom("set", "remove", "clear", "delete", "replace"), name, name);
    return fc.assert(
      fc.asyncProperty(commands(change), async (given) => {
        const variable: MapVariable<string> = map("k");
        let model = new Map<string, string>();
        const steps = given.map(({ isCommitAfter, change: [kind, field, item] }) => ({
          isCommitAfter,
          run(transaction: Writer) {
            if (kind === "set") variable.set(transaction, field, item);
            else if (kind === "remove") variable.remove(transaction, field);
            else if (kind === "replace") variable.replace(transaction, [[field, item]]);
            else variable[kind as "clear"](transaction);
            if (kind === "set") model.set(field, item);
            else if (kind === "remove") model.delete(field);
            else model = new Map(kind === "replace" ? [[field, item]] : []);
          },
        }));
        await follow(steps, async (transaction) => {
          expect([...(await variable.value(transaction))]).toEqual(
            [...model].sort(([one], [other]) => byBytes(one, other)),
          );
          expect(await variable.size(transaction)).toBe(model.size);
          expect(await variable.get(transaction, "a")).toBe(model.get("a") as string);
          expect(await variable.has(transaction, "b")).toBe(model.has("b"));
        });
      }),
      runs,
    );
  });
});

describe("S3: values", () => {
  test("what nobody set is empty", async () => {
    await new PlainStore().run(async (transaction) => {
      expect(await text("k").value(transaction)).toBe("");
      expect(await long("k").value(transaction)).toBe(0n);
      expect(await counter("k").value(transaction)).toBe(0n);
      expect(await boolean("k").value(transaction)).toBe(false);
      expect(await id("k").value(transaction)).toBe("");
      expect(await bytes("k").value(transaction)).toBeUndefined();
      expect(await list("k").value(transaction)).toEqual([]);
      expect(await set("k").value(transaction)).toEqual([]);
      expect((await map("k").value(transaction)).size).toBe(0);
    });
  });

  test("every single value comes back as it was set", async () => {
    const store = new PlainStore();
    const unicode = fc.string({ unit: "grapheme" });
    await fc.assert(
      fc.asyncProperty(
        unicode,
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
        fc.boolean(),
        fc.uint8Array(),
        async (words, integer, isTrue, raw) => {
          await store.run((transaction) => {
            text("text").set(transaction, words);
            long("long").set(transaction, integer);
            boolean("boolean").set(transaction, isTrue);
            bytes("bytes").set(transaction, raw);
          });
          await store.run(async (transaction) => {
            expect(await text("text").value(transaction)).toBe(words);
            expect(await long("long").value(transaction)).toBe(integer);
            expect(await boolean("boolean").value(transaction)).toBe(isTrue);
            expect(await bytes("bytes").value(transaction)).toEqual(raw);
          });
        },
      ),
      runs,
    );
  });

  test("integers end at 64 bits with an error, counters wrap", async () => {
    const store = new PlainStore();
    await store.run(async (transaction) => {
      const stamp = long("stamp");
      stamp.set(transaction, 2n ** 64n - 1n);
      expect(await stamp.add(transaction, 1n).catch((error: unknown) => error)).toBeInstanceOf(RangeError);
      const clicks = counter("clicks");
      clicks.set(transaction, 2n ** 63n - 1n);
      clicks.increment(transaction);
      expect(await clicks.value(transaction)).toBe(-(2n ** 63n));
      expect(() => clicks.add(transaction, 2n ** 63n)).toThrow(RangeError);
    });
  });

  test("a variable of another type is told, with its key", async () => {
    const store = new PlainStore();
    await store.run((transaction) => {
      counter("n").increment(transaction);
      text("words").set(transaction, "not digits");
      list("mixed").append(transaction, "1", "two");
    });
    await store.run(async (transaction) => {
      const complaint = (attempt: Promise<unknown>) => attempt.then(String, (error: Error) => error.message);
      expect(await complaint(text("n").value(transaction))).toBe(
        '"n" holds a counter, and it is used as bytes',
      );
      expect(await complaint(long("words").value(transaction))).toStartWith('"words" holds something else');
      expect(await complaint(list("mixed", asLong).value(transaction))).toStartWith('"mixed" holds');
      expect(await complaint(set("mixed").value(transaction))).toContain("used as a set");
    });
  });

  test("half of a surrogate pair, an empty key and a key that is too long are refused", async () => {
    await new PlainStore().run((transaction) => {
      expect(() => text("k").set(transaction, "\ud800")).toThrow("surrogate");
      expect(() => text("")).toThrow("a key has");
      expect(() => text("k".repeat(30_000))).toThrow("a key has");
    });
  });

  test("lists of integers and booleans, ids and documents", async () => {
    const store = new PlainStore();
    const player = z.strictObject({ name: z.string(), points: z.int() });
    await store.run(async (transaction) => {
      list("longs", asLong).append(transaction, 1n, -(2n ** 63n));
      list("booleans", asBoolean).append(transaction, true, false);
      set("numbers", asLong).add(transaction, 10n, 9n, 10n);
      map("flags", asBoolean).set(transaction, "on", true);
      document("player", player).set(transaction, { name: "Ada", points: 3 });
      expect(id("id").generate(transaction)).not.toBe(id("other").generate(transaction));
    });
    await store.run(async (transaction) => {
      expect(await list("longs", asLong).value(transaction)).toEqual([1n, -(2n ** 63n)]);
      expect(await list("booleans", asBoolean).value(transaction)).toEqual([true, false]);
      expect(await set("numbers", asLong).value(transaction)).toEqual([10n, 9n]);
      expect(await map("flags", asBoolean).get(transaction, "on")).toBe(true);
      expect(await document("player", player).value(transaction)).toEqual({ name: "Ada", points: 3 });
      expect(() => document("player", player).set(transaction, { name: "Ada", points: 0.5 })).toThrow();
    });
  });

  test("the fields of an object are variables of their own", async () => {
    const store = new PlainStore();
    const game = object("100game", { players: list, score: counter, wins: (key) => map(key, asLong) });
    await store.run((transaction) => {
      game.players.append(transaction, "Ada");
      game.score.add(transaction, 7);
      game.wins.set(transaction, "Ada", 2n);
    });
    expect([...store.values.keys()]).toEqual(["100game:players", "100game:score", "100game:wins"]);
    await store.run(async (transaction) => {
      expect(await game.score.value(transaction)).toBe(7n);
      expect(await game.wins.get(transaction, "Ada")).toBe(2n);
      expect(await list("100game:players", asText).value(transaction)).toEqual(["Ada"]);
    });
  });
});

describe("what a transaction is checked for", () => {
  const partsOf = (execution: Execution) =>
    execution.accesses().map(({ key, reads, operations }) => ({
      key: new TextDecoder().decode(key),
      parts: reads.map(({ part }) => part.kind),
      isWritten: operations.byteLength > 0,
    }));

  test("blind changes read nothing, and who sets a value first does not read it", async () => {
    const execution = new PlainStore().start();
    counter("n").increment(execution);
    list("l").append(execution, "x");
    text("t").set(execution, "new");
    expect(await text("t").value(execution)).toBe("new");
    expect(partsOf(execution)).toEqual([
      { key: "n", parts: [], isWritten: true },
      { key: "l", parts: [], isWritten: true },
      { key: "t", parts: [], isWritten: true },
    ]);
  });

  test("an element, a field and an index are read alone; the whole includes them", async () => {
    const store = new PlainStore();
    await store.run((transaction) => list("l").append(transaction, "x"));
    const execution = store.start();
    await set("s").has(execution, "x");
    await set("s").has(execution, "y");
    await map("m").get(execution, "f");
    await list("l").at(execution, 0);
    await counter("n").value(execution);
    await set("s2").has(execution, "x");
    await set("s2").value(execution);
    expect(partsOf(execution).map(({ parts }) => parts)).toEqual([[2, 2], [3], [1], [0], [0]]);
  });

  test("keys asked for in one turn are fetched together, each once", async () => {
    const asked: string[][] = [];
    const execution = startExecution({
      load: async (keys) => {
        asked.push(keys);
        return keys.map(() => ({ start: 0, end: 1, value: { type: "absent" } as const }));
      },
      uniqueName: () => "",
    });
    await Promise.all([text("a").value(execution), text("b").value(execution), text("a").value(execution)]);
    await text("a").value(execution);
    expect(asked).toEqual([["a", "b"]]);
  });

  test("a handle cannot be used when its transaction is over, and a read-only one cannot write", async () => {
    const execution = new PlainStore().start();
    execution.close();
    expect(() => counter("n").increment(execution)).toThrow("over");
    const readOnly = startExecution({ load: async () => [], uniqueName: () => "", isReadOnly: true });
    expect(() => counter("n").increment(readOnly)).toThrow("read-only");
  });
});
