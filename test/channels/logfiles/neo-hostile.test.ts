/** Clients of a logfiles node's neo port that do everything wrong, beside one that does not and must not notice. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { NeoLogfilesNode } from "../../../src/channels/client.ts";
import { NeoWire } from "../../../src/channels/wire/neo/connection.ts";
import { array, HEADER_BYTES, message, MessageType, u64 } from "../../../src/channels/wire/neo/messages.ts";
import { until } from "../../e2e/executable.ts";
import { SECRET, TestServer, world } from "./server.ts";

const PUT = [1, 1] as const;
const GET_RANGE = [2, 2] as const;

const put = (channel: string, time: bigint, value: string) =>
  Buffer.concat([Buffer.from(PUT), array(channel), u64(time), array(value)]);
const getRange = (channel: string, low: bigint, high: bigint, filter = "", mode = 0) =>
  Buffer.concat([
    Buffer.from(GET_RANGE),
    array(channel),
    u64(low),
    u64(high),
    array(filter),
    Buffer.of(mode),
  ]);

/** Whoever behaves is served as before. */
async function expectServed(server: TestServer): Promise<void> {
  const address = { host: "127.0.0.1", port: server.instance.ports["neoPort"] as number };
  const node = await NeoLogfilesNode.connect(world.net, world.clock, address, {
    name: "admin",
    secret: SECRET,
  });
  await node.put("well", 5n, "behaved");
  const values: string[] = [];
  for await (const records of node.records("well", { low: 5n, high: 5n }))
    for (const { value } of records) values.push(String(value));
  expect(values).toContain("behaved");
  node.close();
}

const closed = (wire: NeoWire) => until("the connection to be closed", () => wire.isClosed || undefined);

test.each([
  ["a Put without its value", Buffer.concat([Buffer.from(PUT), array("ch"), u64(5n)])],
  ["a Put with more than its fields", Buffer.concat([put("ch", 5n, "v"), Buffer.of(0)])],
  ["an array longer than its message", Buffer.concat([Buffer.from(PUT), u64(1n << 60n)])],
  ["a GetRange without its mode", getRange("ch", 0n, 1n).subarray(0, -1)],
  ["a request of one byte", Buffer.of(1)],
])("%s ends that connection and no other", async (_what, payload) => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  wire.tell(1n, payload);
  await closed(wire);
  expect(server.lines.join("\n")).toContain("a neo client broke the protocol");
  await expectServed(server);
});

test.each([
  ["a request with id 0", message(MessageType.request, u64(0n), put("ch", 5n, "v"))],
  ["a message of another type", message(MessageType.authentication, u64(1n), put("ch", 5n, "v"))],
  ["a wrong parity", message(MessageType.request, u64(1n), put("ch", 5n, "v")).fill(0xff, 9, 10)],
  ["a message of two mebibytes", Buffer.concat([Buffer.of(1), u64(2n << 20n), Buffer.of(1 ^ 0x20)])],
])("%s ends that connection and no other", async (_what, bytes) => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  wire.send(bytes);
  await closed(wire);
  await expectServed(server);
});

test("more ranges at once than one connection may have end it", async () => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  for (let id = 1n; id < 1100n; id++) wire.tell(id, getRange("ch", 0n, 10n));
  await closed(wire);
  await expectServed(server);
});

test("a range whose client does not go on gets one batch, and others are served", async () => {
  await using server = await TestServer.start();
  const client = await server.client();
  const value = "x".repeat(50_000);
  for (let record = 0; record < 20; record++) await client.put("ch", BigInt(record), value);
  const wire = await server.neo();
  const [code, version, ...payload] = getRange("ch", 0n, 1000n);
  const ranges = await Promise.all(
    Array.from({ length: 20 }, () => wire.begin(code as number, version as number, Buffer.from(payload))),
  );
  for (const { queue } of ranges) expect([(await queue.take())[0], (await queue.take())[0]]).toEqual([1, 3]);
  await expectServed(server);
  expect(ranges.map(({ queue }) => queue.length)).toEqual(ranges.map(() => 0));
  // Who goes on gets the next one.
  const [first] = ranges;
  wire.tell(first?.id as bigint, Buffer.of(1));
  expect((await first?.queue.take())?.[0]).toBe(3);
});

test("whatever an authenticated client sends, cut as it may be, the node answers or closes, and lives", async () => {
  await using server = await TestServer.start();
  const piece = fc.oneof(
    fc.constantFrom(put("ch", 5n, "value"), put("", 5n, "v"), put("ch", 1n << 63n, "v"), put("ch", 6n, "")),
    fc.constantFrom(getRange("ch", 0n, 9n), getRange("ch", 9n, 0n), getRange("ch", 0n, 9n, "(", 2)),
    fc.constantFrom(Buffer.of(1), Buffer.of(2), Buffer.of(6), Buffer.of(7, 7), Buffer.alloc(0)),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  );
  const ids = fc.bigInt(0n, 4n);
  const bytes = fc
    .array(fc.tuple(ids, piece), { minLength: 1, maxLength: 8 })
    .map((messages) =>
      Buffer.concat(messages.map(([id, payload]) => message(MessageType.request, u64(id), payload))),
    );
  const damage = fc.option(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { freq: 4, nil: undefined });
  const property = fc.asyncProperty(
    bytes,
    damage,
    fc.integer({ min: 1, max: 40 }),
    async (sent, change, cut) => {
      if (change !== undefined) sent[change[0] % sent.byteLength] = change[1];
      const wire = await server.neo();
      for (let at = 0; at < sent.byteLength; at += cut) wire.send(sent.subarray(at, at + cut));
      // What ends it for sure, behind everything else.
      wire.send(Buffer.alloc(HEADER_BYTES, 0xff));
      await closed(wire);
    },
  );
  await fc.assert(property, { numRuns: 150 });
  await expectServed(server);
  expect(server.lines.filter((line) => line.includes("fatal"))).toEqual([]);
}, 60_000);
