/** A conversation over links that are slow, limited, or dead: only silence ends it. */
import { expect, test } from "bun:test";
import { Conversation } from "../../../src/backup/wire/conversation.ts";
import { RateLimit } from "../../../src/backup/wire/rate-limit.ts";
import { sleep } from "../../../src/core/seams/clock.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;
const TIMEOUT_MS = 10_000;

/** A conversation whose kernel has room for `room` bytes, and for more when `room` is called. */
class Linked {
  readonly scheduler = new Scheduler(1);
  readonly clock = new SimClock(this.scheduler);
  readonly conversation: Conversation;
  readonly takenAtMs: number[] = [];
  readonly #handlers;
  readonly #socket: Socket;
  #room: number;

  constructor({ room, bytesPerSecond = 0 }: { room: number; bytesPerSecond?: number }) {
    this.#room = room;
    const limit = new RateLimit(this.clock, () => bytesPerSecond);
    this.conversation = new Conversation({ clock: this.clock, timeoutMs: TIMEOUT_MS, limit });
    this.#handlers = this.conversation.handlers();
    this.#socket = {
      remoteAddress: "test",
      peerIdentity: undefined,
      write: (bytes) => {
        const taken = Math.min(bytes.byteLength, this.#room);
        this.#room -= taken;
        if (taken > 0) this.takenAtMs.push(this.clock.monotonicMs());
        return taken;
      },
      pause: () => undefined,
      resume: () => undefined,
      end: () => undefined,
      terminate: () => undefined,
    };
    this.#handlers.open(this.#socket);
  }

  makeRoom(bytes: number): void {
    this.#room += bytes;
    this.#handlers.drain(this.#socket, this.conversation);
  }

  data(bytes: Uint8Array): void {
    this.#handlers.data(this.#socket, this.conversation, bytes);
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.scheduler.run(work, { timeLimitMs: 3_600_000 });
  }
}

test("a long message over a slow link takes longer than the time for silence, and so may its answer", () => {
  const link = new Linked({ room: 0 });
  link.clock.every(TIMEOUT_MS / 2, () => link.makeRoom(300 * KIB));
  link.run(async () => {
    await link.conversation.send(new Uint8Array(8 * MIB));
    const secondsToSend = link.clock.monotonicMs() / 1000;
    expect(secondsToSend).toBeGreaterThan(100);
    // Half a MiB waits still: the peer cannot answer before it has that.
    link.clock.after(TIMEOUT_MS + 1000, () => link.data(Uint8Array.of(7)));
    expect(await link.conversation.reader.u8()).toBe(7);
  });
});

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => "nothing",
    (error: Error) => error.message,
  );

test("a peer that takes nothing, and one that says nothing, are given up", () => {
  const unread = new Linked({ room: 100 * KIB });
  expect(unread.run(() => failureOf(unread.conversation.send(new Uint8Array(8 * MIB))))).toContain(
    "stopped reading",
  );
  expect(unread.clock.monotonicMs()).toBe(TIMEOUT_MS);
  const silent = new Linked({ room: MIB });
  expect(silent.run(() => failureOf(silent.conversation.reader.u8()))).toContain("said nothing for 10 s");
  expect(silent.clock.monotonicMs()).toBe(TIMEOUT_MS);
});

test("under a limit long messages go in parts, between which no peer waits long", () => {
  const link = new Linked({ room: 100 * MIB, bytesPerSecond: 20 * KIB });
  link.run(async () => {
    for (let message = 0; message < 2; message++) await link.conversation.send(new Uint8Array(MIB));
    await sleep(link.clock, 1);
  });
  const pauses = link.takenAtMs.slice(1).map((atMs, index) => atMs - (link.takenAtMs[index] as number));
  expect(Math.max(...pauses)).toBeLessThan(TIMEOUT_MS / 2);
  expect(link.clock.monotonicMs()).toBeGreaterThan(90_000);
});
