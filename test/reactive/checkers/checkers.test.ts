/** Checkers that cannot fail prove nothing: each finds every anomaly that it claims to find, and accepts what is right. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { checkLists, type ListOperation } from "./append-lists.ts";
import { checkTransactions, type Transaction, type TransactionStep } from "./elle.ts";
import { isLinearizable, registerModel, type Model, type Operation } from "./linearizable.ts";

describe("linearizability of any model", () => {
  const write = (value: number, invokedAt: number, returnedAt: number) => ({
    input: { write: value },
    output: 0,
    invokedAt,
    returnedAt,
  });
  const read = (output: number, invokedAt: number, returnedAt: number) => ({
    input: "read" as const,
    output,
    invokedAt,
    returnedAt,
  });

  test("accepts what one order explains", () => {
    expect(
      isLinearizable([write(1, 0, 10), read(0, 1, 2), read(1, 3, 4), read(1, 11, 12)], registerModel),
    ).toBe(true);
    // A write that never returned may have happened, or not.
    const lost = { input: { write: 7 }, output: undefined, invokedAt: 0, returnedAt: Infinity };
    expect(isLinearizable([lost, read(7, 5, 6)], registerModel)).toBe(true);
    expect(isLinearizable([lost, read(0, 5, 6)], registerModel)).toBe(true);
  });

  test("refuses a stale read, a value that goes away again and a value from nowhere", () => {
    expect(isLinearizable([write(1, 0, 1), read(0, 2, 3)], registerModel)).toBe(false);
    expect(isLinearizable([write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)], registerModel)).toBe(false);
    expect(isLinearizable([write(1, 0, 1), read(2, 2, 3)], registerModel)).toBe(false);
  });
});

describe("lists by positions", () => {
  /** A list as a model for the general search. */
  const listModel: Model<readonly number[], number, readonly number[]> = {
    initial: [],
    step(state, value, output) {
      const next = value === 0 ? state : [...state, value];
      return output === undefined || output.join() === next.join() ? next : undefined;
    },
    keyOf: (state) => state.join(),
  };

  /** A random run of clients against a real list, with times around the moments at which things happened. */
  function randomHistory(seed: number): { history: ListOperation[]; final: number[] } {
    const random = seededRandom(seed);
    const final: number[] = [];
    const history = Array.from({ length: 12 }, (_, at): ListOperation => {
      const value = random.integer(2) === 0 ? at + 1 : 0;
      if (value > 0) final.push(value);
      const moment = at * 10;
      return {
        client: `c${at % 3}`,
        key: 1,
        value,
        invokedAt: moment - random.integer(25),
        returnedAt: moment + random.integer(25),
        list: [...final],
      };
    });
    return { history, final };
  }

  /** One defect: a read of an older list, a value twice, a lost value, or two times exchanged. */
  function corrupted(history: ListOperation[], seed: number): ListOperation[] {
    const random = seededRandom(seed);
    const at = random.integer(history.length);
    return history.map((operation, index) => {
      if (index !== at || operation.list === undefined) return operation;
      const shorter = operation.list.slice(0, random.integer(operation.list.length + 1));
      return { ...operation, list: shorter };
    });
  }

  test("agrees with the general search on right and on damaged histories", () => {
    let refused = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const right = randomHistory(seed);
      expect(checkLists(right.history, new Map([[1, right.final]]))).toEqual([]);
      const wrong = corrupted(right.history, seed);
      // Behind everything a read that shows the final list, so that both judge the same.
      const last = { client: "z", key: 1, value: 0, invokedAt: 9000, returnedAt: 9001, list: right.final };
      const operations = [...wrong, last].map(
        ({ value, list, invokedAt, returnedAt }): Operation<number, readonly number[]> => ({
          input: value,
          output: list,
          invokedAt,
          returnedAt,
        }),
      );
      const isRight = isLinearizable(operations, listModel);
      const problems = checkLists([...wrong, last], new Map([[1, right.final]]));
      expect({ seed, isRight }).toEqual({ seed, isRight: problems.length === 0 });
      if (!isRight) refused++;
    }
    expect(refused).toBeGreaterThan(50);
  });

  test("notices a lost value, one that came twice and one that nobody appended", () => {
    const append = { client: "a", key: 1, value: 5, invokedAt: 0, returnedAt: 1, list: [5] };
    expect(checkLists([append], new Map([[1, [5]]]))).toEqual([]);
    expect(checkLists([append], new Map([[1, []]])).join()).toContain("acknowledged value is lost");
    expect(checkLists([append], new Map([[1, [5, 5]]])).join()).toContain("twice");
    expect(checkLists([append], new Map([[1, [5, 6]]])).join()).toContain("nobody appended 6");
  });
});

describe("anomalies of transactions", () => {
  const append = (key: string, value: number): TransactionStep => ({ append: value, key });
  const read = (key: string, ...list: number[]): TransactionStep => ({ read: list, key });
  let clock = 0;
  /** Transactions that all overlap, unless times are given. */
  const transaction = (
    name: string,
    steps: TransactionStep[],
    more: Partial<Transaction> = {},
  ): Transaction => ({
    name,
    steps,
    outcome: "committed",
    invokedAt: clock++,
    returnedAt: 1000 + clock++,
    ...more,
  });
  const kindsOf = (history: Transaction[], isStrict = false) => [
    ...new Set(checkTransactions(history, { isStrict }).map(({ kind }) => kind)),
  ];

  const samples: [kind: string, history: () => Transaction[]][] = [
    ["G0", () => [
      transaction("a", [append("x", 1), append("y", 1)]),
      transaction("b", [append("x", 2), append("y", 2)]),
      transaction("r", [read("x", 1, 2), read("y", 2, 1)]),
    ]],
    ["G1a", () => [transaction("a", [append("x", 1)], { outcome: "aborted" }), transaction("b", [read("x", 1)])]],
    ["G1b", () => [transaction("a", [append("x", 1), append("x", 2)]), transaction("b", [read("x", 1)]), transaction("c", [read("x", 1, 2)])]],
    ["G1c", () => [
      transaction("a", [append("x", 1), read("y", 2)]),
      transaction("b", [append("y", 2), read("x", 1)]),
    ]],
    ["G-single", () => [
      transaction("a", [append("x", 1), append("y", 1)]),
      transaction("b", [read("x"), read("y", 1)]),
      transaction("c", [read("x", 1)]),
    ]],
    ["G2-item", () => [
      transaction("a", [read("x"), append("y", 1)]),
      transaction("b", [read("y"), append("x", 1)]),
      transaction("c", [read("x", 1), read("y", 1)]),
    ]],
    ["lost update", () => [
      transaction("a", [append("x", 1)], { invokedAt: 0, returnedAt: 1 }),
      transaction("b", [read("x")], { invokedAt: 2, returnedAt: 3 }),
    ]],
    ["internal", () => [transaction("a", [append("x", 1), read("x")])]],
    ["garbage", () => [transaction("a", [read("x", 9)])]],
    ["duplicate", () => [transaction("a", [append("x", 1)]), transaction("b", [read("x", 1, 1)])]],
    ["incompatible order", () => [
      transaction("a", [append("x", 1)]),
      transaction("b", [append("x", 2)]),
      transaction("c", [read("x", 1, 2)]),
      transaction("d", [read("x", 2)]),
    ]],
  ]; // prettier-ignore

  test.each(samples)("%s is found", (kind, history) => {
    expect(kindsOf(history())).toContain(kind);
  });

  test("a stale read is found when real time counts, and only then", () => {
    const history = [
      transaction("a", [append("x", 1)], { invokedAt: 0, returnedAt: 1 }),
      transaction("b", [read("x")], { invokedAt: 5, returnedAt: 6 }),
      transaction("c", [read("x", 1)], { invokedAt: 3, returnedAt: 4 }),
    ];
    expect(kindsOf(history)).toEqual([]);
    expect(kindsOf(history, true)).toEqual(["G-single-realtime"]);
  });

  /** Transactions that really ran one after the other, with overlapping times around that. */
  function serial(seed: number): Transaction[] {
    const random = seededRandom(seed);
    const lists = new Map<string, number[]>();
    let value = 1;
    return Array.from({ length: 30 }, (_, at) => {
      const steps = Array.from({ length: 1 + random.integer(4) }, (): TransactionStep => {
        const key = "xyz"[random.integer(3)] as string;
        const list = lists.get(key) ?? [];
        lists.set(key, list);
        if (random.integer(2) === 0) return read(key, ...list);
        list.push(value);
        return append(key, value++);
      });
      const moment = at * 10;
      return transaction(`t${at}`, steps, {
        invokedAt: moment - random.integer(25),
        returnedAt: moment + random.integer(25),
      });
    });
  }

  test("a serial history has none", () => {
    fc.assert(
      fc.property(fc.nat(100_000), (seed) => {
        expect(checkTransactions(serial(seed), { isStrict: true })).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test("one read that misses a last value is found more often than not", () => {
    let found = 0;
    let damaged = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const history = serial(seed);
      const at = history.findIndex(({ steps }) =>
        steps.some((step) => "read" in step && (step.read?.length ?? 0) > 1),
      );
      if (at < 0) continue;
      damaged++;
      const wrong = history.map((each, index) => {
        if (index < at) return each;
        // From here on the last value of every list goes unseen by one transaction.
        if (index > at) return each;
        const steps = each.steps.map((step) =>
          "read" in step ? { ...step, read: step.read?.slice(0, -1) } : step,
        );
        return { ...each, steps };
      });
      if (checkTransactions(wrong, { isStrict: true }).length > 0) found++;
    }
    expect(damaged).toBeGreaterThan(50);
    expect(found / damaged).toBeGreaterThan(0.5);
  });
});
