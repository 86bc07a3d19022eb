/** Entries that nobody acknowledges: redelivery, and the dead-letter channel after too many deliveries. */
import { expect, test } from "bun:test";
import { RawClient } from "../wire/resp/raw.ts";
import { MemoryNode } from "./memory-node.ts";
import { startQueue } from "./server.ts";

const config = { deadLetters: { deliveriesMax: 2, suffix: "-dead" } };

async function deliverTwice(client: RawClient): Promise<void> {
  await client.command("XGROUP", "CREATE", "jobs", "g", "0", "MKSTREAM");
  await client.command("XADD", "jobs", "1-1", "task", "build");
  await client.command("XADD", "jobs", "2-1", "task", "test");
  await client.command("XREADGROUP", "GROUP", "g", "one", "STREAMS", "jobs", ">");
  await client.command("XACK", "jobs", "g", "2-1");
  await client.command("XAUTOCLAIM", "jobs", "g", "two", "0", "0");
}

test("an entry is delivered again until it was delivered often enough; then it is a dead letter", async () => {
  await using server = await startQueue(config);
  const client = await RawClient.connect(server.respPort);
  await deliverTwice(client);
  expect(String(await client.command("XPENDING", "jobs", "g", "-", "+", "9"))).toMatch(/:2\r\n$/);
  // The third delivery does not happen.
  const claimed = String(await client.command("XAUTOCLAIM", "jobs", "g", "three", "0", "0"));
  expect(claimed).toBe("*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n");
  expect(String(await client.command("XPENDING", "jobs", "g"))).toStartWith("*4\r\n:0\r\n");
  const dead = String(await client.command("XRANGE", "jobs-dead", "-", "+"));
  for (const word of [
    "task",
    "build",
    "dead-letter-group",
    "g",
    "dead-letter-id",
    "1-1",
    "dead-letter-deliveries",
    "2",
  ])
    expect(dead).toContain(`\r\n${word}\r\n`);
});

test("a dead-letter channel can be worked off with a group of its own, whose entries are not buried again", async () => {
  await using server = await startQueue(config);
  const client = await RawClient.connect(server.respPort);
  await deliverTwice(client);
  await client.command("XCLAIM", "jobs", "g", "three", "0", "1-1");
  await client.command("XGROUP", "CREATE", "jobs-dead", "g", "0");
  for (let times = 0; times < 4; times++) await client.command("XAUTOCLAIM", "jobs-dead", "g", "x", "0", "0");
  await client.command("XREADGROUP", "GROUP", "g", "x", "STREAMS", "jobs-dead", ">");
  for (let times = 0; times < 4; times++)
    expect(String(await client.command("XAUTOCLAIM", "jobs-dead", "g", "x", "0", "0"))).toContain("build");
  expect(String(await client.command("EXISTS", "jobs-dead-dead"))).toBe(":0\r\n");
});

test("without room in the dead-letter channel, or where a list has its name, it is delivered once more", async () => {
  await using server = await startQueue(config);
  const client = await RawClient.connect(server.respPort);
  await client.command("RPUSH", "jobs-dead", "a list");
  await deliverTwice(client);
  expect(String(await client.command("XAUTOCLAIM", "jobs", "g", "three", "0", "0"))).toContain("build");
  expect(String(await client.command("XPENDING", "jobs", "g"))).toStartWith("*4\r\n:1\r\n");
});

test("without the setting entries are delivered without end, as Redis does", async () => {
  await using server = await startQueue();
  const client = await RawClient.connect(server.respPort);
  await deliverTwice(client);
  for (let times = 0; times < 20; times++)
    expect(String(await client.command("XAUTOCLAIM", "jobs", "g", "three", "0", "0"))).toContain("build");
});

test("moving is one step for the log: replaying its effects up to any call never loses the entry", () => {
  using node = new MemoryNode({}, true);
  node.queues.setDeadLetters(1, "-dead");
  node.run(["XADD", "jobs", "1-1", "task", "build"], ["XGROUP", "CREATE", "jobs", "g", "0"]);
  node.run(["XREADGROUP", "GROUP", "g", "one", "STREAMS", "jobs", ">"]);
  const before = node.takeEffects();
  node.run(["XAUTOCLAIM", "jobs", "g", "two", "0", "0"]);
  const moved = node.takeEffects();
  for (const effects of [[before], [before, moved]]) {
    using again = new MemoryNode();
    for (const bytes of effects) again.queues.replay(bytes);
    const pending = again.run(["XPENDING", "jobs", "g"]).startsWith("*4\r\n:1");
    const buried = again.run(["XLEN", "jobs-dead"]) === ":1\r\n";
    expect([pending, buried].filter(Boolean)).toHaveLength(1);
  }
});
