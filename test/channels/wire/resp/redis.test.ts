/**
 * The same command sequences against redis-server and against the engine: the replies must be the same bytes.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { normalise } from "./normalise.ts";
import { play } from "./play.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { scripts, steps } from "./scripts.ts";
import { startTestServer, type TestServer } from "./server.ts";

let redis: RedisServer;
let ours: TestServer;

beforeAll(async () => {
  [redis, ours] = await Promise.all([startRedis(), startTestServer()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
});

for (const protocol of [2, 3] as const) {
  describe(`RESP${protocol}: answers like redis-server`, () => {
    for (const [title, script] of Object.entries(scripts)) {
      test(title, async () => {
        const parsed = steps(script);
        const expected = await play(redis.port, parsed, protocol, normalise);
        expect(await play(ours.port, parsed, protocol, normalise)).toEqual(expected);
      });
    }
  });
}

test("the comparison can fail: the two protocol versions are told apart", async () => {
  const parsed = steps(scripts["MSET MSETNX MGET"] ?? "");
  expect(await play(ours.port, parsed, 3, normalise)).not.toEqual(
    await play(redis.port, parsed, 2, normalise),
  );
});
