import { expect, test } from "bun:test";
import { nearest } from "../../../src/core/config/nearest.ts";

const cases: [word: string, candidates: string[], wanted: string | undefined][] = [
  ["conections", ["connections", "idleTimeoutMs"], "connections"],
  ["dth", ["dht", "hub"], "dht"],
  ["DHT", ["hub", "dht"], "dht"],
  ["--jsn", ["--config", "--json"], "--json"],
  ["port", ["respPort", "neoPort"], undefined],
  ["a", ["b", "c"], undefined],
  ["", ["a"], undefined],
  ["x".repeat(10_000), ["x".repeat(9_999)], undefined],
  ["loglevel", ["log.level", "log.file"], "log.level"],
];

test.each(cases)("%s among %p means %p", (word, candidates, wanted) => {
  expect(nearest(word, candidates)).toBe(wanted as string);
});

test("of equally near names the earlier one wins", () => {
  expect(nearest("tabl", ["table", "tablo"])).toBe("table");
});
