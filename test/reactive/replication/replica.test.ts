/** Schedules that decide whether replication is right, each told message by message. */
import { describe, expect, test } from "bun:test";
import { Table } from "./table.ts";

const statusOf = (table: Table, index: number) => table.seat(index).replica.status;

test("a new group founds itself when all replicas are there, and not before", () => {
  const table = new Table(3);
  table.run(500, [0, 1]);
  expect(statusOf(table, 0).phase).toBe("blank");
  expect(statusOf(table, 0).trouble).toContain("waits for replica 2");
  table.run(500);
  expect([0, 1, 2].map((index) => statusOf(table, index).phase)).toEqual(["normal", "normal", "normal"]);
  expect(statusOf(table, 0).isPrimary).toBe(true);
});

test("a backup that was started again is not ready before it has heard its primary", () => {
  const table = Table.founded(3);
  table.run(200);
  table.seat(1).restart();
  expect(statusOf(table, 1)).toMatchObject({ phase: "normal", trouble: "it has not heard its primary yet" });
  table.run(200);
  expect([0, 1, 2].map((index) => statusOf(table, index).trouble)).toEqual([undefined, undefined, undefined]);
});

test("a request is committed when a quorum has it on disk, not before", () => {
  const table = Table.founded(3);
  table.lose();
  table.seat(0).request("x");
  table.deliver(0, 1, "prepare");
  table.deliver(1, 0);
  table.seat(0).sync();
  expect(table.seat(0).applied).toEqual([]);
  table.seat(1).sync();
  table.deliver(1, 0, "prepareOk");
  expect(table.seat(0).applied).toEqual(["x"]);
});

test("the primary counts its own copy only when it is on disk", () => {
  const table = Table.founded(3);
  table.lose();
  table.seat(0).request("x");
  table.deliver(0, 1, "prepare");
  table.seat(1).sync();
  table.deliver(1, 0, "prepareOk");
  expect(table.seat(0).applied).toEqual([]);
  table.seat(0).sync();
  expect(table.seat(0).applied).toEqual(["x"]);
});

test("long entries travel one by one, so that each message finds room, and none is asked for twice", () => {
  const table = Table.founded(3);
  const seat = table.seat(0);
  table.lose();
  const texts = [1, 2, 3].map((each) => `${each}`.repeat(700_000));
  for (const text of texts) {
    const body = new TextEncoder().encode(text);
    seat.replica.take({ session: 1, number: 1, floor: 1, body });
  }
  seat.step({ kind: "turnEnd" });
  const toOne = seat.sent.filter(({ to }) => to === 1).map(({ envelope }) => envelope.message);
  expect(toOne.map((message) => (message.type === "prepare" ? [message.op, message.entries.length] : 0))).toEqual(
    [[1, 1], [2, 1], [3, 1]],
  ); // prettier-ignore
  table.deliver(0, 1);
  expect(table.seat(1).sent.map(({ envelope }) => envelope.message.type)).not.toContain("getEntries");
  table.settle();
  expect(seat.applied).toEqual(texts);
  table.run(100);
  expect(table.seat(1).applied).toEqual(texts);
});

test("a group of one commits by itself, and goes on after a restart", () => {
  const table = Table.founded(1);
  const seat = table.seat(0);
  seat.request("x");
  seat.sync();
  expect(seat.applied).toEqual(["x"]);
  seat.restart();
  table.settle();
  expect(seat.applied).toEqual(["x"]);
  expect(statusOf(table, 0).isPrimary).toBe(true);
});

test("the primary's death gives another primary in less than a second, with everything committed", () => {
  const table = Table.founded(3);
  table.seat(0).request("x");
  table.settle();
  table.lose();
  table.run(1000, [1, 2]);
  expect(statusOf(table, 1).isPrimary || statusOf(table, 2).isPrimary).toBe(true);
  expect(table.seat(1).log).toEqual(["x"]);
  expect(table.seat(2).log).toEqual(["x"]);
});

test("a backup with a bad link disturbs nobody", () => {
  const table = Table.founded(3);
  for (let round = 0; round < 200; round++) {
    // Replica 2 hears nothing, but is heard.
    table.run(10, [0, 1]);
    table.pass(0, [2]);
    table.deliver(2, 0);
    table.deliver(2, 1);
  }
  expect(statusOf(table, 0)).toMatchObject({ isPrimary: true, view: 0 });
  table.lose();
  table.run(200);
  expect(statusOf(table, 2)).toMatchObject({ phase: "normal", view: 0 });
});

describe("figure 8", () => {
  /**
   * X is logged in view 0 on replica 1 alone (and its dead primary). View 2's primary, replica 2, does not know it and
   * logs Y alone. View 4 (replicas 0 and 1, primary 1) finds X on replica 1 and commits it, without an entry of its own.
   * Then replica 2 comes back, with the entry of the higher view, and meets replica 1 only.
   */
  function figure8(): Table {
    const table = Table.founded(3);
    table.lose();
    table.seat(0).request("X");
    table.deliver(0, 1, "prepare");
    table.seat(1).sync();
    table.lose();
    // Replica 0's disk has not got it.
    table.seat(0).restart();
    table.lose();
    becomePrimary(table, 2, [0, 2], { isHeard: false });
    expect(statusOf(table, 2)).toMatchObject({ isPrimary: true, view: 2 });
    table.seat(2).request("Y");
    table.seat(2).sync();
    table.lose();
    // Replica 0 never heard that view 2 began.
    becomePrimary(table, 1, [0, 1]);
    table.run(200, [0, 1]);
    expect(table.seat(1).applied).toEqual(["X"]);
    expect(table.seat(0).applied).toEqual(["X"]);
    table.lose();
    return table;
  }

  /** Views pass between these two until `wanted` is primary. `isHeard`: its first messages arrive. */
  function becomePrimary(table: Table, wanted: number, among: number[], { isHeard = true } = {}): void {
    for (let passed = 0; passed < 20_000; passed += 10) {
      table.pass(10, among);
      for (let round = 0; round < 20; round++) {
        for (const from of among) {
          table.seat(from).sync();
          if (table.seat(wanted).replica.status.isPrimary) {
            if (!isHeard) table.lose();
            return;
          }
          for (const to of among) if (to !== from) deliverUnlessBegun(table, from, to, wanted);
        }
      }
    }
    throw new Error(`replica ${wanted} never became primary`);
  }

  /** Another than the wanted replica is kept from beginning a view. */
  function deliverUnlessBegun(table: Table, from: number, to: number, wanted: number): void {
    if (to === wanted || from === wanted) {
      if (to !== wanted) table.take(from, ({ envelope }) => envelope.message.type === "doViewChange");
      table.deliver(from, to);
    }
  }

  test("a committed entry wins against one of a higher view that nobody else had", () => {
    const table = figure8();
    table.seat(1).restart();
    table.run(5000, [1, 2]);
    expect(table.seat(1).log).toEqual(["X"]);
    expect(table.seat(2).log).toEqual(["X"]);
  });
});

test("a log is shown for a new view only when the promise is on disk", () => {
  const table = Table.founded(3);
  table.lose();
  table.pass(700, [1, 2]);
  table.deliver(1, 2, "startViewChange");
  table.deliver(2, 1, "startViewChange");
  const shown = () => table.seat(2).sent.filter(({ envelope }) => envelope.message.type === "doViewChange");
  expect(statusOf(table, 2).view).toBe(1);
  table.pass(150, [2]);
  expect(shown()).toEqual([]);
  table.seat(2).sync();
  expect(shown()).toHaveLength(1);
});

test("a replica that restarts keeps its promise not to take part in older views", () => {
  const table = Table.founded(3);
  table.lose();
  table.seat(0).request("x");
  const [slow] = table.take(0, ({ to }) => to === 2);
  table.pass(700, [1, 2]);
  table.deliver(1, 2, "startViewChange");
  table.deliver(2, 1, "startViewChange");
  table.seat(2).sync();
  table.seat(2).restart();
  // The old primary is still there and wants an acknowledgement.
  expect(slow?.envelope.message).toMatchObject({ type: "prepare", op: 1 });
  if (slow !== undefined) table.seat(2).step({ kind: "message", envelope: slow.envelope });
  table.seat(2).sync();
  table.deliver(2, 0);
  table.seat(0).sync();
  expect(table.seat(0).applied).toEqual([]);
});

test("a primary that restarts asks for another view and does not go on in its own", () => {
  const table = Table.founded(3);
  table.lose();
  // It sent X and died before X was on its disk.
  table.seat(0).request("X");
  table.deliver(0, 1, "prepare");
  table.seat(1).sync();
  table.lose();
  table.seat(0).restart();
  expect(statusOf(table, 0).isPrimary).toBe(false);
  table.settle();
  table.run(1000);
  const views = [0, 1, 2].map((index) => statusOf(table, index).view);
  expect(Math.min(...views)).toBeGreaterThan(0);
  expect(new Set([0, 1, 2].map((index) => table.seat(index).log.join())).size).toBe(1);
});

describe("a replica that lost its disk", () => {
  test("does not vote before it has recovered from enough members", () => {
    const table = Table.founded(3);
    table.seat(0).request("x");
    table.settle();
    table.lose();
    table.seat(2).restart({ isWiped: true });
    table.run(3000, [1, 2]);
    // Replica 0 may have committed something that only it and the lost disk knew.
    expect(statusOf(table, 2).phase).toBe("blank");
    expect(statusOf(table, 1)).toMatchObject({ view: 0, isPrimary: false });
    table.run(1000);
    expect(statusOf(table, 2)).toMatchObject({ phase: "normal", commit: 1 });
    expect(table.seat(2).applied).toEqual(["x"]);
    expect(table.seat(2).replica.incarnation).toBe(2);
  });

  test("is not confused with its former self, whose messages still travel", () => {
    const table = Table.founded(3);
    table.lose();
    // Replica 2 and replica 1 agree on view 1; replica 2 shows its log to replica 1, the message is slow.
    table.pass(700, [1, 2]);
    table.deliver(1, 2, "startViewChange");
    table.seat(2).sync();
    const [slow] = table.take(2, ({ envelope }) => envelope.message.type === "doViewChange");
    expect(slow?.to).toBe(1);
    table.lose();
    // Its disk is lost; it recovers in view 0, whose primary is at work, and commits Z with it.
    table.seat(2).restart({ isWiped: true });
    table.run(500);
    expect(statusOf(table, 2).phase).toBe("normal");
    table.lose();
    const primary = table.seats.find(({ replica }) => replica.status.isPrimary);
    expect(primary?.index).toBe(0);
    table.seat(0).request("Z");
    table.settle([0, 2]);
    expect(table.seat(0).applied).toEqual(["Z"]);
    table.lose();
    // Only now the slow message arrives, when replica 1 may think that a quorum wants view 1.
    table.pass(700, [1]);
    if (slow !== undefined) table.seat(1).step({ kind: "message", envelope: slow.envelope });
    table.seat(1).sync();
    table.settle([1]);
    expect(statusOf(table, 1)).toMatchObject({ view: 0, isPrimary: false });
    table.run(3000, [1, 2]);
    expect(table.seat(1).log).toEqual(["Z"]);
  });
});

describe("reads", () => {
  test("are answered at once while backups have promised to help nobody else", () => {
    const table = Table.founded(3);
    table.seat(0).step({ kind: "read", id: 1 });
    table.seat(0).step({ kind: "turnEnd" });
    expect(table.seat(0).reads).toEqual([{ kind: "readReady", id: 1 }]);
  });

  test("wait for a quorum when nobody has promised anything for too long", () => {
    const table = Table.founded(3);
    table.lose();
    table.pass(250, [0]);
    table.seat(0).step({ kind: "read", id: 1 });
    table.seat(0).step({ kind: "turnEnd" });
    expect(table.seat(0).reads).toEqual([]);
    table.run(60);
    expect(table.seat(0).reads).toEqual([{ kind: "readReady", id: 1 }]);
  });

  test("are not answered by a lease after the host was suspended", () => {
    const table = Table.founded(3);
    table.lose();
    table.suspendedMs += 5000;
    table.seat(0).step({ kind: "read", id: 1 });
    table.seat(0).step({ kind: "turnEnd" });
    expect(table.seat(0).reads).toEqual([]);
    table.run(60);
    expect(table.seat(0).reads).toEqual([{ kind: "readReady", id: 1 }]);
  });

  test("are refused by a primary that has been replaced, and by backups", () => {
    const table = Table.founded(3);
    table.lose();
    table.pass(250, [0]);
    table.seat(0).step({ kind: "read", id: 1 });
    table.run(1500, [1, 2]);
    table.lose();
    table.run(500);
    expect(table.seat(0).reads).toEqual([{ kind: "readRefused", id: 1 }]);
    const backup = table.seats.find(({ replica }) => !replica.status.isPrimary);
    backup?.step({ kind: "read", id: 7 });
    expect(backup?.reads.at(-1)).toEqual({ kind: "readRefused", id: 7 });
  });

  test("a backup helps nobody to become primary while its promise lasts", () => {
    const table = Table.founded(3);
    table.lose();
    // Replica 1 hears nothing and asks; replica 2 has just answered the primary.
    table.pass(700, [1]);
    table.pass(0, [0]);
    table.deliver(0, 2, "prepare");
    table.deliver(1, 2, "startViewChange");
    expect(table.seat(2).sent.map(({ envelope }) => envelope.message.type)).not.toContain("startViewChange");
    table.pass(260, [2]);
    table.pass(100, [1]);
    table.deliver(1, 2, "startViewChange");
    expect(table.seat(2).sent.map(({ envelope }) => envelope.message.type)).toContain("startViewChange");
  });

  test("a primary that resigns does not make the others wait", () => {
    const table = Table.founded(3);
    table.seat(0).step({ kind: "resign" });
    table.settle();
    const primaries = table.seats.filter(({ replica }) => replica.status.isPrimary).map(({ index }) => index);
    expect(primaries).toEqual([1]);
  });
});
