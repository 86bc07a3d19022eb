/**
 * Windows against an oracle that has all records at once, and the examples of the original's tests.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  app, counting, framed, sliding, testApp, tumbling, type Aggregate, type App, type LatePolicy, type WindowSpec,
} from "node-x/stream"; // prettier-ignore
import { addRecord, dueOf, fireDue, noWindows, startsOf } from "../../../src/streams/runtime/windows.ts";

interface Item {
  key: string;
  timeMs: number;
  value: number;
}

const list: Aggregate<Item, number[], string> = {
  initial: () => [],
  update: ({ value }, values) => [...values, value],
  output: (key, values, window) => `${key}@${window?.startMs ?? "-"}:${values.join(",")}`,
};

function windowApp(spec: WindowSpec, latenessMs = 0): App {
  return app("windows", (a) => {
    const windowed = a
      .source<Item>("in", { framing: framed(), decode: () => undefined })
      .eventTime((item) => item.timeMs, { latenessMs })
      .keyBy((item) => item.key)
      .window("w", spec, list);
    windowed.to(a.sink<string>("out", { framing: framed(), encode: () => {} }));
    windowed.late
      .map(({ value }) => value)
      .to(a.sink<number>("late", { framing: framed(), encode: () => {} }));
  });
}

const item = (timeMs: number, value: number, key = "k"): Item => ({ key, timeMs, value });
/** Far in the future: everything before is due. */
const flush = item(1e9, 0, "flush");

describe("tumbling", () => {
  test("a record belongs to the window of its time, whatever the order, while the window is open", () => {
    testApp(windowApp(tumbling(100, { delayMs: 100 })))
      .feed("in", [item(10, 1), item(110, 2), item(20, 3), item(199, 4)])
      .expect("out", [])
      .feed("in", [item(200, 5)])
      .expect("out", ["k@0:1,3"])
      .feed("in", [flush])
      .expect("out", ["k@100:2,4", "k@200:5"]);
  });

  test.each<[LatePolicy, string[], number[]]>([
    ["drop", ["k@0:2", "k@100:9"], []],
    ["fire", ["k@0:2", "k@0:1", "k@100:9"], []],
    ["oldest", ["k@0:2", "k@100:9,1"], []],
    ["side", ["k@0:2", "k@100:9"], [1]],
  ])("late records: %s", (late, out, side) => {
    const run = testApp(windowApp(tumbling(100, { late })));
    run.feed("in", [item(50, 2), item(150, 9), item(10, 1), flush]);
    run.expect("out", out).expect("late", side);
  });

  test("an input that falls silent holds nobody up, and does not make time run away either", () => {
    const twoInputs = app("two", (a) => {
      const inputs = ["one", "other"].map((name) =>
        a
          .source<Item>(name, { framing: framed(), decode: () => undefined })
          .eventTime((each) => each.timeMs, { idleMs: 1000 })
          .keyBy((each) => each.key),
      );
      const [first, second] = inputs as [(typeof inputs)[0], (typeof inputs)[0]];
      first
        .merge(second)
        .window("w", tumbling(100), list)
        .to(a.sink<string>("out", { framing: framed(), encode: () => {} }));
    });
    testApp(twoInputs)
      .feed("one", [item(10, 1), item(500, 2)])
      .expect("out", []) // the other input may still bring something older
      .advance(1001)
      .feed("one", [item(501, 3)])
      .expect("out", ["k@0:1"]);
  });
});

test("sliding: a record is in every window that holds its time", () => {
  testApp(windowApp(sliding(100, 50)))
    .feed("in", [item(60, 1), item(120, 2), flush])
    .expect("out", ["k@0:1", "k@50:1,2", "k@100:2"]);
});

test("counting: every n records of a key, whatever their times", () => {
  testApp(windowApp(counting(3)))
    .feed(
      "in",
      [1, 2, 3, 4, 5, 6, 7].map((value) => item(0, value)),
    )
    .expect("out", ["k@-:1,2,3", "k@-:4,5,6"]);
});

/** All windows of all records at once: what must have come out in the end when nothing was late. */
function oracle(spec: Exclude<WindowSpec, { kind: "count" }>, items: readonly Item[]): string[] {
  const windows = new Map<string, { start: number; key: string; values: number[] }>();
  for (const each of items) {
    for (const start of startsOf(spec, each.timeMs)) {
      const name = `${each.key} ${start}`;
      const window = windows.get(name) ?? { start, key: each.key, values: [] };
      windows.set(name, { ...window, values: [...window.values, each.value] });
    }
  }
  return [...windows.values()]
    .toSorted((a, b) => dueOf(spec, a.start) - dueOf(spec, b.start) || (a.key < b.key ? -1 : 1))
    .map(({ key, start, values }) => `${key}@${start}:${values.join(",")}`);
}

const items = fc.array(
  fc.record({
    key: fc.constantFrom("a", "b", "c"),
    timeMs: fc.integer({ min: 0, max: 1000 }),
    value: fc.nat(99),
  }),
  { maxLength: 60 },
);

test.each([tumbling(100), sliding(120, 40), tumbling(70, { delayMs: 30 })])(
  "with enough lateness allowed every window fires once with all its records: %p",
  (spec) => {
    fc.assert(
      fc.property(items, (records) => {
        const out = testApp(windowApp(spec, 2000))
          .feed("in", [...records, flush])
          .take("out");
        expect(out).toEqual(oracle(spec as Exclude<WindowSpec, { kind: "count" }>, records));
      }),
      { numRuns: 100 },
    );
  },
);

test("no record is lost or doubled without lateness either: it is in its window, or late", () => {
  const spec = tumbling(100, { late: "side" });
  fc.assert(
    fc.property(items, (records) => {
      const run = testApp(windowApp(spec)).feed("in", [...records, flush]);
      const inWindows = run.take("out").flatMap((text) => String(text).split(":")[1]?.split(",").map(Number));
      const late = run.take("late");
      expect([...inWindows, ...late].toSorted()).toEqual(records.map(({ value }) => value).toSorted());
    }),
  );
});

test("a window that fired does not fire again, even from a state that was taken in between", () => {
  const spec = tumbling(100);
  const state = noWindows();
  const fired: unknown[] = [];
  const events = {
    fire: (value: unknown) => fired.push(value),
    opened: () => {},
    late: () => fired.push("late"),
  };
  const aggregate = list as Aggregate<unknown, unknown, unknown>;
  const add = (timeMs: number, watermarkMs: number) =>
    addRecord(spec, aggregate, state, { key: "k", value: item(timeMs, timeMs), timeMs, watermarkMs }, events);
  add(10, 0);
  fireDue(spec, aggregate, state, "k", 100, events.fire);
  add(20, 100);
  fireDue(spec, aggregate, state, "k", 200, events.fire);
  expect(fired).toEqual(["k@0:10", "late"]);
});

test("windows that no record could be in are refused", () => {
  for (const spec of [
    tumbling(0),
    sliding(100, 200),
    sliding(100, 0),
    counting(0),
    counting(1.5),
    tumbling(10, { delayMs: -1 }),
  ])
    expect(() => testApp(windowApp(spec))).toThrow('the window "w"');
});
