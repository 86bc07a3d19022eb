/** Power loss of a registration server, on the real code over a simulated disk; see presence-simulation.ts. */
import { expect, test } from "bun:test";
import { runPresenceSimulation } from "./presence-simulation.ts";

const SEEDS = 20;

test(`every acknowledged registration survives power loss, in ${SEEDS} histories`, () => {
  let acknowledged = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = runPresenceSimulation({ seed });
    expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] });
    acknowledged += result.acknowledged;
  }
  expect(acknowledged).toBeGreaterThan(SEEDS * 20);
}, 120_000);

test("a server that acknowledges before the sync is found out", () => {
  const found = Array.from(
    { length: SEEDS },
    (_, seed) => runPresenceSimulation({ seed, isHasty: true }).violations,
  );
  expect(found.flat().length).toBeGreaterThan(0);
}, 120_000);
