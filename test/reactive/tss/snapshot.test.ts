import { expect, test } from "bun:test";
import { decodeTimestamp, encodeCount, Timestamps } from "../../../src/reactive/tss/timestamps.ts";

test("a restart from a snapshot goes on behind everything that was reserved", async () => {
  const before = new Timestamps();
  before.apply({ op: 1, timeMs: 0, commands: [{ session: 1, number: 1, body: encodeCount(41) }] });
  const after = new Timestamps();
  const restorer = after.restore();
  for await (const chunk of before.snapshot().chunks) restorer.add(chunk);
  expect(after.bound).toBe(0);
  restorer.finish();
  expect(after.bound).toBe(before.bound);
  expect(decodeTimestamp(after.query(new Uint8Array(0), 1))).toBe(0);
  after.apply({ op: 2, timeMs: 0, commands: [{ session: 1, number: 2, body: encodeCount(1) }] });
  expect(decodeTimestamp(after.query(new Uint8Array(0), 1))).toBe(before.bound + 1);
});
