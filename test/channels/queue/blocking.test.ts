/**
 * Clients that wait for keys: the same conversations on redis-server and on a queue node, step by step. `1> BLPOP q 0` is
 * sent without reading; `1<` reads the next reply of connection 1. After each sending another connection asks
 * a few times, so that the server has executed what was sent.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encode, RawClient } from "../wire/resp/raw.ts";
import { type RedisServer, startRedis } from "../wire/resp/redis.ts";
import { words } from "../wire/resp/scripts.ts";
import { startQueue, type TestServer } from "./server.ts";

let redis: RedisServer;
let ours: TestServer;

beforeAll(async () => {
  [redis, ours] = await Promise.all([startRedis(), startQueue()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
});

const conversations: Record<string, string> = {
  "an element goes to who waits first": `
    1> BLPOP q 0
    2> BRPOP q 0
    3> RPUSH q a b c
    3<
    1<
    2<
    3> LRANGE q 0 -1
    3<
  `,
  "who waits is served before the next command of who pushed": `
    1> BLPOP q 0
    3> RPUSH q a
    3> LPOP q
    3> LLEN q
    3<
    3<
    3<
    1<
  `,
  "several keys, the one that got something counts": `
    1> BLPOP p q r 0
    3> RPUSH r x
    3<
    1<
    1> BLPOP p q r 0
    3> MULTI
    3> RPUSH r y
    3> RPUSH p z
    3> EXEC
    3<
    3<
    3<
    3<
    1<
    3> KEYS *
    3<
  `,
  "one key named twice": `
    1> BLPOP q q 0
    2> BLPOP q 0
    3> RPUSH q a
    3> RPUSH q b
    3<
    3<
    1<
    2<
  `,
  "a transaction that takes back what it pushed serves nobody": `
    1> BLPOP q 0.05
    3> MULTI
    3> RPUSH q a
    3> DEL q
    3> EXEC
    3<
    3<
    3<
    3<
    1<
  `,
  "moving to a key that another waits for": `
    1> BLMOVE q r LEFT RIGHT 0
    2> BLPOP r 0
    3> RPUSH q a
    3<
    1<
    2<
    3> EXISTS q r
    3<
  `,
  "what is sent meanwhile is answered afterwards": `
    1> BLPOP q 0
    1> PING
    1> LLEN q
    3> RPUSH q a b
    3<
    1<
    1<
    1<
  `,
  timeouts: `
    1> BLPOP q 0.02
    2> BLMOVE q r LEFT LEFT 0.02
    3> XREAD BLOCK 20 STREAMS s $
    1<
    2<
    3<
    1> PING
    1<
  `,
  "entries for those who wait, also for $": `
    3> XADD s 1-1 f v
    3<
    1> XREAD BLOCK 0 STREAMS s $
    2> XREAD BLOCK 0 STREAMS other s 0 5-0
    3> XADD s 2-1 f w
    3<
    1<
    3> XADD s 6-1 f x
    3<
    2<
  `,
  "a group's consumers wait in turn": `
    3> XGROUP CREATE s g $ MKSTREAM
    3<
    1> XREADGROUP GROUP g alice BLOCK 0 COUNT 1 STREAMS s >
    2> XREADGROUP GROUP g bob BLOCK 0 COUNT 1 STREAMS s >
    3> XADD s 1-1 f v
    3> XADD s 2-1 f w
    3<
    3<
    1<
    2<
    3> XPENDING s g
    3<
    3> XINFO GROUPS s
    3<
  `,
  "a group that goes while its consumers wait": `
    3> XGROUP CREATE s g $ MKSTREAM
    3<
    1> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    3> XGROUP DESTROY s g
    3<
    1<
  `,
  "a stream that goes while a group's consumers wait": `
    3> XGROUP CREATE s g $ MKSTREAM
    3<
    1> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >
    3> DEL s
    3<
    1<
  `,
  "a key of another kind does not serve": `
    1> BLPOP q 0.05
    3> XADD q 1-1 f v
    3<
    1<
    3> TYPE q
    3<
  `,
  RESP3: `
    1> HELLO 3
    1<
    1> BLPOP q 0.01
    1<
    1> XREAD BLOCK 0 STREAMS s 0
    3> XADD s 1-1 f v
    3<
    1<
  `,
};

async function play(port: number, script: string): Promise<string[]> {
  const clients = new Map<string, RawClient>();
  const watcher = await RawClient.connect(port);
  await watcher.command("FLUSHALL");
  const found: string[] = [];
  for (const line of script.trim().split("\n")) {
    const [, name = "", arrow, rest = ""] = /^(\d)([<>])\s*(.*)$/.exec(line.trim()) ?? [];
    let client = clients.get(name);
    if (client === undefined) clients.set(name, (client = await RawClient.connect(port)));
    if (arrow === ">") {
      client.send(encode(words(rest)));
      // Round trips of another connection: the server has read this one by then.
      await watcher.command("PING");
      await watcher.command("PING");
      await watcher.command("PING");
    } else {
      const [reply] = await client.replies(1);
      found.push(`${name}: ${String(reply).replace(/(\$2\r\nid\r\n):\d+/g, "$1:N")}`);
    }
  }
  for (const client of [...clients.values(), watcher]) await client[Symbol.asyncDispose]();
  return found;
}

describe("waits like redis-server", () => {
  for (const [title, script] of Object.entries(conversations)) {
    test(title, async () => {
      const expected = await play(redis.port, script);
      expect(await play(ours.respPort, script)).toEqual(expected);
    });
  }
});

test("a thousand clients that wait and leave cost nothing afterwards", async () => {
  const clients = await Promise.all(Array.from({ length: 1000 }, () => RawClient.connect(ours.respPort)));
  for (const client of clients) client.send(encode(["BLPOP", "never", "0"]));
  const one = await RawClient.connect(ours.respPort);
  for (const client of clients) await client[Symbol.asyncDispose]();
  await one.command("RPUSH", "never", "x");
  expect((await one.command("LLEN", "never")).toString()).toMatch(/^:[01]\r\n$/);
  await one[Symbol.asyncDispose]();
});
