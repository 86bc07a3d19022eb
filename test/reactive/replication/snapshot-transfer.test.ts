/** Snapshots that several ask for: the journal, and replicas that lack entries. */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { Service } from "../../../src/reactive/replication/service.ts";
import { SnapshotSender } from "../../../src/reactive/replication/snapshot-transfer.ts";
import type { PeerMessage } from "../../../src/reactive/replication/types.ts";
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
    for (let index = 1; sent.at(-1)?.[1].type === "snapshotChunk" && service.isBeingRead; index++)
      await ask(1, index);
    expect(sent.at(-1)).toMatchObject([1, { isLast: true }]);
    await ask(2);
    expect(sent.at(-1)).toMatchObject([2, { index: 0, isLast: false }]);
    journal.close();
    expect(service.isBeingRead).toBe(true);
    sender.close();
    expect(service.isBeingRead).toBe(false);
  });
});
