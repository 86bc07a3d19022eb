/** What authors of applications get wrong without their editor's help: refused when the pipeline is made, or at the first record. */
import { describe, expect, test } from "bun:test";
import {
  app, framed, lines, testApp, tumbling, type App, type Builder, type KeyedStream, type Stream,
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
    ["an encoder that throws", app("wrong", (a) => input(a).to(a.sink("Out", { framing: framed(), encode: () => { throw new Error("no"); } }))), "no"],
  ])("%s", (_name, application, message) => {
    const run = testApp(application);
    expect(() => run.feed("In", ["word"])).toThrow(message);
  }); // prettier-ignore
});
