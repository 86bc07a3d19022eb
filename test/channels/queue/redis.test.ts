/**
 * The same command sequences against redis-server and against a queue node: the replies must be the same bytes.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { play } from "../wire/resp/play.ts";
import { type RedisServer, startRedis } from "../wire/resp/redis.ts";
import { steps } from "../wire/resp/scripts.ts";
import { MemoryNode } from "./memory-node.ts";
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

test("what ran empty is gone at once: who watches it is not disturbed when its memory goes", () => {
  using node = new MemoryNode();
  node.run(["RPUSH", "q", "a"], ["LPOP", "q"], ["WATCH", "q"]);
  for (let times = 0; times < 2; times++) node.queues.tick();
  expect(node.run(["MULTI"], ["PING"], ["EXEC"])).toEndWith("*1\r\n+PONG\r\n");
  node.run(["RPUSH", "q", "a"], ["WATCH", "q"], ["DEL", "q"], ["MULTI"], ["PING"]);
  expect(node.run(["EXEC"])).toBe("*-1\r\n");
});
