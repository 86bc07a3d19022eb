/** The journal: what it says after a crash is certain, whatever was being written. */
import { expect, test } from "bun:test";
import { doneSteps, JournalWriter, readJournal } from "../../../src/cluster/rollout/journal.ts";
import { planSteps } from "../../../src/cluster/rollout/steps.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";

const plan = planSteps({
  operation: "o",
  prefix: "p",
  release: "r",
  hosts: ["a"],
  instances: [],
  isWhole: true,
});

test("after power loss every step that was reported done is done, and the journal goes on", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const cluster = new SimCluster(seed);
    const host = cluster.host("10.0.0.1");
    const { world } = host.start();
    let done = -1;
    cluster.scheduler.run(async () => {
      const writing = (async () => {
        const journal = await JournalWriter.open(world.disk, world.clock, "/state/rollout.jsonl", plan);
        for (let step = 0; step < 10; step++) {
          await journal.mark(step, "begun");
          await journal.mark(step, "done");
          done = step;
        }
      })();
      writing.catch(() => undefined);
      await new Promise<void>((resolve) => void cluster.scheduler.after(seed * 0.15, resolve));
      host.losePower({ names: "any", isTearing: true });
      const next = host.start().world;
      const known = await readJournal(next.disk, "/state/rollout.jsonl");
      const steps = known === undefined ? new Set<number>() : doneSteps(known);
      for (let step = 0; step <= done; step++) expect(steps.has(step)).toBe(true);
      const again = await JournalWriter.open(next.disk, next.clock, "/state/rollout.jsonl", plan);
      await again.mark(11, "done");
      await again.close();
      const after = await readJournal(next.disk, "/state/rollout.jsonl");
      expect(after?.plan).toEqual(plan);
      expect(doneSteps(after as NonNullable<typeof after>)).toEqual(new Set([...steps, 11]));
    });
  }
});
