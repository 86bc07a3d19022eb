/** Lists whose ring is full go on in the overflow on disk: nothing is lost, the order stays, and the space comes back. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { QueueNode } from "../../../src/channels/client.ts";
import { openScratchFile } from "../../../src/core/seams/scratch-file.ts";
import type { QueueChannel } from "../../../src/native/queues.ts";
import { MemoryNode } from "./memory-node.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const CHANNELS = { ringBytes: 4096, overflowBytes: 65_536 };
const RECORDS = 400;
const recordOf = (number: number) => `${String(number).padStart(4, "0")}${"x".repeat(100)}`;

const directory = () => mkdtempSync(join(tmpdir(), "node-x-overflow-"));
const nodeOf = ({ port }: TestServer) => QueueNode.connect(world.net, { host: "127.0.0.1", port });
const channelOf = (server: TestServer) =>
  (server.instance.stats().queue as unknown as { channels: QueueChannel[] }).channels.find(
    ({ name }) => name === "jobs",
  );

async function fill(server: TestServer): Promise<void> {
  const node = await nodeOf(server);
  for (let record = 0; record < RECORDS; record++) await node.push("jobs", recordOf(record));
  node.close();
}

async function drained(server: TestServer): Promise<string[]> {
  const node = await nodeOf(server);
  const records: string[] = [];
  for (let next = await node.pop("jobs"); next !== undefined; next = await node.pop("jobs"))
    records.push(String(next));
  node.close();
  return records;
}

const all = Array.from({ length: RECORDS }, (_, record) => recordOf(record));

test("what the ring has no room for waits on disk, in order, until both are full", async () => {
  await using server = await startQueue({ channels: CHANNELS });
  await fill(server);
  const bytes = RECORDS * 112;
  expect(channelOf(server)).toMatchObject({ records: RECORDS, usedBytes: bytes, ringBytes: 4096 });
  expect(channelOf(server)?.overflowRecords).toBe(RECORDS - 36);
  expect(server.instance.statsLine()).toContain(
    "channel/jobs/records_memory:36 channel/jobs/records_overflow:364 ",
  );
  const node = await nodeOf(server);
  const filling = async () => {
    for (;;) await node.push("jobs", recordOf(0));
  };
  await expect(filling()).rejects.toMatchObject({ status: 407 });
  const kept = channelOf(server)?.records as number;
  // Each part loses less than a record at its end.
  expect(kept).toBe(Math.floor(4096 / 112) + Math.floor(65_536 / 112));
  expect((await drained(server)).slice(0, RECORDS)).toEqual(all);
  expect(channelOf(server)).toMatchObject({ records: 0, overflowRecords: 0, overflowBytes: 0 });
  node.close();
});

test.each(["log", "save"])("with durability %p all of it is there after a restart", async (durability) => {
  const place = directory();
  const settings = { durability, channels: CHANNELS };
  const first = await startQueue(settings, place);
  await fill(first);
  expect(readdirSync(join(place, "data"))).not.toContain("overflow.pages");
  await first.stop();
  await using second = await startQueue(settings, place);
  expect(channelOf(second)?.records).toBe(RECORDS);
  expect(await drained(second)).toEqual(all);
});

test("each subscriber has an overflow of its own", async () => {
  await using server = await startQueue({ channels: CHANNELS, swarm: { generation: "later" } });
  const [first, writer] = [await nodeOf(server), await nodeOf(server)];
  const records = await first.consume("jobs");
  for (let record = 0; record < RECORDS; record++) await writer.push("jobs", recordOf(record));
  for (const wanted of all) expect(String((await records.next()).value)).toBe(wanted);
  first.close();
  writer.close();
});

const scratch = directory();
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("whatever Redis clients do to a list with an overflow, it is what a plain list would be", () => {
  const record = fc.nat(200).map((length) => "r".repeat(length + 1));
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom("RPUSH", "LPUSH"), record) },
    { weight: 4, arbitrary: fc.tuple(fc.constantFrom("RPOP", "LPOP")) },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constant("LTRIM"),
        fc.integer({ min: -30, max: 10 }),
        fc.integer({ min: -10, max: 30 }),
      ),
    },
  );
  let overflowed = 0;
  const property = fc.property(fc.array(step, { minLength: 50, maxLength: 200 }), (steps) => {
    const file = openScratchFile(join(scratch, "overflow"));
    using node = new MemoryNode({ channelBytes: 512 });
    using plain = new MemoryNode({ channelBytes: 1 << 20 });
    node.queues.setOverflow(file.descriptor, 1 << 20);
    for (const [index, [command, ...rest]] of steps.entries()) {
      const words = [
        command as string,
        "l",
        ...rest.map((word) => (command?.endsWith("PUSH") ? `${index} ${word}` : String(word))),
      ];
      expect(node.run(words)).toBe(plain.run(words));
      if (node.queues.channels().some(({ overflowRecords }) => overflowRecords > 0)) overflowed += 1;
    }
    expect(node.show()).toBe(plain.show());
    file.close();
  });
  fc.assert(property, { numRuns: 60 });
  expect(overflowed).toBeGreaterThan(1000);
});
