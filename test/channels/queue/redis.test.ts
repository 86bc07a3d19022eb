/**
 * The same command sequences against redis-server and against a queue node: the replies must be the same bytes.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encode, RawClient } from "../wire/resp/raw.ts";
import { type RedisServer, startRedis } from "../wire/resp/redis.ts";
import { type Step, steps } from "../wire/resp/scripts.ts";
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

async function play(port: number, script: Step[], protocol: 2 | 3): Promise<string[]> {
  const clients = new Map<number, RawClient>();
  const lines: string[] = [];
  try {
    for (const { connection, words } of script) {
      let client = clients.get(connection);
      if (client === undefined) {
        client = await RawClient.connect(port);
        if (clients.size === 0) await client.command("FLUSHALL");
        clients.set(connection, client);
        if (protocol === 3) await client.command("HELLO", "3");
      }
      client.send(encode(words));
      const [reply] = await client.replies(1);
      const answer = reply === undefined ? "(closed)" : normaliseQueue(words, reply);
      lines.push(`${words.map((word) => JSON.stringify(word)).join(" ")} -> ${JSON.stringify(answer)}`);
    }
  } finally {
    for (const client of clients.values()) await client[Symbol.asyncDispose]();
  }
  return lines;
}

for (const protocol of [2, 3] as const) {
  describe(`RESP${protocol}: answers like redis-server`, () => {
    for (const [title, script] of Object.entries(queueScripts)) {
      test(title, async () => {
        const parsed = steps(script);
        const expected = await play(redis.port, parsed, protocol);
        expect(await play(ours.respPort, parsed, protocol)).toEqual(expected);
      });
    }
  });
}

test("the comparison can fail: the two protocol versions are told apart", async () => {
  const parsed = steps(queueScripts["reading"] ?? "");
  expect(await play(ours.respPort, parsed, 3)).not.toEqual(await play(redis.port, parsed, 2));
});
