/** Which worker has which key: every hash has one owner, shares are equal, and only what has to moves. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  hashOf,
  ownerOf,
  reshape,
  ringOf,
  shares,
  SPACE,
  type Ring,
} from "../../../src/streams/state/ring.ts";

const workers = fc.uniqueArray(fc.constantFrom(..."abcdefgh"), { minLength: 1, maxLength: 8 });
const hashes = [0, 1, SPACE - 1, ...Array.from({ length: 200 }, (_, index) => hashOf(`key ${index}`))];

function expectFair(ring: Ring, names: readonly string[]): void {
  const found = shares(ring);
  expect([...found.keys()].toSorted()).toEqual(names.toSorted());
  expect([...found.values()].reduce((sum, size) => sum + size, 0)).toBe(SPACE);
  for (const size of found.values()) expect(Math.abs(size - SPACE / names.length)).toBeLessThanOrEqual(1);
}

test("after any changes every worker has an equal share, and those who stay only give or only get", () => {
  fc.assert(
    fc.property(fc.array(workers, { minLength: 1, maxLength: 6 }), (lives) => {
      let names = lives[0] as string[];
      let ring = ringOf(names);
      for (const next of lives) {
        const after = reshape(ring, next);
        expectFair(after, next);
        const stays = (name: string) => next.includes(name) && names.includes(name);
        for (const hash of hashes) {
          const [from, to] = [ownerOf(ring, hash), ownerOf(after, hash)];
          if (from === to || !stays(from) || !stays(to)) continue;
          // Between two that stay a key may only move from who had too much to who had too little.
          expect((shares(ring).get(from) ?? 0) > (shares(ring).get(to) ?? 0) - 2).toBe(true);
        }
        [ring, names] = [after, next];
      }
    }),
    { numRuns: 200 },
  );
});

test("one worker more takes a quarter from three, and gives it back to them", () => {
  const three = ringOf(["a", "b", "c"]);
  const four = reshape(three, ["a", "b", "c", "d"]);
  const moved = hashes.filter((hash) => ownerOf(three, hash) !== ownerOf(four, hash));
  expect(moved.every((hash) => ownerOf(four, hash) === "d")).toBe(true);
  expectFair(reshape(four, ["a", "b", "c"]), ["a", "b", "c"]);
});
