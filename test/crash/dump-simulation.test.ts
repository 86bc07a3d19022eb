/** Lives of a node with dumps, from seeds: what is found after power loss is never older than the last dump. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { mutants } from "./dump-harness.ts";
import { simulateDumps } from "./dump-simulation.ts";

setDefaultTimeout(120_000);

test("every key holds a value that it had since the start of the last dump", () => {
  const faults = new FaultCounts();
  let [dumps, writes] = [0, 0];
  for (let seed = 1; seed <= 120; seed++) {
    const result = simulateDumps(seed);
    expect(result.violations).toEqual([]);
    faults.add(result.faults);
    dumps += result.dumps;
    writes += result.writes;
  }
  console.log(`${writes} writes, ${dumps} dumps; ${faults}`);
  faults.requireAll([
    "power loss",
    "unsynced change lost",
    "unsynced change kept",
    "write failed with EIO",
    "sync failed with EIO",
    "rename failed with EIO",
  ]);
  expect(dumps).toBeGreaterThan(200);
});

test.each(["files are not synced", "the directory is not synced"])(
  "a node is found out in which %s",
  (name) => {
    const mutant = mutants[name];
    if (mutant === undefined) throw new Error(`no mutant "${name}"`);
    let found = 0;
    for (let seed = 1; seed <= 60 && found === 0; seed++) {
      try {
        found += simulateDumps(seed, mutant).violations.length;
      } catch {
        // A start that refuses what the disk kept is a finding too.
        found += 1;
      }
    }
    expect(found).toBeGreaterThan(0);
  },
);
