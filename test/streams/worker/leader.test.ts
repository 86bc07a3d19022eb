/** The leader alone, with members that are lists of messages and a disk that answers when the test says so. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { Leader } from "../../../src/streams/worker/leader.ts";
import type { Hello, ToMember } from "../../../src/streams/worker/messages.ts";

class FakeMember {
  readonly messages: ToMember[] = [];
  isClosed = false;
  incarnation = 1;

  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }

  send(message: ToMember): void {
    this.messages.push(message);
  }

  close(): void {
    this.isClosed = true;
  }

  hello(checkpoints: { committed?: number; prepared?: number; joining?: number } = {}): Hello {
    const place = { name: this.name, control: "10.0.0.1:1", data: "10.0.0.1:2" };
    const { committed = 0, prepared = 0, joining = 0 } = checkpoints;
    return {
      ...{ type: "hello", name: this.name, incarnation: this.incarnation, life: this.incarnation, plan: "p" },
      ...{ epoch: 0, committed, prepared, place, hasSources: false, joining, proof: "" },
    };
  }

  last<Type extends ToMember["type"]>(type: Type): Extract<ToMember, { type: Type }> | undefined {
    return this.messages.findLast((message) => message.type === type) as never;
  }
}

function clusterOf(size: number) {
  const scheduler = new Scheduler(1);
  let decided: (() => void) | undefined;
  const leader = new Leader(
    {
      ...{ clock: new SimClock(scheduler), log: silentLog(), plan: "p", selfName: "initializer", size },
      checkpointMs: 100,
      remember: async () => {},
      decide: () =>
        new Promise((resolve) => {
          decided = resolve;
        }),
      canCheckpoint: () => true,
      onFatal: (error) => {
        throw error;
      },
    },
    { epoch: 0, committed: 0, prepared: 0, layout: undefined, places: [] },
  );
  const members = ["initializer", "worker2", "worker3"].slice(0, size).map((name) => new FakeMember(name));
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      scheduler.after(ms, resolve);
    });
  return {
    ...{ scheduler, leader, members, pause },
    decide: () => decided?.(),
    isDeciding: () => decided !== undefined,
    /** Everybody is in, ready, and has prepared the first checkpoint. */
    async untilPrepared(): Promise<void> {
      for (const member of members) expect(leader.greet(member, member.hello())).toBeUndefined();
      await pause(1);
      for (const member of members)
        leader.hear(member, member.name, { type: "ready", epoch: 1, streams: [] });
      await pause(150);
      for (const member of members) {
        expect(member.last("checkpoint")).toMatchObject({ epoch: 1, checkpoint: 1 });
        leader.hear(member, member.name, { type: "prepared", epoch: 1, checkpoint: 1 });
      }
      await pause(1);
    },
  };
}

test("nobody hears that a checkpoint is committed before that is written down", () => {
  const { scheduler, members, decide, isDeciding, untilPrepared, pause } = clusterOf(2);
  scheduler.run(async () => {
    await untilPrepared();
    expect(isDeciding()).toBe(true);
    expect(members.map((member) => member.last("committed"))).toEqual([undefined, undefined]);
    decide();
    await pause(1);
    for (const member of members) expect(member.last("committed")).toMatchObject({ checkpoint: 1 });
  });
});

test("who comes back while a checkpoint is being decided is not told to go back behind it", () => {
  const { scheduler, leader, members, decide, untilPrepared, pause } = clusterOf(2);
  scheduler.run(async () => {
    await untilPrepared();
    const again = new FakeMember("worker2");
    again.incarnation = 2;
    expect(leader.greet(again, again.hello({ prepared: 1 }))).toBeUndefined();
    await pause(10);
    expect(again.last("begin")).toBeUndefined();
    decide();
    await pause(10);
    expect(again.last("begin")).toMatchObject({ epoch: 2, checkpoint: 1 });
    expect(members[0]?.last("begin")).toMatchObject({ epoch: 2, checkpoint: 1 });
  });
});

test("a newcomer that dies while its entry is being decided is a member, and is waited for", () => {
  const { scheduler, leader, members, decide, pause } = clusterOf(1);
  scheduler.run(async () => {
    const [first] = members as [FakeMember];
    const newcomer = new FakeMember("worker2");
    leader.greet(first, first.hello());
    await pause(1);
    leader.hear(first, first.name, { type: "ready", epoch: 1, streams: [] });
    leader.greet(newcomer, newcomer.hello({ joining: 1 }));
    await pause(1);
    expect(first.last("checkpoint")).toMatchObject({ hold: true });
    leader.hear(first, first.name, { type: "prepared", epoch: 1, checkpoint: 1 });
    await pause(1);
    decide();
    await pause(1);
    expect(newcomer.last("begin")).toMatchObject({
      epoch: 2,
      checkpoint: 1,
      move: true,
      newcomers: ["worker2"],
    });
    for (const member of [first, newcomer])
      leader.hear(member, member.name, { type: "ready", epoch: 2, streams: [] });
    await pause(10);
    for (const member of [first, newcomer])
      leader.hear(member, member.name, { type: "prepared", epoch: 2, checkpoint: 2 });
    await pause(1);
    leader.lost(newcomer, "worker2");
    decide();
    await pause(10);
    expect(leader.layout?.members).toEqual(["initializer", "worker2"]);
    const again = new FakeMember("worker2");
    again.incarnation = 2;
    expect(leader.greet(again, again.hello({ prepared: 2, joining: 1 }))).toBeUndefined();
    await pause(10);
    expect(again.last("begin")).toMatchObject({ checkpoint: 2, move: false, newcomers: [] });
  });
});

test("a member whose checkpoint is not the cluster's is refused, and says where to get it", () => {
  const { scheduler, leader, members, decide, untilPrepared, pause } = clusterOf(2);
  scheduler.run(async () => {
    await untilPrepared();
    decide();
    await pause(1);
    const [, second] = members as [FakeMember, FakeMember];
    leader.lost(second, "worker2");
    const stale = new FakeMember("worker2");
    stale.incarnation = 2;
    expect(leader.greet(stale, stale.hello())).toContain("restore it from a replica");
    expect(leader.greet(stale, stale.hello({ committed: 1 }))).toBeUndefined();
  });
});

test("a leader that has just started lets nobody go on with a stream before all have told how far it is", () => {
  const { scheduler, leader, members, pause } = clusterOf(2);
  const [first, second] = members as [FakeMember, FakeMember];
  const position = { source: "in", stream: "3", seen: 511, acked: 511, isHeld: false };
  scheduler.run(async () => {
    // The leader before this one began epoch 3; the second worker is still in it.
    leader.greet(second, { ...second.hello(), epoch: 3 });
    leader.hear(second, second.name, { type: "streamWanted", epoch: 3, source: "in", stream: "3" });
    leader.greet(first, first.hello());
    await pause(1);
    expect(second.last("begin")?.epoch).toBe(4);
    leader.hear(second, second.name, { type: "ready", epoch: 4, streams: [] });
    leader.hear(second, second.name, { type: "streamWanted", epoch: 4, source: "in", stream: "3" });
    expect(second.last("stream")).toBeUndefined();
    leader.hear(first, first.name, { type: "ready", epoch: 4, streams: [position] });
    expect(second.last("stream")).toMatchObject({ epoch: 4, grant: { isGranted: true, seen: 511 } });
  });
});
