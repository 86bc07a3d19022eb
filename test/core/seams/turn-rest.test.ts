/** When a busy server rests, and for how long: on a clock that the test moves, then on real sockets. */
import { describe, expect, test } from "bun:test";
import { createRealNet } from "../../../src/core/seams/net-real.ts";
import { type RestPace, restPaces, type Sender, TurnRest } from "../../../src/core/seams/turn-rest.ts";
import { connectRaw, until } from "../kernel/harness.ts";

/** Turns of an event loop, whose requests come `gapUs` apart. */
class Turns {
  readonly rests: number[] = [];
  planned = 0;
  #nowMs = 1000;
  #ends: (() => void)[] = [];
  #next = 0;
  readonly #senders: Sender[];
  readonly #rest: TurnRest;

  constructor(
    connections: number,
    { mayRest = true, busyShare = 0.9, pace = restPaces.brief as RestPace } = {},
  ) {
    this.#senders = Array.from({ length: connections }, () => ({ heardIn: 0 }));
    const clock = {
      monotonicMs: () => this.#nowMs,
      endOfTurn: (callback: () => void) => {
        this.planned++;
        this.#ends.push(callback);
      },
    };
    const thread = {
      rest: (microseconds: number) => void this.rests.push(microseconds),
      threadCpuMs: () => busyShare * this.#nowMs,
    };
    this.#rest = new TurnRest(clock, thread, () => mayRest, pace);
  }

  run(turns: number, chunks: number, gapUs: number): this {
    for (let turn = 0; turn < turns; turn++) {
      for (let chunk = 0; chunk < chunks; chunk++) {
        this.#nowMs += gapUs / 1000;
        this.#rest.heard(this.#senders[this.#next++ % this.#senders.length] as Sender);
      }
      for (const end of this.#ends.splice(0)) end();
    }
    return this;
  }

  wait(ms: number): this {
    this.#nowMs += ms;
    return this;
  }
}

describe("a rest at the end of a busy turn", () => {
  test("lasts until a tenth of all who send may have come, ten at most, and never more than 80 µs", () => {
    const lengths = (connections: number, gapUs: number) =>
      new Set(new Turns(connections).run(300, 3, gapUs).rests);
    expect(lengths(48, 7)).toEqual(new Set([34]));
    expect(lengths(120, 5)).toEqual(new Set([50]));
    expect(lengths(48, 19)).toEqual(new Set([80]));
  });

  test("at the long pace lasts until 0.3 may have come, twenty at most, and never more than 160 µs", () => {
    const lengths = (connections: number, gapUs: number) =>
      new Set(new Turns(connections, { pace: restPaces.long }).run(300, 3, gapUs).rests);
    expect(lengths(40, 7)).toEqual(new Set([84]));
    expect(lengths(120, 5)).toEqual(new Set([100]));
    expect(lengths(48, 19)).toEqual(new Set([160]));
  });

  test("does not come while requests are far apart, and the end of no turn is asked for then", () => {
    expect(new Turns(50).run(500, 5, 21)).toMatchObject({ rests: [], planned: 0 });
  });

  test("does not come while few connections send", () => {
    expect(new Turns(23).run(500, 3, 7).rests).toEqual([]);
    expect(new Turns(24).run(500, 3, 7).rests).not.toEqual([]);
  });

  test("does not come after a turn that served many, or a twelfth of all who send (at the long pace, 0.4)", () => {
    const rests = (connections: number, served: number, pace?: RestPace) => {
      const turns = new Turns(connections, pace && { pace }).run(200, served, 7); // the pace becomes known within a turn
      const { length } = turns.rests;
      return turns.run(100, served, 7).rests.length - length;
    };
    expect([rests(200, 3), rests(200, 4)]).toEqual([100, 0]);
    expect([rests(24, 2), rests(24, 3)]).toEqual([100, 0]);
    expect([rests(200, 20, restPaces.long), rests(200, 21, restPaces.long)]).toEqual([100, 0]);
    expect([rests(24, 9, restPaces.long), rests(24, 10, restPaces.long)]).toEqual([100, 0]);
  });

  test("does not come against the owner's will", () => {
    expect(new Turns(50, { mayRest: false }).run(200, 5, 7).rests).toEqual([]);
  });

  test("does not come while the thread hardly ever sleeps", () => {
    expect(new Turns(50, { busyShare: 0.94 }).run(200, 3, 7).rests).toEqual([]);
  });

  test("does not come after a lull, whatever the pace was before it", () => {
    const turns = new Turns(50).run(200, 5, 7);
    const { length } = turns.rests;
    expect(turns.wait(20).run(50, 1, 1000).rests).toHaveLength(length);
  });
});

test("real connections are heard where the listener allows rests, and only there", async () => {
  for (const mayRest of [() => true, undefined]) {
    let heard = 0;
    let rests = 0;
    let clockMs = 0;
    // Requests always come a microsecond apart, however busy the machine is.
    const clock = {
      monotonicMs: () => (clockMs += 0.256),
      endOfTurn: (end: () => void) => setImmediate(end),
    };
    const calls = {
      setKeepAlive: () => true,
      setBacklog: () => true,
      setUnsentBytesMax: () => true,
      send: () => 0,
      rest: () => void rests++,
      threadCpuMs: () => 0,
    };
    const handlers = { open() {}, data: () => void heard++, drain() {}, close() {} };
    const net = createRealNet(() => {}, calls, clock);
    const listener = await net.listen({ host: "127.0.0.1", port: 0, ...(mayRest && { mayRest }), handlers });
    const clients = await Promise.all(Array.from({ length: 30 }, () => connectRaw(listener.port)));
    for (let round = 1; round <= 10; round++) {
      for (const { socket } of clients) socket.write("x");
      await until("all chunks", () => (heard === round * clients.length ? true : undefined));
    }
    const before = rests;
    clients[0]?.socket.write("x");
    await until("the last chunk", () => (heard === 10 * clients.length + 1 ? true : undefined));
    await new Promise((resolve) => setImmediate(resolve));
    expect(rests - before).toBe(mayRest === undefined ? 0 : 1);
    for (const { socket } of clients) socket.terminate();
    listener.stop();
  }
});
