/** Chains of diffs: found as by looking at all of them at each step, and with looking at each once. */
import { expect, test } from "bun:test";
import {
  after,
  best,
  chainFrom,
  clean,
  type MetaDiff,
  relation,
  type Snapshot,
} from "../../../src/backup/algebra/snapshot.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";

/** By the definition: of all that fit, the best, again and again. */
function chainByDefinition(snapshot: Snapshot, diffs: readonly MetaDiff[], upTo?: bigint): MetaDiff[] {
  const chain: MetaDiff[] = [];
  let place = snapshot;
  for (;;) {
    const fitting = diffs.filter(
      (diff) => relation(place, diff) === "applicable" && (upTo === undefined || diff.to.begin <= upTo),
    );
    const next = best(fitting);
    if (next === undefined) return chain;
    chain.push(next);
    place = after(place, next);
  }
}

test("a chain is what its definition says, whatever overlaps, is dirty, or is a comparison", () => {
  const seed = 20_261_126;
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  let links = 0;
  for (let round = 0; round < 4000; round++) {
    const diffs = Array.from({ length: random.integer(14) }, (): MetaDiff => {
      const from = random.integer(12);
      const to = from + 1 + random.integer(4);
      const isDirty = random.integer(4) === 0;
      return {
        isMergeable: random.integer(2) === 0,
        isComparison: random.integer(5) === 0,
        timestamp: 0,
        from: { begin: BigInt(from), end: BigInt(from + (isDirty ? random.integer(2) : 0)) },
        to: { begin: BigInt(to), end: BigInt(to + (isDirty ? 1 : 0)) },
        dataBytes: 0,
      };
    });
    const start = { begin: BigInt(random.integer(6)), end: BigInt(6 + random.integer(3)) };
    const upTo = random.integer(3) === 0 ? BigInt(random.integer(16)) : undefined;
    const wanted = chainByDefinition(start, diffs, upTo);
    const found = chainFrom(start, diffs, upTo);
    expect(found.length).toBe(wanted.length);
    expect(found.every((diff, index) => diff === wanted[index])).toBe(true);
    links += found.length;
  }
  expect(links).toBeGreaterThan(4000);
});

test("each of many diffs is looked at a few times, not once for each of the others", () => {
  const count = 20_000;
  let looks = 0;
  const diffs = Array.from({ length: count }, (_, gid): MetaDiff => {
    const from = clean(BigInt(gid));
    return {
      ...{ isMergeable: true, isComparison: false, timestamp: 0, to: clean(BigInt(gid + 1)), dataBytes: 0 },
      get from() {
        looks += 1;
        return from;
      },
    };
  });
  expect(chainFrom(clean(0n), diffs)).toHaveLength(count);
  expect(looks).toBeLessThan(30 * count);
});
