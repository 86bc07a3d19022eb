/** The gate against a log that syncs when it likes: order per connection, nothing before its position is durable. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Durability, HeldReplies, ReplyGate, type ReplySink } from "../../src/channels/reply-gate.ts";

/** A reply, and the log position that it must not leave before. */
interface Made {
  bytes: number[];
  position: number;
  isPromise: boolean;
}

class FakeLog implements Durability {
  position = 0;
  durablePosition = 0;
  isStalled = false;
}

/** Checks every byte at the moment it leaves. */
class CheckedConnection implements ReplySink {
  readonly held = new HeldReplies(this);
  readonly made: Made[] = [];
  readonly problems: string[] = [];
  releases = 0;
  sentBytes = 0;
  #log: FakeLog;
  #next = 0;

  constructor(log: FakeLog) {
    this.#log = log;
  }

  reply(gate: ReplyGate, length: number, isPromise: boolean): void {
    const bytes = Array.from({ length }, () => this.#next++ % 251);
    this.made.push({ bytes, position: this.#log.position, isPromise });
    const scratch = Uint8Array.from(bytes);
    gate.reply(this.held, scratch, isPromise);
    scratch.fill(255); // reused by the engine: nothing may be kept by reference
  }

  send(bytes: Uint8Array): void {
    if (this.held.isClosed) this.problems.push("bytes for a closed connection");
    let at = 0;
    let start = 0;
    for (const { bytes: wanted, position, isPromise } of this.made) {
      const end = start + wanted.length;
      for (
        let offset = Math.max(this.sentBytes + at, start);
        offset < end && at < bytes.byteLength;
        offset++, at++
      ) {
        if (bytes[at] !== wanted[offset - start]) this.problems.push(`byte ${offset} is not in its place`);
        const mayPass = position <= this.#log.durablePosition || (this.#log.isStalled && !isPromise);
        if (!mayPass)
          this.problems.push(`byte ${offset} left at ${this.#log.durablePosition}, before ${position}`);
      }
      start = end;
    }
    if (at < bytes.byteLength) this.problems.push("more bytes than were made");
    this.sentBytes += bytes.byteLength;
  }

  onReleased(): void {
    this.releases++;
  }

  get madeBytes(): number {
    return this.made.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}

const CONNECTIONS = 3;
const connection = fc.integer({ min: 0, max: CONNECTIONS - 1 });
const length = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3000 }));
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("write" as const), connection, length }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("read" as const), connection, length }) },
  // How far the log syncs: a part of what is missing.
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("sync" as const),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("stall" as const), isStalled: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), connection }) },
);

interface Run {
  log: FakeLog;
  connections: CheckedConnection[];
  problems: string[];
}

/** Plays `steps`; `believe` is what the gate is told of the log. */
function play(
  steps: (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[],
  believe = (log: FakeLog): Durability => log,
): Run {
  const log = new FakeLog();
  const gate = new ReplyGate(believe(log));
  const connections = Array.from({ length: CONNECTIONS }, () => new CheckedConnection(log));
  for (const each of steps) {
    if (each.kind === "sync") {
      log.durablePosition += Math.floor((log.position - log.durablePosition) * each.part);
      gate.onProgress();
    } else if (each.kind === "stall") {
      log.isStalled = each.isStalled;
      gate.onProgress();
    } else {
      const target = connections[each.connection] as CheckedConnection;
      if (each.kind === "close") {
        target.held.close();
      } else if (!target.held.isClosed && !(each.kind === "write" && log.isStalled)) {
        if (each.kind === "write") log.position += 10;
        target.reply(gate, each.length, each.kind === "write");
      }
    }
  }
  // In the end the log syncs all.
  log.isStalled = false;
  log.durablePosition = log.position;
  gate.onProgress();
  return { log, connections, problems: connections.flatMap(({ problems }) => problems) };
}

describe("the reply gate", () => {
  test("sends each connection's bytes once, in order, and none before its position is durable", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { connections, problems } = play(steps);
        expect(problems).toEqual([]);
        for (const { held, sentBytes, madeBytes } of connections) {
          if (!held.isClosed)
            expect({ sentBytes, held: held.length }).toEqual({ sentBytes: madeBytes, held: 0 });
        }
      }),
      { numRuns: 500 },
    );
  });

  test("negative control: a gate that believes the log to be ahead is caught", () => {
    const ahead = (log: FakeLog): Durability => ({
      get position() {
        return log.position;
      },
      get durablePosition() {
        return log.durablePosition + 1;
      },
      isStalled: false,
    });
    const steps = [
      { kind: "write" as const, connection: 0, length: 5 },
      { kind: "sync" as const, part: 0.9 },
    ];
    expect(play(steps, ahead).problems.length).toBeGreaterThan(0);
    expect(play(steps).problems).toEqual([]);
  });

  test("nothing is copied or held while nothing is pending", () => {
    const log = new FakeLog();
    const gate = new ReplyGate(log);
    const only = new CheckedConnection(log);
    only.reply(gate, 100, false);
    expect({ sent: only.sentBytes, held: only.held.length, releases: only.releases }).toEqual({
      sent: 100,
      held: 0,
      releases: 0,
    });
  });

  test("a read that waits for another's write passes when the log stalls; the write's own reply does not", () => {
    const log = new FakeLog();
    const gate = new ReplyGate(log);
    const [writer, reader] = [new CheckedConnection(log), new CheckedConnection(log)];
    log.position = 10;
    writer.reply(gate, 5, true);
    reader.reply(gate, 7, false);
    writer.reply(gate, 3, false); // a read behind its own write keeps its place
    expect([writer.sentBytes, reader.sentBytes]).toEqual([0, 0]);
    log.isStalled = true;
    gate.onProgress();
    expect([writer.sentBytes, reader.sentBytes, reader.releases]).toEqual([0, 7, 1]);
    reader.reply(gate, 2, false);
    expect(reader.sentBytes).toBe(9);
    log.isStalled = false;
    log.durablePosition = 10;
    gate.onProgress();
    expect([writer.sentBytes, writer.releases]).toEqual([8, 1]);
  });

  test("many runs of one connection are merged and still wait for the last", () => {
    const log = new FakeLog();
    const gate = new ReplyGate(log);
    const only = new CheckedConnection(log);
    for (let write = 0; write < 100; write++) {
      log.position += 1;
      only.reply(gate, 10, true);
    }
    for (let synced = 1; synced <= 100; synced++) {
      log.durablePosition = synced;
      gate.onProgress();
    }
    expect(only.problems).toEqual([]);
    expect(only.sentBytes).toBe(1000);
  });
});
