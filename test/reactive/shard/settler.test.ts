/** What a frontend left is settled at every shard that answers, whatever others do. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { Settler } from "../../../src/reactive/engines/builtin/settler.ts";
import type { Coordinator } from "../../../src/reactive/engines/builtin/coordinator.ts";
import { encodeUnsettled } from "../../../src/reactive/shard/query-messages.ts";

const prepared = (number: number, home: number) => ({ id: { client: 1, number }, home });

test("a shard that does not answer, and a home that does not, hold up nothing of the others", () => {
  const scheduler = new Scheduler(1);
  const never = new Promise<never>(() => {});
  const settled: number[] = [];
  const fails = () => Promise.reject(new Error("no primary was found in time"));
  const answers = async () =>
    encodeUnsettled({ prepared: [prepared(1, 0), prepared(2, 2), prepared(3, 3)], unfinished: [] });
  const coordinator = {
    settle({ number }: { number: number }, home: number) {
      // Number 1 has a home that does not answer; number 2 one that fails.
      if (home === 0) return never;
      if (home === 2) return fails();
      settled.push(number);
      return Promise.resolve({ kind: "aborted" });
    },
  } as unknown as Coordinator;
  const shards = [() => never, answers, fails, answers].map((query) => ({ query, command: fails }));
  scheduler.run(async () => {
    const clock = new SimClock(scheduler);
    const settler = new Settler({ coordinator, shards }, clock, silentLog(), 400);
    await new Promise<void>((resolve) => void scheduler.after(450, resolve));
    expect(settled).toEqual([]);
    await new Promise<void>((resolve) => void scheduler.after(200, resolve));
    // Once for each shard that has it.
    expect(settled.slice(0, 2)).toEqual([3, 3]);
    expect(settler.settled).toBe(settled.length);
    settler.stop();
  });
});
