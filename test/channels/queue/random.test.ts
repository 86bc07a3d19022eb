/**
 * Random command sequences about lists and streams against redis-server and a queue node.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { encode, RawClient } from "../wire/resp/raw.ts";
import { type RedisServer, startRedis } from "../wire/resp/redis.ts";
import { queueCommand } from "./commands.ts";
import { normaliseQueue } from "./normalise.ts";
import { startQueue, type TestServer } from "./server.ts";

let redis: RedisServer;
let ours: TestServer;

beforeAll(async () => {
  [redis, ours] = await Promise.all([startRedis(), startQueue()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
});

/** BLPOP would wait; here every list command is one that does not. */
const plain = queueCommand.filter(([name]) => name !== "BLPOP");
const inTransaction = fc
  .array(queueCommand, { minLength: 1, maxLength: 5 })
  .map((queued) => [["MULTI"], ...queued, ["EXEC"]]);
const some = fc.oneof(
  { weight: 8, arbitrary: plain.map((one) => [one]) },
  { weight: 1, arbitrary: inTransaction },
);

test("random commands get the same replies from both servers", async () => {
  for (const protocol of ["2", "3"]) {
    const [left, right] = [await RawClient.connect(redis.port), await RawClient.connect(ours.respPort)];
    const property = fc.asyncProperty(
      fc.array(some, { minLength: 1, maxLength: 60, size: "max" }),
      async (groups) => {
        const all = [["RESET"], ["HELLO", protocol], ["FLUSHALL"], ...groups.flat()];
        const bytes = Buffer.concat(all.map(encode));
        left.send(bytes);
        right.send(bytes);
        const [expected, actual] = [await left.replies(all.length), await right.replies(all.length)];
        const show = (replies: Buffer[]) =>
          replies.map(
            (reply, place) => `${all[place]?.join(" ")} -> ${normaliseQueue(all[place] ?? [], reply)}`,
          );
        expect(show(actual)).toEqual(show(expected));
      },
    );
    await fc.assert(property, { numRuns: 500 });
    await left[Symbol.asyncDispose]();
    await right[Symbol.asyncDispose]();
  }
}, 60_000);
