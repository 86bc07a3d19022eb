/**
 * A read without a timestamp, of one key too: whoever took a timestamp before it and commits behind it must not come below it. Else
 * a snapshot in between shows the two in an order that nobody else saw (seed 9594 of the store's simulation did).
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { shardCluster } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const SHARDS = 2;
const keyOn = (shard: number) => {
  const names = Array.from({ length: 100 }, (_, index) => Buffer.from(`k${index}`));
  return names.find((name) => shardOf(name, SHARDS) === shard) as Buffer;
};

test("a transaction whose timestamp is older than a read of its key never takes its place below it", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = shardCluster({ shards: SHARDS, seed });
    const frontend = (next: () => Promise<number>) => new Backend(cluster.groups, { next }, realClock);
    const run = async <Value>(promise: Promise<Value>) => {
      await cluster.mail.run(promise);
      return promise;
    };
    const append = (backend: Backend, client: number, key: Buffer) =>
      backend.coordinator.commit({
        ...{ id: { client, number: 1 }, floor: 1, level: Level.strict, snapshot: 0 },
        accesses: [
          { key, reads: [], operations: encodeOperations([{ kind: "append", element: Buffer.from("x") }]) },
        ],
      });

    const isTaken = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const late = frontend(async () => {
      const timestamp = await cluster.next();
      isTaken.resolve();
      await gate.promise;
      return timestamp;
    });
    const committing = append(late, 1, keyOn(0));
    await run(isTaken.promise);
    // Acknowledged before the read begins, on a shard that is not asked.
    const other = await run(append(frontend(cluster.next), 2, keyOn(1)));
    const seen = await run(frontend(cluster.next).read([keyOn(0)], undefined));
    expect(seen.versions[0]?.start).toBe(0);
    gate.resolve();
    const outcome = await run(committing);
    const timestampOf = (result: typeof outcome) => (result.kind === "committed" ? result.timestamp : 0);
    expect(timestampOf(outcome)).toBeGreaterThan(timestampOf(other));
    cluster.close();
  }
});
