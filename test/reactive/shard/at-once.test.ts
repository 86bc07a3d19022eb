/** What a primary remembers so that a timestamp from before is good enough, and when it is not. */
import { expect, test } from "bun:test";
import { AtOnce } from "../../../src/reactive/shard/at-once.ts";

const key = (name: string) => new Uint8Array(Buffer.from(name));
const access = (name: string) => ({ key: key(name), reads: [], operations: key("op") });
const VIEW = 4;

function inView(): AtOnce {
  const atOnce = new AtOnce();
  atOnce.enter(VIEW);
  return atOnce;
}

test("what was answered at a timestamp is not written below it any more", () => {
  const atOnce = inView();
  expect(atOnce.admit("a", [access("x")], 10, VIEW)).toBe(true);
  atOnce.mark(key("x"), 20);
  expect(atOnce.admit("b", [access("x")], 20, VIEW)).toBe(false);
  expect(atOnce.admit("c", [access("y"), access("x")], 20, VIEW)).toBe(false);
  expect(atOnce.admit("d", [access("x")], 21, VIEW)).toBe(true);
  atOnce.markAll(30);
  expect(atOnce.admit("e", [access("z")], 30, VIEW)).toBe(false);
  expect(atOnce.admit("f", [access("z")], 31, VIEW)).toBe(true);
});

test("a timestamp that was asked for before this view was seen is refused: an earlier primary may have answered above it", () => {
  const atOnce = inView();
  expect(atOnce.admit("a", [access("x")], 10, 3)).toBe(false);
  expect(atOnce.admit("b", [access("x")], 10, 5)).toBe(false);
  expect(atOnce.admit("c", [access("x")], 10, VIEW)).toBe(true);
});

test("a read waits for what is under way on its keys, until an entry held it", () => {
  const atOnce = inView();
  atOnce.admit("a", [access("x"), access("y")], 10, VIEW);
  atOnce.admit("b", [access("y")], 12, VIEW);
  expect(atOnce.on(key("x"))).toEqual(["a"]);
  expect(atOnce.on(key("y"))).toEqual(["a", "b"]);
  expect(atOnce.all()).toEqual(["a", "b"]);
  expect(Math.min(...atOnce.floors(key("y")))).toBe(9);
  atOnce.applied("a");
  expect(atOnce.on(key("y"))).toEqual(["b"]);
  expect(atOnce.floors()).toEqual([11]);
  // In another view nothing of it is under way: it was applied before the view began, or never will be.
  atOnce.enter(VIEW + 1);
  expect(atOnce.on(key("y"))).toEqual([]);
});

test("what the primary gave up is waited for until the entries that may hold it were applied", () => {
  const atOnce = inView();
  atOnce.admit("a", [access("x")], 10, VIEW);
  expect(atOnce.dropped(7)).toEqual(["a"]);
  expect(atOnce.reached(6)).toEqual([]);
  expect(atOnce.on(key("x"))).toEqual(["a"]);
  expect(atOnce.reached(7)).toEqual(["a"]);
  expect(atOnce.on(key("x"))).toEqual([]);
});
