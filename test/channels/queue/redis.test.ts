/**
 * The same command sequences against redis-server and against a queue node: the replies must be the same bytes.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { play } from "../wire/resp/play.ts";
import { type RedisServer, startRedis } from "../wire/resp/redis.ts";
import { steps } from "../wire/resp/scripts.ts";
import { normaliseQueue } from "./normalise.ts";
import { queueScripts } from "./scripts.ts";
import { startQueue, type TestServer } from "./server.ts";

let redis: RedisServer;
let ours: TestServer;

beforeAll(async () => {
  [redis, ours] = await Promise.all([startRedis(), startQueue()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
});

for (const protocol of [2, 3] as const) {
  describe(`RESP${protocol}: answers like redis-server`, () => {
    for (const [title, script] of Object.entries(queueScripts)) {
      test(title, async () => {
        const parsed = steps(script);
        const expected = await play(redis.port, parsed, protocol, normaliseQueue);
        expect(await play(ours.respPort, parsed, protocol, normaliseQueue)).toEqual(expected);
      });
    }
  });
}

test("the comparison can fail: the two protocol versions are told apart", async () => {
  const parsed = steps(queueScripts["reading"] ?? "");
  expect(await play(ours.respPort, parsed, 3, normaliseQueue)).not.toEqual(
    await play(redis.port, parsed, 2, normaliseQueue),
  );
});
