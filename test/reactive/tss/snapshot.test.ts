import { expect, test } from "bun:test";
import { decodeTimestamp, encodeCount, Timestamps } from "../../../src/reactive/tss/timestamps.ts";

test("a restart from a snapshot goes on behind the last timestamp", async () => {
  const before = new Timestamps();
  before.apply({ op: 1, timeMs: 0, commands: [{ session: 1, number: 1, body: encodeCount(41) }] });
  const after = new Timestamps();
  const restorer = after.restore();
  for await (const chunk of before.snapshot().chunks) restorer.add(chunk);
  expect(after.last).toBe(0);
  restorer.finish();
  const [reply] = after.apply({
    op: 2,
    timeMs: 0,
    commands: [{ session: 1, number: 2, body: new Uint8Array(0) }],
  });
  expect(decodeTimestamp(reply as Uint8Array)).toBe(42);
});
