/** Sessions: a request happens once, whatever is repeated, lost or reordered on its way. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ResultStatus } from "../../../src/reactive/replication/client-codec.ts";
import { encodeRequests } from "../../../src/reactive/replication/codec.ts";
import { SessionTable, SESSIONS_MAX, WINDOW_MAX } from "../../../src/reactive/replication/sessions.ts";
import type { Batch, Request, StateMachine } from "../../../src/reactive/replication/types.ts";
import { ByteReader } from "../../../src/reactive/wire/bytes.ts";
import { finish, type Steps } from "../../../src/reactive/replication/steps.ts";
import { whole } from "../whole.ts";

/** Counts how often each command was executed; its reply is the command itself. */
class Counting implements StateMachine {
  executed = new Map<string, number>();
  times: number[] = [];

  apply({ commands, timeMs }: Batch): Uint8Array[] {
    this.times.push(timeMs);
    return commands.map(({ session, number, body }) => {
      const key = `${session}.${number}`;
      this.executed.set(key, (this.executed.get(key) ?? 0) + 1);
      return body;
    });
  }

  snapshot(): never {
    throw new Error("not here");
  }

  restore(): never {
    throw new Error("not here");
  }
}

class Bench {
  table = new SessionTable();
  machine = new Counting();
  #op = 0;

  apply(requests: Request[], timeMs = 0) {
    const entry = { op: ++this.#op, view: 0, timeMs, payload: encodeRequests(requests) };
    return whole(this.table.apply(entry, this.machine));
  }

  register(): number {
    const [outcome] = this.apply([{ session: 0, number: 99, floor: 0, body: new Uint8Array(0) }]);
    return new ByteReader(outcome?.body as Uint8Array).u64();
  }
}

const request = (session: number, number: number, floor = 1): Request => ({
  session,
  number,
  floor,
  body: new Uint8Array([number & 255]),
});
const statuses = (outcomes: { status: number }[]) => outcomes.map(({ status }) => status);

describe("a session", () => {
  test("gets a number that is never used again", () => {
    const bench = new Bench();
    expect([bench.register(), bench.register(), bench.register()]).toEqual([1, 2, 3]);
  });

  test("executes a request once, also when both copies are in one entry", () => {
    const bench = new Bench();
    const session = bench.register();
    const first = bench.apply([request(session, 1), request(session, 1)]);
    expect(first.map(({ body }) => [...body])).toEqual([[1], [1]]);
    expect(bench.apply([request(session, 1)]).map(({ body }) => [...body])).toEqual([[1]]);
    expect(bench.machine.executed.get(`${session}.1`)).toBe(1);
  });

  test("says nothing of a request that is being applied, in steps", () => {
    const bench = new Bench();
    const session = bench.register();
    const payload = encodeRequests([request(session, 1)]);
    const machine = {
      ...bench.machine,
      *apply({ commands }: Batch): Steps<Uint8Array[]> {
        yield;
        return commands.map(({ body }) => body);
      },
    };
    const steps = bench.table.apply({ op: 9, view: 0, timeMs: 0, payload }, machine as never);
    if (Array.isArray(steps)) throw new Error("it was done at once");
    expect(bench.table.lookUp(request(session, 1))).toBeUndefined();
    expect(statuses(finish(steps))).toEqual([ResultStatus.ok]);
    expect(bench.table.lookUp(request(session, 1))?.status).toBe(ResultStatus.ok);
  });

  test.each([
    ["one more", 1, 2],
    ["a few more", 1, 8],
    ["very many more", 1, 2 ** 40],
    ["none more", 3, 3],
  ])("lets go of the replies below its floor, when that is %s than before", (_how, first, floor) => {
    const bench = new Bench();
    const session = bench.register();
    const numbers = [7, 3, 1, 4, 2, 9, 5].filter((number) => number >= first);
    bench.apply(numbers.map((number) => request(session, number, first)));
    bench.apply([request(session, floor + 20, floor)]);
    const kept = numbers.filter((number) => bench.table.lookUp(request(session, number)) !== undefined);
    expect(kept).toEqual(numbers.filter((number) => number >= floor));
  });

  test("takes requests in any order within its window", () => {
    const bench = new Bench();
    const session = bench.register();
    expect(
      statuses(bench.apply([request(session, 5), request(session, 2), request(session, WINDOW_MAX)])),
    ).toEqual([0, 0, 0]);
    expect(statuses(bench.apply([request(session, WINDOW_MAX + 1)]))).toEqual([ResultStatus.refused]);
    // With replies given up, the window moves on.
    expect(statuses(bench.apply([request(session, WINDOW_MAX + 1, 6)]))).toEqual([0]);
    expect(statuses(bench.apply([request(session, 2, 6)]))).toEqual([ResultStatus.forgotten]);
    expect(bench.machine.executed.get(`${session}.2`)).toBe(1);
  });

  test("that was forgotten is refused, not taken for a new one", () => {
    const bench = new Bench();
    const oldest = bench.register();
    const used = bench.register();
    for (let count = 2; count < SESSIONS_MAX; count++) {
      bench.register();
      if (count % 1000 === 0) bench.apply([request(used, count, count)]);
    }
    bench.register();
    expect(statuses(bench.apply([request(oldest, 1)]))).toEqual([ResultStatus.sessionExpired]);
    expect(statuses(bench.apply([request(used, 9001, 9001)]))).toEqual([0]);
    expect(bench.machine.executed.has(`${oldest}.1`)).toBe(false);
  });
});

test("the service's time never goes back, whatever primaries' clocks say", () => {
  const bench = new Bench();
  for (const timeMs of [100, 50, 200]) bench.apply([], timeMs);
  expect(bench.machine.times).toEqual([100, 100, 200]);
});

test("a table that went through a snapshot decides alike", () => {
  const step = fc.record({
    session: fc.integer({ min: 0, max: 4 }),
    number: fc.integer({ min: 1, max: 12 }),
    floor: fc.integer({ min: 1, max: 8 }),
  });
  fc.assert(
    fc.property(fc.array(step), fc.array(step), (before, after) => {
      const bench = new Bench();
      for (const each of before) bench.apply([request(each.session, each.number, each.floor)], 7);
      const copy = new Bench();
      for (const [index, chunk] of bench.table.encode().entries()) copy.table.decode(chunk, index === 0);
      expect(copy.table.size).toBe(bench.table.size);
      for (const each of after) {
        const requests = [request(each.session, each.number, each.floor)];
        expect(copy.apply(requests, 3)).toEqual(bench.apply(requests, 3));
      }
      expect(copy.machine.times).toEqual(after.map(() => (before.length > 0 ? 7 : 3)));
    }),
  );
});
