/** What is committed and takes long: nothing waits for it that need not, and nobody sees half of it. */
import { expect, test } from "bun:test";
import { ApplyQueue } from "../../../src/reactive/replication/apply-queue.ts";
import type { Outcome } from "../../../src/reactive/replication/sessions.ts";
import type { Steps } from "../../../src/reactive/replication/steps.ts";
import type { Entry } from "../../../src/reactive/replication/types.ts";

/** A service whose entries say how many steps they take: 0 is done at once. */
class Bench {
  readonly said: string[] = [];
  readonly #turns: (() => void)[] = [];
  readonly queue: ApplyQueue;

  constructor(waitingBytesMax?: number) {
    this.queue = new ApplyQueue({
      service: { apply: (entry) => this.#apply(entry) },
      clock: { endOfTurn: (callback) => void this.#turns.push(callback) },
      onApplied: ([outcome]) => void this.said.push(`applied ${outcome?.number}`),
      onIdle: () => void this.said.push("idle"),
      onFailed: (error) => void this.said.push((error as Error).message),
      ...(waitingBytesMax !== undefined && { waitingBytesMax }),
    });
  }

  #apply({ op, payload }: Entry): Outcome[] | Steps<Outcome[]> {
    const outcomes = [{ session: 1, number: op, status: 0 as const, body: payload }];
    return payload[0] === 0 ? outcomes : this.#steps(payload[0] as number, outcomes);
  }

  *#steps(left: number, outcomes: Outcome[]): Steps<Outcome[]> {
    const [{ number }] = outcomes as [Outcome];
    for (let step = 1; step <= left; step++) {
      if (step === 9) throw new Error("a defect");
      this.said.push(`step ${step} of ${number}`);
      yield;
    }
    return outcomes;
  }

  add(op: number, steps: number): void {
    this.queue.add({ op, view: 0, timeMs: 0, payload: Uint8Array.of(steps) }, true);
  }

  read(name: string): void {
    this.queue.behind(() => void this.said.push(`read ${name}`));
  }

  /** What is said in the next turn of the event loop. */
  turn(): string[] {
    this.said.length = 0;
    for (const callback of this.#turns.splice(0)) callback();
    return [...this.said];
  }
}

test("an entry that takes long has one step a turn, and what comes behind it waits, in order", () => {
  const bench = new Bench();
  bench.add(1, 0);
  bench.read("before");
  expect(bench.said).toEqual(["applied 1", "read before"]);
  bench.add(2, 2);
  bench.read("behind 2");
  bench.add(3, 0);
  bench.add(4, 1);
  bench.read("behind 4");
  expect(bench.queue.isIdle).toBe(false);
  expect(bench.turn()).toEqual(["step 1 of 2"]);
  expect(bench.turn()).toEqual(["step 2 of 2"]);
  // Those that this one lets go run before the next one's first step, which is a turn of its own.
  expect(bench.turn()).toEqual(["applied 2", "read behind 2", "applied 3"]);
  expect(bench.turn()).toEqual(["step 1 of 4"]);
  expect(bench.turn()).toEqual(["applied 4", "read behind 4", "idle"]);
  expect(bench.queue.isIdle).toBe(true);
  bench.add(5, 0);
  expect(bench.turn()).toEqual([]);
});

test("who is too far behind makes no pauses", () => {
  const bench = new Bench(2);
  bench.add(1, 3);
  for (const op of [2, 3, 4]) bench.add(op, 2);
  expect(bench.turn().slice(0, 4)).toEqual(["step 1 of 1", "step 2 of 1", "step 3 of 1", "applied 1"]);
  expect(bench.turn()).toEqual(["step 1 of 2"]);
});

test("where another state takes the place of this one, nothing more of it is applied, and readers are told", () => {
  const bench = new Bench();
  bench.add(1, 3);
  bench.add(2, 0);
  bench.read("the other state");
  bench.turn();
  bench.said.length = 0;
  bench.queue.clear();
  expect(bench.said).toEqual(["read the other state"]);
  expect(bench.queue.isIdle).toBe(true);
  expect(bench.turn()).toEqual([]);
  bench.add(9, 1);
  expect([bench.turn(), bench.turn()].flat()).toEqual(["step 1 of 9", "applied 9", "idle"]);
});

test("a defect ends it", () => {
  const bench = new Bench(0);
  bench.add(1, 9);
  bench.add(2, 0);
  expect(bench.turn().at(-1)).toBe("a defect");
  expect(bench.turn()).toEqual([]);
});
