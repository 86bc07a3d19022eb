import { expect, test } from "bun:test";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";

// diamond.md 3.4: shards of these keys among 2, 3 and 5.
test.each([
  ["", [1, 2, 1]],
  ["a", [0, 1, 0]],
  ["10", [0, 0, 4]],
  ["test", [1, 2, 3]],
  ["100game:players", [0, 2, 2]],
] as const)("the key %p lies where the original has it", (key, shards) => {
  expect([2, 3, 5].map((count) => shardOf(Buffer.from(key), count))).toEqual([...shards]);
});

test("bytes above 127 count as signed, and the hash wraps at 64 bits", () => {
  const slow = (key: Uint8Array, count: number) => {
    let hash = 5381n;
    for (const byte of key) hash = (hash * 33n + BigInt(byte < 128 ? byte : byte - 256)) & ((1n << 64n) - 1n);
    return Number(hash % BigInt(count));
  };
  for (let length = 1; length < 60; length++) {
    const key = Buffer.from(Array.from({ length }, (_, index) => (index * 37 + length * 101) % 256));
    for (const count of [2, 3, 7, 64]) expect(shardOf(key, count)).toBe(slow(key, count));
  }
});
