/** Snapshots that several ask for: the journal, and replicas that lack entries. */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { PART_BYTES_MAX, Service } from "../../../src/reactive/replication/service.ts";
import { SnapshotSender } from "../../../src/reactive/replication/snapshot-transfer.ts";
import type { PeerMessage, StateMachine } from "../../../src/reactive/replication/types.ts";
import { ListMachine } from "./list-machine.ts";

test("one at a time reads a snapshot; whoever comes meanwhile asks again, and ends nobody else's", () => {
  const scheduler = new Scheduler(1);
  scheduler.run(async () => {
    const service = new Service(new ListMachine());
    const sent: [to: number, message: PeerMessage][] = [];
    const sender = new SnapshotSender(service, new SimClock(scheduler), (to, message) => {
      sent.push([to, message]);
    });
    const ask = (from: number, index = 0) =>
      sender.onRequest(from, { type: "getSnapshot", transfer: from, index });
    const journal = service.snapshot();
    await ask(1);
    expect(sent).toEqual([]);
    journal.close();
    await ask(1);
    expect(sent).toMatchObject([[1, { index: 0, isLast: false }]]);
    await ask(2);
    expect(sent).toHaveLength(1);
    for (let index = 1; sent.at(-1)?.[1].type === "snapshotChunk" && !service.canBeRead; index++)
      await ask(1, index);
    expect(sent.at(-1)).toMatchObject([1, { isLast: true }]);
    await ask(2);
    expect(sent.at(-1)).toMatchObject([2, { index: 0, isLast: false }]);
    journal.close();
    expect(service.canBeRead).toBe(false);
    sender.close();
    expect(service.canBeRead).toBe(true);
  });
});

/** Holds bytes, and shows each as one chunk, however long. */
class Bytes implements StateMachine {
  held: Uint8Array[] = [];

  apply(): Uint8Array[] {
    return [];
  }

  snapshot() {
    return { chunks: this.held, close() {} };
  }

  restore() {
    const taken: Uint8Array[] = [];
    return {
      add: (chunk: Uint8Array) => void taken.push(chunk.slice()),
      finish: () => void (this.held = taken),
      abandon() {},
    };
  }
}

test("a chunk of any length travels in parts that find room in a message, and arrives as one", async () => {
  const machine = new Bytes();
  const lengths = [0, 1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 3 * PART_BYTES_MAX + 5];
  machine.held = lengths.map((length, index) => new Uint8Array(length).fill(index + 1));
  const { chunks, close } = new Service(machine).snapshot();
  const copy = new Bytes();
  const restorer = new Service(copy).restore();
  const parts: Uint8Array[] = [];
  for await (const part of chunks) parts.push(part);
  close();
  for (const part of parts) restorer.add(part);
  restorer.finish(7);
  expect(Math.max(...parts.map(({ byteLength }) => byteLength))).toBe(PART_BYTES_MAX);
  expect(copy.held).toEqual(machine.held);
  const half = new Service(new Bytes()).restore();
  for (const part of parts.slice(0, -1)) half.add(part);
  expect(() => half.finish(7)).toThrow("ends within a chunk");
});
