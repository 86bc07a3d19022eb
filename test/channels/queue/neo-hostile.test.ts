/** Clients of a queue node's neo port that do everything wrong, beside one that does not and must not notice. */
import { expect, test } from "bun:test";
import { NeoQueueNode } from "../../../src/channels/client.ts";
import { NeoWire } from "../../../src/channels/wire/neo/connection.ts";
import { array } from "../../../src/channels/wire/neo/messages.ts";
import { QueueCode, queueVersions } from "../../../src/channels/wire/neo/protocol.ts";
import { until } from "../../e2e/executable.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const user = { name: "user", secret: SECRET };
const addressOf = (server: TestServer) => ({ host: "127.0.0.1", port: server.neoPort });
const wireOf = (server: TestServer) => NeoWire.connect(world.net, world.clock, addressOf(server), user);
const nodeOf = (server: TestServer) => NeoQueueNode.connect(world.net, world.clock, addressOf(server), user);

/** Whoever behaves is served as before. */
async function expectServed(server: TestServer): Promise<void> {
  const node = await nodeOf(server);
  await node.push("well", "behaved");
  expect(String(await node.pop("well"))).toBe("behaved");
  node.close();
}

const { Push, Pop, Consume } = QueueCode;

test.each([
  ["a Push without its channels", Push, Buffer.of(3)],
  [
    "a Push whose record is longer than the message",
    Push,
    Buffer.concat([Buffer.of(1), array("q"), Buffer.from("ffffff0000000000", "hex")]),
  ],
  [
    "a Push that counts more channels than it has",
    Push,
    Buffer.concat([Buffer.of(200), array("q"), array("r")]),
  ],
  ["a Pop without a channel", Pop, Buffer.of(1, 2, 3)],
  ["a Consume without a subscriber", Consume, array("q")],
] as const)("%s ends that connection and no other", async (_what, code, payload) => {
  await using server = await startQueue();
  const wire = await wireOf(server);
  const version = { [Push]: queueVersions.Push, [Pop]: queueVersions.Pop, [Consume]: queueVersions.Consume }[
    code
  ];
  const { queue } = await wire.begin(code, version as number, payload);
  await expect(queue.take()).rejects.toThrow("closed the connection");
  await expectServed(server);
});

test("what a consumer may not say ends its connection; its records are for the next one", async () => {
  await using server = await startQueue();
  const node = await nodeOf(server);
  for (const words of [Uint8Array.of(9), Uint8Array.of(), Uint8Array.of(1)]) {
    const wire = await wireOf(server);
    const { id } = await wire.begin(Consume, queueVersions.Consume, array("q"), array("sub"));
    // Nothing was sent to it, so it has nothing to go on from.
    wire.tell(id, words);
    await until("the connection to be closed", () => wire.isClosed || undefined);
  }
  await node.push("q", "kept");
  const records = await node.consume("q", "sub");
  expect(String((await records.next()).value)).toBe("kept");
  node.close();
});

test("a consumer that does not go on holds one batch, and the rest waits in the ring for others", async () => {
  await using server = await startQueue({ channels: { ringBytes: 16 << 20 } });
  const stalled = await wireOf(server);
  await stalled.begin(Consume, queueVersions.Consume, array("q"), array("sub"));
  stalled.pause();
  const node = await nodeOf(server);
  const record = "x".repeat(10_000);
  const pushed = 1000;
  for (let at = 0; at < pushed; at++) await node.push("q", record);
  const records = await node.consume("q", "sub");
  // A batch is cut behind 100 000 bytes.
  const mine = pushed - 11;
  for (let taken = 0; taken < mine; taken++) expect((await records.next()).value?.byteLength).toBe(10_000);
  stalled.close();
  node.close();
  await expectServed(server);
}, 120_000);

test("more consumers at once than one connection may have end it", async () => {
  await using server = await startQueue({ channels: { ringBytes: 4096 } });
  const wire = await wireOf(server);
  const start = Buffer.concat([Buffer.of(Consume, queueVersions.Consume), array("q"), array("sub")]);
  for (let id = 1n; id < 1100n; id++) wire.tell(id, start);
  await until("the connection to be closed", () => wire.isClosed || undefined);
  await expectServed(server);
});
