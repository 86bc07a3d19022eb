/** Keys that an empty shard begins with: its own, once, whoever asks how often. */
import { expect, test } from "bun:test";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import {
  decodeVote,
  encodeCommand,
  type ShardCommand,
  UNREADABLE,
} from "../../../src/reactive/shard/commands.ts";
import { encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { keysOf, preload } from "../../../src/reactive/shard/preload.ts";
import { ShardService } from "../../../src/reactive/shard/service.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { whole } from "../whole.ts";

const text = Array.from({ length: 50 }, (_, index) => `key${index}\r\n`).join("");

test("the lines that are asked for, divided among the shards", () => {
  const all = [0, 1, 2].map((shard) => keysOf({ text, count: 20, shard, shards: 3 }));
  expect(all.flat()).toHaveLength(20);
  for (const [shard, keys] of all.entries())
    expect(keys.every((key) => shardOf(key, 3) === shard && !Buffer.from(key).includes("\r"))).toBe(true);
  expect(keysOf({ text, count: 0, shard: 0, shards: 1 })).toHaveLength(50);
});

test("a line that is too long for a key is refused by its number, and by the shard", () => {
  const long = "x".repeat(70_000);
  expect(() => keysOf({ text: `a\n${long}\n`, count: 0, shard: 0, shards: 1 })).toThrow("line 2 has 70000");
  const shard = new ShardService();
  const body = encodeCommand({ kind: "preload", keys: [Buffer.from(long)] });
  expect(shard.apply({ op: 1, timeMs: 1, commands: [{ session: 1, number: 1, body }] })).toEqual([
    UNREADABLE,
  ]);
  shard.close();
});

test("an empty shard gets them once, one with a commit does not", async () => {
  const shard = new ShardService();
  let op = 0;
  const run = (command: ShardCommand) => {
    const body = encodeCommand(command);
    return whole(
      shard.apply({
        op: ++op,
        timeMs: op,
        commands: [{ session: 1, number: op, body }],
      }),
    )[0] as Uint8Array;
  };
  const [a, b] = [Buffer.from("a"), Buffer.from("b")];
  for (let time = 0; time < 2; time++)
    await preload({ command: async () => run({ kind: "preload", keys: [a] }) }, [a], () => false);
  const view = shard.versions.read(a, 5);
  expect([view?.start, Buffer.from(view?.value ?? []).toString()]).toEqual([1, "null"]);
  expect(shard.versions.stats().versions).toBe(1);
  const accesses = [{ key: b, reads: [], operations: encodeOperations([{ kind: "delete" }]) }];
  const transaction = {
    ...{ id: { client: 1, number: 1 }, floor: 1, level: Level.strict, snapshot: 0 },
    ...{ home: 0, participants: [0], accesses },
  };
  expect(decodeVote(run({ kind: "atOnce", timestamp: 2, view: 0, transaction }))).toMatchObject({
    kind: "decided",
  });
  run({ kind: "preload", keys: [Buffer.from("c")] });
  expect(shard.versions.read(Buffer.from("c"), 9)?.start).toBe(0);
  shard.close();
});

test("a file that takes longer than versions are kept is taken whole", () => {
  const shard = new ShardService();
  const keys = ["a", "b", "c"].map((name) => Buffer.from(name));
  keys.forEach((key, index) => {
    const body = encodeCommand({ kind: "preload", keys: [key] });
    const timeMs = index * 10 * shard.settings.retentionMs;
    shard.apply({ op: index + 1, timeMs, commands: [{ session: 1, number: index + 1, body }] });
  });
  expect(keys.map((key) => shard.versions.read(key, 1)?.start)).toEqual([1, 1, 1]);
  shard.close();
});
