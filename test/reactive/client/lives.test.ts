/** Random lives of reactive clients (life.ts); `bun run soak reactive-client` plays more of them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { live } from "./life.ts";

setDefaultTimeout(60_000);

const SEEDS = 50;

test.each([
  ["with", true],
  ["without", false],
])(
  "every run of random lives %s a cache is what the store held, in order, and the end is seen",
  async (_name, hasCache) => {
    for (let seed = 1; seed <= SEEDS; seed++)
      expect({ seed, faults: await live(seed, hasCache) }).toEqual({ seed, faults: [] });
  },
);
