/** What authors of applications get wrong without their editor's help: refused when the pipeline is made, or at the first record. */
import { describe, expect, test } from "bun:test";
import {
  app, counting, framed, lines, sliding, testApp, tumbling, type App, type Builder, type KeyedStream, type Stream,
} from "node-x/stream"; // prettier-ignore

const wrong = (value: unknown) => value as never;
const input = (a: Builder): Stream<string> =>
  a.source<string>("In", { framing: lines(), decode: (frame) => frame.text(0) });
const output = (a: Builder) =>
  a.sink<unknown>("Out", { framing: framed(), encode: (value, out) => out.utf8(String(value)) });
/** An application of one step. */
const withStep = (step: (stream: Stream<string>) => Stream<unknown>): App =>
  app("wrong", (a) => step(input(a)).to(output(a)));
const keyed = (step: (stream: KeyedStream<string>) => Stream<unknown>): App =>
  withStep((stream) => step(stream.keyBy((word) => word)));
const zero = { sum: 0 };
const count = { initial: () => 0, update: (_word: string, sum: number) => sum + 1 };

describe("refused when the pipeline is made", () => {
  test.each<[string, App, string]>([
    ["a map that waits", withStep((stream) => stream.map(async (word) => word)), "map takes a plain function, not AsyncFunction"],
    ["a filter that waits", withStep((stream) => stream.filter(wrong(async () => false))), "filter takes a plain function"],
    ["a flatMap that yields", withStep((stream) => stream.flatMap(wrong(function* () { yield 1; }))), "not GeneratorFunction"],
    ["a state that waits", keyed((stream) => stream.state("s", { init: () => ({}) }, async () => {})), 'the state "s" takes a plain function'],
    ["a key that is waited for", withStep((stream) => stream.keyBy(wrong(async () => "k")).state("s", { init: () => ({}) }, () => {})), "keyBy takes"],
    ["an output that is waited for", keyed((stream) => stream.aggregate("sum", { ...count, output: async () => 1 })), 'the aggregate "sum" takes'],
    ["a window of sets", keyed((stream) => stream.window("w", tumbling(10), { ...count, initial: wrong(() => new Set()), output: () => 1 })), "JSON cannot hold"],
    ["an accumulator for all keys", keyed((stream) => stream.aggregate("sum", { ...count, initial: wrong(() => zero), output: () => 1 })), "begins with the same object each time"],
    ["an accumulator that is missing", keyed((stream) => stream.aggregate("sum", { ...count, initial: wrong(() => {}), output: () => 1 })), "JSON cannot hold (undefined"],
    ["a window without end", keyed((stream) => stream.window("w", tumbling(Number.POSITIVE_INFINITY), { ...count, output: () => 1 })), "has a length of Infinity ms"],
    ["a window of parts of a millisecond", keyed((stream) => stream.window("w", sliding(1000, 1000 / 3), { ...count, output: () => 1 })), "has a length of 1000 ms"],
    ["a record in millions of windows", keyed((stream) => stream.window("w", sliding(86_400_000, 1), { ...count, output: () => 1 })), "has a length of 86400000 ms"],
    ["a lateness that is no number", withStep((stream) => stream.eventTime(() => 0, { latenessMs: Number.NaN })), "eventTime has a lateness of NaN ms"],
    ["a stream with itself", withStep((stream) => stream.merge(stream)), "a stream cannot be merged with itself"],
    ["a branch twice", withStep((stream) => stream.split(["a", "a"], () => "a").a), "a split has the branches a, a"],
    ["a step that is missing", withStep((stream) => stream.map(wrong(undefined))), "map takes a function"],
    ["an application that waits", app("wrong", async (a) => input(a).to(output(a))), 'the function of the application "wrong" is async'],
    ["an application that throws", app("wrong", () => { throw new Error("not today"); }), "threw while it made its pipeline: not today"],
  ])("%s", (_name, application, message) => {
    expect(() => testApp(application)).toThrow(message);
  }); // prettier-ignore
});

describe("refused at the record that shows it", () => {
  const time = (value: unknown) =>
    withStep((stream) =>
      stream
        .eventTime(wrong(() => value))
        .keyBy((word) => word)
        .window("w", tumbling(10), { ...count, output: () => 1 }),
    );
  test.each<[string, App, string]>([
    ["a key that is a number", withStep((stream) => stream.keyBy(wrong(() => 5)).state("s", { init: () => ({}) }, () => {})), "keyBy gave 5 (number)"],
    ["a key that is missing", withStep((stream) => stream.keyBy(wrong(() => undefined)).state("s", { init: () => ({}) }, () => {})), "keyBy gave undefined"],
    ["a state that is a Map", keyed((stream) => stream.state("s", { init: () => ({ seen: new Map() }) }, () => {})), 'the state "s" begins with what JSON cannot hold'],
    ["a state without end", keyed((stream) => stream.state("s", { init: () => ({ least: Number.POSITIVE_INFINITY }) }, () => {})), "JSON cannot hold"],
    ["a time that is no number", time(Number.NaN), "eventTime gave NaN"],
    ["a time without end", time(Number.POSITIVE_INFINITY), "eventTime gave Infinity"],
    ["a time that is a Date", time(new Date(0)), "not milliseconds"],
    ["a time in nanoseconds", time(1.8e18), "eventTime gave 1800000000000000000, not milliseconds since 1970"],
    ["a state that is a number", keyed((stream) => stream.state("s", { init: wrong(() => 0) }, () => {})), 'the state "s" begins as 0: it is an object'],
    ["a state that becomes what JSON changes", keyed((stream) => stream.state("s", { init: () => ({ at: 0 as unknown }) }, (_word, state) => { state.at = new Date(0); })), 'the state "s" of the key "word" cannot be encoded: JSON would change it'],
    ["a state with a gap in a list", keyed((stream) => stream.state("s", { init: () => ({ list: [] as number[] }) }, (_word, state) => { state.list[1] = 1; })), "JSON would change it"],
    ["a state that waits behind a plain function", keyed((stream) => stream.state("s", { init: () => ({}) }, () => Promise.resolve())), 'the state "s" returned a promise'],
    ["a filter that waits behind a plain function", withStep((stream) => stream.filter(wrong(() => Promise.resolve(false)))), "filter returned a promise"],
    ["a map that waits behind a plain function", withStep((stream) => stream.map(() => Promise.reject(new Error("unheard")))), "map returned a promise"],
    ["an update that returns nothing", keyed((stream) => stream.window("w", counting(2), { ...count, update: wrong(() => {}), output: () => 1 })), 'the window "w" got nothing from update'],
    ["an encoder that throws", app("wrong", (a) => input(a).to(a.sink("Out", { framing: framed(), encode: () => { throw new Error("no"); } }))), "no"],
  ])("%s", (_name, application, message) => {
    const run = testApp(application);
    expect(() => run.feed("In", ["word"])).toThrow(message);
  }); // prettier-ignore
});

test("one object for the states of all keys is refused at the second key", () => {
  const run = testApp(
    keyed((stream) => stream.state("s", { init: () => zero }, (_word, state) => void (state.sum += 1))),
  );
  expect(() => run.feed("In", ["one", "one", "other"])).toThrow(
    'the state "s" begins as the same object for every key',
  );
});

test("a test sees what a crash would: of a state only what its codec keeps, of a record what its keyBy's does", () => {
  const application = app("kept", (a) =>
    input(a)
      .map((word) => ({ word, isNew: true }))
      .keyBy(({ word }) => word, {
        encode: ({ word }, out) => out.utf8(word),
        decode: (frame) => ({ word: frame.text(0), isNew: false }),
      })
      .state<{ seen: number; hidden: number }, string>(
        "seen",
        {
          init: () => ({ seen: 0, hidden: 0 }),
          codec: {
            encode: ({ seen }, out) => out.u32(seen),
            decode: (frame) => ({ seen: frame.u32(0), hidden: 0 }),
          },
        },
        ({ word, isNew }, state, out) => {
          state.seen += 1;
          state.hidden += 1;
          out.emit(`${word} ${state.seen} ${state.hidden} ${isNew}`);
        },
      )
      .to(output(a)),
  );
  testApp(application)
    .feed("In", ["a", "a", "b", "a"])
    .expect("Out", ["a 1 1 false", "a 2 1 false", "b 1 1 false", "a 3 1 false"]);
});

test("what a step throws for a value that JSON cannot show is what the test hears", () => {
  const run = testApp(
    withStep((stream) =>
      stream.map(() => {
        throw new Error("my own");
      }),
    ),
  );
  expect(() => run.feed("In", [5n])).toThrow("my own");
});
