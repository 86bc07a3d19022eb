/**
 * Windows against an oracle that has all records at once, and the examples of the original's tests.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  app, counting, ephemeral, framed, json, session, sliding, testApp, tumbling, type Aggregate, type App, type LatePolicy, type WindowSpec,
} from "node-x/stream"; // prettier-ignore
import type { WindowNode } from "../../../src/streams/plan/nodes.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { FrameCursor } from "../../../src/streams/runtime/frame-cursor.ts";
import { WindowStep } from "../../../src/streams/runtime/window-step.ts";
import { StateStore } from "../../../src/streams/state/store.ts";
import {
  addRecord,
  type AlignedSpec,
  dueOf,
  fireDue,
  noWindows,
  startsOf,
} from "../../../src/streams/runtime/windows.ts";

interface Item {
  key: string;
  timeMs: number;
  value: number;
}

const list: Aggregate<Item, number[], string> = {
  initial: () => [],
  update: ({ value }, values) => [...values, value],
  combine: (one, other) => [...one, ...other],
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

describe("sessions", () => {
  test("a gap ends a session; a record between two makes one of them", () => {
    testApp(windowApp(session(100), 1000))
      .feed("in", [item(0, 1), item(99, 2), item(250, 3), item(160, 4), item(600, 5), flush])
      .expect("out", ["k@0:1,2,3,4", "k@600:5"]);
  });

  test("a record exactly a gap later begins another one", () => {
    testApp(windowApp(session(100)))
      .feed("in", [item(0, 1), item(100, 2), flush])
      .expect("out", ["k@0:1", "k@100:2"]);
  });

  test.each<[LatePolicy, string[], number[]]>([
    ["drop", ["k@100:2", "k@500:9"], []],
    ["fire", ["k@100:2", "k@10:1", "k@500:9"], []],
    ["side", ["k@100:2", "k@500:9"], [1]],
  ])("late records: %s", (late, out, side) => {
    const run = testApp(windowApp(session(50, { late })));
    run.feed("in", [item(100, 2), item(500, 9), item(10, 1), flush]);
    run.expect("out", out).expect("late", side);
  });

  test("with enough lateness allowed they are those of all records at once, whatever the order", () => {
    const GAP_MS = 40;
    const runs = (records: readonly Item[]) =>
      ["a", "b", "c"].flatMap((key) => {
        const own = records.filter((record) => record.key === key).toSorted((a, b) => a.timeMs - b.timeMs);
        const sessions: Item[][] = [];
        for (const record of own) {
          const last = sessions.at(-1)?.at(-1);
          if (last !== undefined && record.timeMs - last.timeMs < GAP_MS) sessions.at(-1)?.push(record);
          else sessions.push([record]);
        }
        return sessions.map((each) => `${key}@${each[0]?.timeMs}:${textOf(each.map(({ value }) => value))}`);
      });
    const textOf = (values: readonly number[]) => values.toSorted((a, b) => a - b).join(",");
    fc.assert(
      fc.property(items, (records) => {
        const out = testApp(windowApp(session(GAP_MS), 2000))
          .feed("in", [...records, flush])
          .take("out")
          .map((text) => {
            const [head, values = ""] = String(text).split(":");
            return `${head}:${textOf(values.split(",").map(Number))}`;
          });
        expect(out.toSorted()).toEqual(runs(records).toSorted());
      }),
      { numRuns: 100 },
    );
  });
});

describe("ephemeral", () => {
  test("the first record of a key opens its window; it fires once, and the key is forgotten later", () => {
    testApp(windowApp(ephemeral(100, 50, { late: "side" })))
      .feed("in", [item(10, 1), item(60, 2), item(109, 3)])
      .expect("out", [])
      .feed("in", [item(120, 4)])
      .expect("out", ["k@10:1,2,3,4"])
      .feed("in", [item(125, 5, "other"), item(140, 6)])
      .expect("late", [6])
      // Its time is counted from the watermark, not from the record.
      .feed("in", [item(200, 7, "other"), item(205, 8), flush])
      .expect("out", ["other@120:5,7", "k@200:8", "flush@205:0"]);
  });

  test.each<[LatePolicy, string[], number[]]>([
    ["drop", ["k@0:1,2"], []],
    ["fire", ["k@0:1,2", "k@0:3"], []],
    ["side", ["k@0:1,2"], [3]],
  ])("late records: %s", (late, out, side) => {
    const run = testApp(windowApp(ephemeral(100, 1000, { late })));
    run.feed("in", [item(0, 1), item(150, 2), item(160, 3)]);
    run.expect("out", out).expect("late", side);
  });
});

describe("a step that hears nothing for its flush time", () => {
  test.each([
    [tumbling(100, { flushMs: 500 }), ["a@0:1", "b@0:2"]],
    [session(100, { flushMs: 500 }), ["a@10:1", "b@20:2"]],
    [ephemeral(100, 0, { flushMs: 500 }), ["a@10:1", "b@10:2"]],
    [counting(10, { flushMs: 500 }), ["a@-:1", "b@-:2"]],
  ])("fires what is open, once: %p", (spec, fired) => {
    const run = testApp(windowApp(spec));
    run.feed("in", [item(10, 1, "a"), item(20, 2, "b")]).advance(499);
    run.expect("out", []).advance(1).expect("out", fired);
    run.advance(5000).expect("out", []);
  });

  test("time does not move with it, and records that keep coming hold it off", () => {
    const run = testApp(windowApp(tumbling(100, { flushMs: 500, late: "side" })));
    for (let turn = 0; turn < 4; turn++) run.feed("in", [item(turn, turn)]).advance(400);
    run.expect("out", []).advance(100).expect("out", ["k@0:0,1,2,3"]);
    run.feed("in", [item(50, 4)]).expect("late", []);
  });

  test("without one they wait", () => {
    testApp(windowApp(tumbling(100)))
      .feed("in", [item(10, 1)])
      .advance(1e9)
      .expect("out", []);
  });
});

/** All windows of all records at once: what must have come out in the end when nothing was late. */
function oracle(spec: AlignedSpec, items: readonly Item[]): string[] {
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
        expect(out).toEqual(oracle(spec as AlignedSpec, records));
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

test("a session whose aggregate cannot combine is refused", () => {
  const { combine: _, ...without } = list;
  const sessions = app("sessions", (a) => {
    a.source<Item>("in", { framing: framed(), decode: () => undefined })
      .keyBy(({ key }) => key)
      .window("w", session(10), without)
      .to(a.sink<string>("out", { framing: framed(), encode: () => {} }));
  });
  expect(() => testApp(sessions)).toThrow("has no combine");
});

test("windows that no record could be in are refused", () => {
  for (const spec of [
    tumbling(0),
    sliding(100, 200),
    sliding(100, 0),
    counting(0),
    counting(1.5),
    tumbling(10, { delayMs: -1 }),
    tumbling(10, { flushMs: 0 }),
    session(0),
    session(10, { late: "oldest" }),
    ephemeral(10, -1),
    ephemeral(0, 1),
    ephemeral(10, 1, { late: "oldest" }),
  ])
    expect(() => testApp(windowApp(spec))).toThrow('the window "w"');
});

test("negative times, parts of a millisecond and the ends of a Date's range have their windows, each record in all of its", () => {
  const spec: AlignedSpec = { kind: "sliding", rangeMs: 100, slideMs: 30, delayMs: 0, late: "drop" };
  fc.assert(
    fc.property(fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }), (anyMs) => {
      const timeMs = Math.round(anyMs * 8) / 8;
      const starts = startsOf(spec, timeMs);
      for (const start of starts) {
        expect(start <= timeMs && timeMs < start + 100).toBe(true);
        expect(Math.abs(start % 30)).toBe(0);
      }
      expect(starts).toEqual(starts.toSorted((one, other) => one - other));
      expect(starts.length).toBeGreaterThanOrEqual(3);
      expect((starts[0] as number) - 30 + 100).toBeLessThanOrEqual(timeMs);
    }),
  );
  testApp(windowApp(tumbling(100)))
    .feed("in", [item(-1, 1), item(-100, 2), item(-101, 3), item(0, 4), flush])
    .expect("out", ["k@-100:1,2", "k@0:4"])
    .expect("late", []);
});

test("sessions of very many keys, each with an end of its own, fire in their order and in time", () => {
  const keys = 150_000;
  const sum: Aggregate<Item, number, number> = {
    initial: () => 0,
    update: ({ value }, before) => before + value,
    combine: (one, other) => one + other,
    output: (_key, total) => total,
  };
  const node = planOf(
    app("sessions", (a) =>
      a
        .source<Item>("in", { framing: framed(), decode: () => undefined })
        .keyBy(({ key }) => key)
        .window("w", session(1000), sum)
        .to(a.sink<number>("out", { framing: framed(), encode: () => {} })),
    ),
  ).states[0] as WindowNode;
  const fired: number[] = [];
  const store = new StateStore("w", { init: noWindows, codec: json() }, new FrameCursor());
  const step = new WindowStep(node, store, {
    emit: (value) => void fired.push(value as number),
    late: () => {},
    onBadWindow: (_key, error) => {
      throw error;
    },
  });
  // A step that is coprime to their number: every one once, in no order.
  for (let index = 0; index < keys; index++) {
    const number = (index * 7919) % keys;
    step.add({ key: "", timeMs: 0, value: number }, `user ${number}`, number);
  }
  const startedMs = performance.now();
  step.advance(1e9);
  expect(fired).toEqual(Array.from({ length: keys }, (_, number) => number));
  expect(store.size).toBe(0);
  // One look at all ends for each of them would be minutes.
  expect(performance.now() - startedMs).toBeLessThan(30_000);
}, 60_000);
