/** The word-count application, and the way users test theirs. */
import { expect, test } from "bun:test";
import { app, testApp } from "node-x/stream";
import wordCount from "../../../src/streams/apps/word-count.ts";

test("counts every word of every line, in order", () => {
  testApp(wordCount)
    .feed("Lines", ["to be or not", "To be!"])
    .expect("counts", ["to: 1", "be: 1", "or: 1", "not: 1", "to: 2", "be: 2"])
    .feedBytes("Lines", Buffer.from("or\r\nn"))
    .feedBytes("Lines", Buffer.from("ot\n"))
    .expect("counts", ["or: 2", "not: 2"]);
});

test("an expectation that is not met says what was found", () => {
  const run = testApp(wordCount).feed("Lines", ["one"]);
  expect(() => run.expect("counts", ["two: 1"])).toThrow('got ["one: 1"]');
});

test("an application without a sink is refused", () => {
  expect(() => testApp(app("none", () => {}))).toThrow("has no sink");
});
