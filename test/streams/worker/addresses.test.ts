/** Where inputs come from and outputs go: what a configuration may not say. */
import { describe, expect, test } from "bun:test";
import { workerConfig } from "../../../src/streams/worker/config.ts";
import { addressOf, assertOneEach, sourceKinds } from "../../../src/streams/worker/addresses.ts";

const common = { role: "worker", instance: "w", dataDir: "w" };
const isValid = (keys: object) => workerConfig.safeParse({ ...common, ...keys }).success;

describe("a configuration is refused before anything starts", () => {
  test.each([
    "In=tcp://127.0.0.1",
    "In=tcp://127.0.0.1:70000",
    "In=tcp://127.0.0.1:7000?log=yes",
    "In=tcp://127.0.0.1:7000?lgo=true",
    "In=acked://127.0.0.1:7000?credits=many",
    "In=generator:?pauseMs=abc",
    "In=queue://127.0.0.1:10020",
    "In=http://127.0.0.1:80",
  ])("%s as a source", (line) => {
    expect(isValid({ sources: ["Other=file:in.txt", line] })).toBe(false);
  });

  test.each([
    "Out=tcp://127.0.0.1:5555?mode=commited",
    "Out=2pc://127.0.0.1",
    "Out=store://127.0.0.1:1/channel",
  ])("%s as a sink", (line) => {
    expect(isValid({ sinks: [line] })).toBe(false);
  });

  test("and what is right is not", () => {
    const sources = [
      "A=tcp://127.0.0.1:0?log=true",
      "#2=acked://h:1?cookie=a%20b&credits=67",
      "C=generator:",
    ];
    expect(
      isValid({ sources, sinks: ["A=tcp://h:1?mode=committed", "B=file:///tmp/b", "C=dht://h:1/c"] }),
    ).toBe(true);
  });
});

test("two places for one source are refused: they would share its position", () => {
  const addresses = ["In=tcp://h:1", "In=tcp://h:2"].map((line) => addressOf(line, sourceKinds));
  expect(() => assertOneEach("source", addresses)).toThrow('there are two places for the source "In"');
});
