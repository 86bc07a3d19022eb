/** See queue-simulation.ts for what a run does and what is checked. */
import { expect, test } from "bun:test";
import type { DurableQueues } from "../../src/channels/queue/durable-queues.ts";
import type { Durability } from "../../src/channels/reply-gate.ts";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { runQueueSimulation } from "./queue-simulation.ts";

const SEEDS = 15;

test("no acknowledged push is lost, nothing that was popped comes back, entries are delivered at least once", () => {
  const faults = new FaultCounts();
  let [acknowledged, popped, settled] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = runQueueSimulation({ seed });
    expect(result.violations, `seed ${seed}`).toEqual([]);
    acknowledged += result.acknowledged;
    popped += result.popped;
    settled += result.settled;
    faults.add(result.faults);
  }
  console.log(
    `${SEEDS} seeds, ${acknowledged} stored, ${popped} popped, ${settled} acknowledged, faults: ${faults}`,
  );
  faults.requireAll(["power loss", "unsynced change lost", "unsynced change kept"]);
  expect(Math.min(acknowledged, popped, settled * 5)).toBeGreaterThan(1000);
}, 120_000);

test("one seed gives one run", () => {
  const runs = [1, 2].map(() => {
    const { acknowledged, popped, faults, violations } = runQueueSimulation({ seed: 42 });
    return `${acknowledged} ${popped} ${faults} ${violations}`;
  });
  expect(runs[0]).toBe(runs[1] as string);
});

/** Whether some seed's run shows `violation` with a broken node. */
function isCaught(believe: (durable: DurableQueues) => Durability, violation: RegExp): boolean {
  for (let seed = 0; seed < 60; seed++)
    if (runQueueSimulation({ seed, believe }).violations.some((text) => violation.test(text))) return true;
  return false;
}

test("negative control: replies before the sync are caught, of pushes and of pops", () => {
  const believe = () => ({ position: 0, durablePosition: 0, isStalled: false });
  expect(isCaught(believe, /pushed records are lost/)).toBe(true);
  expect(isCaught(believe, /was popped and is back/)).toBe(true);
}, 120_000);
