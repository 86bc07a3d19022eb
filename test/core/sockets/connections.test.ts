/** The table of connections on a simulated clock. */
import { describe, expect, test } from "bun:test";
import { sleep } from "../../../src/core/seams/clock.ts";
import {
  ConnectionTable,
  type Admission,
  type ConnectionLimits,
} from "../../../src/core/sockets/connections.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { Outbox } from "../../../src/core/sockets/outbox.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

class Member {
  room = Number.POSITIVE_INFINITY;
  closedAtMs: number | undefined;
  readonly socket: Socket;
  readonly outbox: Outbox;

  constructor(clock: SimClock) {
    this.socket = {
      remoteAddress: "127.0.0.1:1",
      peerIdentity: undefined,
      write: (bytes) => {
        const count = Math.min(this.room, bytes.byteLength);
        this.room -= count;
        return count;
      },
      pause() {},
      resume() {},
      end() {},
      terminate: () => void (this.closedAtMs ??= clock.monotonicMs()),
    };
    this.outbox = new Outbox(this.socket, { bytesMax: 1e6 });
  }
}

const seed = 20261125;
type Body = (clock: SimClock, table: ConnectionTable<Member>, add: () => Admission<Member>) => Promise<void>;

/** Runs `body` on simulated time with a table under `limits`. */
function simulate(limits: ConnectionLimits, body: Body): void {
  const scheduler = new Scheduler(seed);
  const clock = new SimClock(scheduler);
  const table = new ConnectionTable<Member>({ clock, limits: () => limits });
  scheduler.run(() => body(clock, table, () => table.add(new Member(clock))));
}

const limits = { connections: 3, idleTimeoutMs: 0, stallTimeoutMs: 0 };

describe("the connection table", () => {
  test("has room for as many as the limit says, also after a reload changed it", () => {
    const current = { ...limits };
    simulate(current, async (_clock, table, add) => {
      const admitted = [add(), add(), add()];
      expect(table.hasRoom()).toBe(false);
      table.remove(admitted[0]!.member);
      expect(table.hasRoom()).toBe(true);
      current.connections = 2;
      expect(table.hasRoom()).toBe(false);
      expect(table.figures).toMatchObject({ connections: 2, refused: 2 });
    });
  });

  test("closes an idle connection within a tick after its time and not before", () => {
    simulate({ ...limits, idleTimeoutMs: 10_000 }, async (clock, table, add) => {
      const idle = add();
      const busy = add();
      for (let second = 0; second < 30; second++) {
        await sleep(clock, 1000);
        table.touch(busy);
      }
      expect(idle.member.closedAtMs).toBeGreaterThanOrEqual(10_000);
      expect(idle.member.closedAtMs).toBeLessThanOrEqual(12_000);
      expect(busy.member.closedAtMs).toBeUndefined();
      expect(table.figures).toMatchObject({ connections: 1, closedIdle: 1, closedStalled: 0 });
    });
  });

  test("keeps idle connections for ever at 0", () => {
    simulate(limits, async (clock, _table, add) => {
      const { member } = add();
      await sleep(clock, 10 * 24 * 3_600_000);
      expect(member.closedAtMs).toBeUndefined();
    });
  });

  test("closes a peer that takes nothing of what waits for it", () => {
    simulate({ ...limits, stallTimeoutMs: 5000 }, async (clock, table, add) => {
      const { member } = add();
      member.room = 0;
      member.outbox.send(new Uint8Array(1000));
      await sleep(clock, 4900);
      expect(member.closedAtMs).toBeUndefined();
      await sleep(clock, 3000);
      expect(member.closedAtMs).toBeDefined();
      expect(table.figures.closedStalled).toBe(1);
    });
  });

  test("keeps a peer that is slow but takes something, even with bytes waiting all the time", () => {
    simulate({ ...limits, stallTimeoutMs: 5000, idleTimeoutMs: 5000 }, async (clock, _table, add) => {
      const { member } = add();
      member.room = 0;
      for (let round = 0; round < 60; round++) {
        member.outbox.send(new Uint8Array(1000));
        member.room = 10;
        member.outbox.drain();
        await sleep(clock, 1000);
      }
      expect(member.closedAtMs).toBeUndefined();
    });
  });
});
