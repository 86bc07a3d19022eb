/** Power loss at every moment of a logfiles node's life: nothing acknowledged is gone, nothing is there twice. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { explore, type Step, type Subject } from "./logfiles-harness.ts";

setDefaultTimeout(120_000);

const layouts: readonly Subject["options"][] = [{ layout: "segments", joinCount: 2 }, { layout: "classic" }];

const text = (length: number, seed: string) => seed.repeat(Math.ceil(length / seed.length)).slice(0, length);

/** Writing, two seals with a join behind them, a removal, the channel made again, and a clean stop. */
const tour: readonly Step[] = [
  { do: "put", channel: "a", key: 5000, value: text(200, "first ") },
  { do: "put", channel: "b", key: 1, value: "b1" },
  { do: "flush" },
  { do: "put", channel: "a", key: 4100, value: "second" },
  { do: "seal" },
  { do: "put", channel: "a", key: 10, value: "third" },
  { do: "put", channel: "b", key: 2, value: "b2" },
  { do: "flush" },
  { do: "seal" },
  // In memory and log only, while the others are in files.
  { do: "put", channel: "a", key: 11, value: "fourth" },
  { do: "flush" },
  { do: "remove", channel: "a" },
  { do: "put", channel: "a", key: 7, value: "again" },
  { do: "flush" },
  { do: "seal" },
  { do: "put", channel: "b", key: 3, value: "b3" },
  { do: "flush" },
  { do: "close" },
];

test.each(layouts)("nothing acknowledged is lost and nothing is there twice: %j", (options) => {
  const found = explore(tour, { options, wrapDisk: (disk) => disk }, 6);
  console.log(`${found.points} moments, ${found.states} states, ${found.distinct} different`);
  expect(found.violations.slice(0, 3)).toEqual([]);
  expect(found.distinct).toBeGreaterThan(60);
});
