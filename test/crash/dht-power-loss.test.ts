/** See dht-simulation.ts for what a run does and what is checked. */
import { expect, test } from "bun:test";
import type { DurableStore } from "../../src/channels/dht/durable-store.ts";
import type { Durability } from "../../src/channels/reply-gate.ts";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { runDhtSimulation } from "./dht-simulation.ts";

const SEEDS = 40;

test("no acknowledged write is lost and no seen value is taken back by power loss", () => {
  const faults = new FaultCounts();
  let acknowledged = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = runDhtSimulation({ seed });
    expect(result.violations, `seed ${seed}`).toEqual([]);
    acknowledged += result.acknowledged;
    faults.add(result.faults);
  }
  console.log(`${SEEDS} seeds, ${acknowledged} acknowledged writes, faults: ${faults}`);
  faults.requireAll(["power loss", "unsynced change lost", "unsynced change kept"]);
  expect(acknowledged).toBeGreaterThan(1000);
}, 120_000);

test("one seed gives one run", () => {
  const runs = [1, 2].map(() => {
    const { acknowledged, faults, violations } = runDhtSimulation({ seed: 42 });
    return `${acknowledged} ${faults} ${violations}`;
  });
  expect(runs[0]).toBe(runs[1] as string);
});

/** The first seed whose run shows `violation`, of those that a broken node is given. */
function firstCaught(believe: (durable: DurableStore) => Durability, violation: RegExp): number | undefined {
  for (let seed = 0; seed < 60; seed++) {
    if (runDhtSimulation({ seed, believe }).violations.some((text) => violation.test(text))) return seed;
  }
  return undefined;
}

test("negative control: replies before the sync are caught", () => {
  const believe = () => ({ position: 0, durablePosition: 0, isStalled: false });
  expect(firstCaught(believe, /acknowledged/)).toBeDefined();
}, 120_000);

test("negative control: reads that do not wait for the sync are caught", () => {
  // Acknowledgements wait, reads pass: a gate that holds only replies of its own writes.
  const believe = (durable: DurableStore) => {
    let last = durable.position;
    return {
      get position() {
        const isWrite = durable.position !== last;
        last = durable.position;
        return isWrite ? durable.position : 0;
      },
      get durablePosition() {
        return durable.durablePosition;
      },
      isStalled: false,
    };
  };
  expect(firstCaught(believe, /a reader saw/)).toBeDefined();
}, 120_000);
