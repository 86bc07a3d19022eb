/** The outbox against a socket that takes what it likes: nothing lost, nothing twice, nothing out of order. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Socket } from "../../../src/core/seams/net.ts";
import { Outbox, type OutboxOptions } from "../../../src/core/sockets/outbox.ts";

/** Takes up to `room` bytes in all, and remembers them. */
class FakeSocket implements Socket {
  readonly remoteAddress = "127.0.0.1:1";
  readonly peerIdentity = undefined;
  readonly taken: number[] = [];
  readonly chunks: Uint8Array[] = [];
  room = 0;
  isEnded = false;
  isTerminated = false;

  write(bytes: Uint8Array): number {
    if (this.isTerminated || this.isEnded) return -1;
    const count = Math.min(this.room, bytes.byteLength);
    this.room -= count;
    for (let index = 0; index < count; index++) this.taken.push(bytes[index] as number);
    this.chunks.push(bytes);
    return count;
  }
  pause(): void {}
  resume(): void {}
  end(): void {
    this.isEnded = true;
  }
  terminate(): void {
    this.isTerminated = true;
  }
}

const bytesMax = 10_000;
const open = (options: Partial<OutboxOptions> = {}) => {
  const socket = new FakeSocket();
  return { socket, outbox: new Outbox(socket, { bytesMax, ...options }) };
};
const text = (length: number) => new Uint8Array(length).fill(120);

describe("the outbox", () => {
  test("delivers every byte once and in order, however the kernel splits it", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), length: fc.integer({ min: 0, max: 3000 }) }),
      // Room appears some time before the event loop tells of it: sends in between must queue.
      fc.record({ kind: fc.constant("room" as const), length: fc.integer({ min: 0, max: 5000 }) }),
      fc.record({ kind: fc.constant("drain" as const), length: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { socket, outbox } = open();
        const sent: number[] = [];
        let next = 0;
        const scratch = new Uint8Array(3000); // reused: the outbox must not keep it
        for (const { kind, length } of steps) {
          if (kind === "send") {
            const chunk = scratch.subarray(0, length);
            for (let index = 0; index < length; index++) chunk[index] = next++ % 251;
            outbox.send(chunk);
            if (socket.isTerminated) {
              expect(sent.length - socket.taken.length + length).toBeGreaterThan(bytesMax - 1);
              break;
            }
            sent.push(...chunk);
            scratch.fill(255);
          } else if (kind === "room") {
            socket.room = length;
          } else {
            outbox.drain();
          }
          expect(outbox.length).toBe(sent.length - socket.taken.length);
          expect(outbox.length).toBeLessThanOrEqual(bytesMax);
        }
        if (!socket.isTerminated) {
          socket.room = Number.POSITIVE_INFINITY;
          outbox.drain();
          expect(socket.taken).toEqual(sent);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("hands over the caller's own bytes, without a copy, while the kernel takes everything", () => {
    const { socket, outbox } = open();
    socket.room = Number.POSITIVE_INFINITY;
    const chunk = text(100);
    for (let index = 0; index < 5; index++) outbox.send(chunk);
    expect(socket.chunks.every((seen) => seen === chunk)).toBe(true);
  });

  test("closes a client that does not read, once, and tells how much waited", () => {
    const overflows: number[] = [];
    const { socket, outbox } = open({ onOverflow: (bytes) => overflows.push(bytes) });
    for (let index = 0; index < 30; index++) outbox.send(text(1000));
    expect(socket.isTerminated).toBe(true);
    expect(overflows).toEqual([11_000]);
    expect(outbox.length).toBe(0);
  });

  test("asks for a pause once at the high mark and for more at half of it", () => {
    const events: string[] = [];
    const { socket, outbox } = open({
      highBytes: 1000,
      onHigh: () => events.push("high"),
      onLow: () => events.push("low"),
      onDrained: () => events.push("drained"),
    });
    for (let index = 0; index < 4; index++) outbox.send(text(400));
    expect(events).toEqual(["high"]);
    socket.room = 1000;
    outbox.drain();
    expect(events).toEqual(["high"]);
    socket.room = 100;
    outbox.drain();
    expect(events).toEqual(["high", "low"]);
    socket.room = 10_000;
    outbox.drain();
    expect(events).toEqual(["high", "low", "drained"]);
    socket.room = 0;
    for (let index = 0; index < 3; index++) outbox.send(text(400));
    expect(events.at(-1)).toBe("high");
  });

  test("keeps the order when more is sent from within onLow and onDrained", () => {
    let rounds = 3;
    const { socket, outbox } = open({
      highBytes: 10,
      onLow: () => outbox.send(Buffer.from("low ")),
      onDrained: () => rounds-- > 0 && outbox.send(Buffer.from("more ")),
    });
    outbox.send(Buffer.from("a long beginning "));
    socket.room = Number.POSITIVE_INFINITY;
    outbox.drain();
    expect(Buffer.from(socket.taken).toString()).toBe("a long beginning low more ");
  });

  test("ends the connection only after what waited has left, and takes nothing more", () => {
    const { socket, outbox } = open();
    outbox.send(text(10));
    outbox.end();
    outbox.send(text(10));
    expect(socket.isEnded).toBe(false);
    socket.room = 100;
    outbox.drain();
    expect(socket.isEnded).toBe(true);
    expect(socket.taken).toHaveLength(10);
  });
});
