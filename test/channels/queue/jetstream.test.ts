/** A queue node on JetStream, as its clients and its operator see it when servers go and nodes take over. */
import { expect, test } from "bun:test";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { NeoQueueNode } from "../../../src/channels/wire/neo/queue-client.ts";
import { NatsServers } from "../../core/nats/servers.ts";
import { until } from "../../e2e/executable.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { RawClient } from "../wire/resp/raw.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const configOf = (nats: NatsServers) => ({
  durability: "log",
  engine: { jetstream: { ...nats.settings, stream: "q" } },
});

const say = async (client: RawClient, ...words: string[]) => (await client.command(...words)).toString();

async function reasonsOf(server: TestServer): Promise<string[]> {
  const [, body] = await server.admin("GET", "/readyz");
  return (body as { reasons: string[] }).reasons;
}

test("without a server writes are refused in every protocol and reads go on, until it is back, which needs nobody", async () => {
  await using nats = await NatsServers.start();
  await using server = await startQueue(configOf(nats));
  const [client, waiting] = [
    await RawClient.connect(server.respPort),
    await RawClient.connect(server.respPort),
  ];
  const at = (port: number) => ({ host: "127.0.0.1", port });
  const legacy = await QueueNode.connect(world.net, at(server.port));
  const neo = await NeoQueueNode.connect(world.net, world.clock, at(server.neoPort), {
    name: "user",
    secret: SECRET,
  });
  expect(await say(client, "RPUSH", "l", "a")).toBe(":1\r\n");
  await nats.kill(0);
  let isAnswered = false;
  const push = say(waiting, "RPUSH", "l", "b").finally(() => (isAnswered = true));
  await until(
    "the refusal",
    async () => (await reasonsOf(server)).some((text) => text.includes("does not acknowledge")) || undefined,
  );
  expect(await say(client, "RPUSH", "l", "c")).toStartWith("-NOREPLICAS JetStream does not acknowledge");
  expect(await say(client, "LPOP", "l")).toStartWith("-NOREPLICAS");
  await expect(legacy.push("l", "c")).rejects.toThrow();
  await expect(neo.push("l", "c")).rejects.toThrow();
  // What is not acknowledged is seen by nobody's reply before the stream has it, but for reads while it stalls.
  expect(await say(client, "LLEN", "l")).toBe(":2\r\n");
  expect(isAnswered).toBe(false);
  nats.startMember(0);
  expect(await push).toBe(":2\r\n");
  await until("writes to be welcome", async () => (await reasonsOf(server)).length === 0 || undefined);
  expect(await say(client, "RPUSH", "l", "d")).toBe(":3\r\n");
  expect(await say(client, "LRANGE", "l", "0", "-1")).toBe("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nd\r\n");
  legacy.close();
  neo.close();
  for (const each of [client, waiting]) await each[Symbol.asyncDispose]();
}, 120_000);

test("a second node stands by, and serves everything when the first one stops", async () => {
  await using nats = await NatsServers.start();
  const first = await startQueue(configOf(nats));
  const client = await RawClient.connect(first.respPort);
  await client.command("RPUSH", "l", "a", "b");
  const starting = startQueue(configOf(nats));
  let isServing = false;
  void starting.then(() => (isServing = true));
  expect(await say(client, "LPOP", "l")).toBe("$1\r\na\r\n");
  expect(isServing).toBe(false);
  await client[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  await using second = await starting;
  const next = await RawClient.connect(second.respPort);
  expect(await say(next, "LRANGE", "l", "0", "-1")).toBe("*1\r\n$1\r\nb\r\n");
  await next[Symbol.asyncDispose]();
}, 120_000);
