/** What a primary remembers so that a timestamp from before is good enough, and when it is not. */
import { expect, test } from "bun:test";
import { AtOnce } from "../../../src/reactive/shard/at-once.ts";
import type { AtOnceCommand } from "../../../src/reactive/shard/commands.ts";
import { slotOf } from "../../../src/reactive/shard/read-marks.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";

const key = (name: string) => new Uint8Array(Buffer.from(name));
const VIEW = 4;

/** A transaction of these keys, by itself. */
function attempt(number: number, keys: readonly string[], timestamp: number, view = VIEW): AtOnceCommand {
  const accesses = keys.map((name) => ({ key: key(name), reads: [], operations: key("op") }));
  const id = { client: 7, number };
  const transaction = {
    id,
    floor: 0,
    level: Level.strict,
    snapshot: 0,
    home: 0,
    participants: [0],
    accesses,
  };
  return { kind: "atOnce", timestamp, view, transaction };
}

function inView(): AtOnce {
  const atOnce = new AtOnce();
  atOnce.enter(VIEW);
  return atOnce;
}

test("what was answered at a timestamp is not written below it any more", () => {
  const atOnce = inView();
  expect(atOnce.admit(attempt(1, ["x"], 10))).toBe(true);
  atOnce.mark(key("x"), 20);
  expect(atOnce.admit(attempt(2, ["x"], 20))).toBe(false);
  expect(atOnce.admit(attempt(3, ["y", "x"], 20))).toBe(false);
  expect(atOnce.admit(attempt(4, ["x"], 21))).toBe(true);
  atOnce.markAll(30);
  expect(atOnce.admit(attempt(5, ["z"], 30))).toBe(false);
  expect(atOnce.admit(attempt(6, ["z"], 31))).toBe(true);
});

test("a timestamp that was asked for before this view was seen is refused: an earlier primary may have answered above it", () => {
  const atOnce = inView();
  expect(atOnce.admit(attempt(1, ["x"], 10, 3))).toBe(false);
  expect(atOnce.admit(attempt(2, ["x"], 10, 5))).toBe(false);
  expect(atOnce.admit(attempt(3, ["x"], 10))).toBe(true);
});

test("a read waits for what is under way on its keys, until an entry held it", () => {
  const atOnce = inView();
  const [both, one] = [attempt(1, ["x", "y"], 10), attempt(2, ["y"], 12)];
  atOnce.admit(both);
  atOnce.admit(one);
  expect(atOnce.on(key("x"))).toEqual(["7:1@10"]);
  expect(atOnce.on(key("y"))).toEqual(["7:1@10", "7:2@12"]);
  expect(atOnce.all()).toEqual(["7:1@10", "7:2@12"]);
  expect(Math.min(...atOnce.floors(key("y")))).toBe(9);
  atOnce.applied(both);
  expect(atOnce.on(key("x"))).toEqual([]);
  expect(atOnce.on(key("y"))).toEqual(["7:2@12"]);
  expect(atOnce.floors()).toEqual([11]);
  // In another view nothing of it is under way: it was applied before the view began, or never will be.
  atOnce.enter(VIEW + 1);
  expect(atOnce.on(key("y"))).toEqual([]);
});

test("what the primary gave up is waited for until the entries that may hold it were applied", () => {
  const atOnce = inView();
  atOnce.admit(attempt(1, ["x"], 10));
  expect(atOnce.dropped(7)).toEqual(["7:1@10"]);
  // It is sent again, and is under way once more.
  const again = attempt(1, ["x"], 10);
  atOnce.admit(again);
  expect(atOnce.reached(6)).toEqual([]);
  atOnce.applied(again);
  expect(atOnce.on(key("x"))).toEqual(["7:1@10"]);
  expect(atOnce.reached(7)).toEqual(["7:1@10"]);
  expect(atOnce.on(key("x"))).toEqual([]);
});

test("keys that share a slot wait for their own transactions only", () => {
  const atOnce = inView();
  const other = Array.from({ length: 100_000 }, (_, index) => `k${index}`).find(
    (name) => slotOf(key(name)) === slotOf(key("x")),
  ) as string;
  const [first, both] = [attempt(1, ["x"], 10), attempt(2, [other, "x"], 12)];
  atOnce.admit(first);
  expect([atOnce.on(key("x")), atOnce.on(key(other))]).toEqual([["7:1@10"], []]);
  atOnce.admit(both);
  atOnce.applied(first);
  expect([atOnce.on(key("x")), atOnce.on(key(other))]).toEqual([["7:2@12"], ["7:2@12"]]);
  atOnce.applied(both);
  expect([atOnce.on(key("x")), atOnce.on(key(other)), atOnce.all()]).toEqual([[], [], []]);
});
