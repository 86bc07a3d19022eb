/** What waits for the log and what waits for the kernel, of several connections, in buffers that they share. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { HeldReplies } from "../../src/channels/reply-gate.ts";
import type { Socket } from "../../src/core/seams/net.ts";
import { Outbox } from "../../src/core/sockets/outbox.ts";
import { SpareBuffers } from "../../src/core/sockets/spare-buffers.ts";

const KIB = 1024;

/** Takes so many bytes at most, now and until there is more room. */
class Peer {
  readonly taken: Uint8Array[] = [];
  room = 0;
  readonly socket = {
    write: (bytes: Uint8Array) => {
      const count = Math.min(this.room, bytes.byteLength);
      this.room -= count;
      this.taken.push(bytes.slice(0, count));
      return count;
    },
    end() {},
    terminate() {},
  } as unknown as Socket;
}

test("connections that share them never see bytes of each other, whoever comes and goes", () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 3 }),
    kind: fc.constantFrom("send", "hold", "release", "drain", "leave"),
    bytes: fc.integer({ min: 1, max: 300 * KIB }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 30, maxLength: 60 }), (steps) => {
      const spares = new SpareBuffers(512 * KIB);
      const open = (mark: number) => {
        const peer = new Peer();
        const outbox = new Outbox(peer.socket, { bytesMax: 2 ** 30, spares });
        const sink = { send: (bytes: Uint8Array) => outbox.send(bytes), onReleased() {} };
        return { mark, peer, outbox, held: new HeldReplies(sink, spares), sent: 0 };
      };
      const seats = [1, 2, 3, 4].map(open);
      const check = ({ mark, peer, outbox, held, sent }: (typeof seats)[number]) => {
        peer.room = Number.POSITIVE_INFINITY;
        held.release(1, false);
        outbox.drain();
        const all = Buffer.concat(peer.taken);
        expect(all.byteLength).toBe(sent);
        expect(all.equals(Buffer.alloc(sent, mark))).toBe(true);
      };
      for (const { who, kind, bytes } of steps) {
        const seat = seats[who] as (typeof seats)[number];
        if (kind === "send" || kind === "hold") {
          const chunk = new Uint8Array(bytes).fill(seat.mark);
          // What is held already comes first.
          if (kind === "hold" || seat.held.length > 0) seat.held.hold(chunk, 1, true);
          else seat.outbox.send(chunk);
          seat.sent += bytes;
        } else if (kind === "release") {
          seat.held.release(1, false);
        } else if (kind === "drain") {
          seat.peer.room = bytes;
          seat.outbox.drain();
          seat.peer.room = 0;
        } else {
          seat.outbox.close();
          seat.held.close();
          seats[who] = open(seat.mark + 4);
        }
      }
      for (const seat of seats) check(seat);
    }),
    { numRuns: 40 },
  );
});
