/** Queues across restarts: `.rq` files both ways, the originals' overflow, streams, and the append log. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MalformedOverflow, readOverflowSet } from "../../../src/channels/queue/overflow-set.ts";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { vectors } from "../wire/legacy/conversation.ts";
import { RawClient } from "../wire/resp/raw.ts";
import { startQueue, type TestServer, world } from "./server.ts";

class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "node-x-queue-"));
  readonly data = join(this.path, "data");
  constructor() {
    mkdirSync(this.data);
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const open = (server: TestServer) => QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });

async function popAll(node: QueueNode, channel: string): Promise<string[]> {
  const found: string[] = [];
  for (let record = await node.pop(channel); record !== undefined; record = await node.pop(channel))
    found.push(record.toString());
  return found;
}

const overflowRecords = (channel: number) => (texts: string[]) =>
  texts.every((text) => Number(/record (\d+)/.exec(text)?.[1]) % 2 === channel);

describe('durability "save"', () => {
  test("reads the original's file and writes the same bytes", async () => {
    using directory = new Directory();
    const original = join(vectors, "rqsample.rq");
    cpSync(original, join(directory.data, "sample.rq"));
    const server = await startQueue({ durability: "save" }, directory.path);
    expect(await (await open(server)).channelSize("sample")).toMatchObject({ records: 6, bytes: 207 });
    await server.stop();
    expect(readFileSync(join(directory.data, "sample.rq"))).toEqual(readFileSync(original));
  });

  test("keeps lists and streams, pending entries included, over a clean shutdown", async () => {
    using directory = new Directory();
    const first = await startQueue({ durability: "save" }, directory.path);
    const client = await RawClient.connect(first.respPort);
    await client.command("RPUSH", "list", "a", "b");
    await client.command("RPUSH", "odd name", "c");
    await client.command("XADD", "stream", "1-1", "f", "v");
    await client.command("XGROUP", "CREATE", "stream", "g", "0");
    await client.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream", ">");
    const seen = await client.command("XPENDING", "stream", "g");
    await first.stop();
    expect(existsSync(join(directory.data, "list.rq"))).toBe(true);
    const second = await startQueue({ durability: "save" }, directory.path);
    const again = await RawClient.connect(second.respPort);
    expect(String(await again.command("LRANGE", "list", "0", "-1"))).toContain("$1\r\na\r\n$1\r\nb");
    expect(String(await again.command("LPOP", "odd name"))).toBe("$1\r\nc\r\n");
    expect(await again.command("XPENDING", "stream", "g")).toEqual(seen);
    await again.command("DEL", "list", "stream");
    await second.stop();
    const third = await startQueue({ durability: "save" }, directory.path);
    const last = await RawClient.connect(third.respPort);
    expect(String(await last.command("DBSIZE"))).toBe(":0\r\n");
    await third.stop();
  });

  test("an emptied channel's old file goes", async () => {
    using directory = new Directory();
    cpSync(join(vectors, "rqsample.rq"), join(directory.data, "sample.rq"));
    const server = await startQueue({ durability: "save" }, directory.path);
    expect(await popAll(await open(server), "sample")).toHaveLength(6);
    await server.stop();
    expect(existsSync(join(directory.data, "sample.rq"))).toBe(false);
  });

  test("the later generation removes the files once they are loaded", async () => {
    using directory = new Directory();
    cpSync(join(vectors, "rqsample.rq"), join(directory.data, "sample.rq"));
    const server = await startQueue({ durability: "save", swarm: { generation: "later" } }, directory.path);
    expect(existsSync(join(directory.data, "sample.rq"))).toBe(false);
    await server.stop();
    expect(existsSync(join(directory.data, "sample.rq"))).toBe(true);
  });

  test("the originals' overflow comes behind what was in memory, and once", async () => {
    using directory = new Directory();
    for (const name of ["of0.rq", "of1.rq", "ofchannels.csv", "overflow.dat"])
      cpSync(join(vectors, `overflow-set-${name}`), join(directory.data, name));
    const first = await startQueue({ durability: "save" }, directory.path);
    const node = await open(first);
    expect((await node.size()).records).toBe(116);
    await first.stop();
    const second = await startQueue({ durability: "save" }, directory.path);
    const [even, odd] = [await popAll(await open(second), "of0"), await popAll(await open(second), "of1")];
    expect(even.length + odd.length).toBe(116);
    expect([overflowRecords(0)(even), overflowRecords(1)(odd)]).toEqual([true, true]);
    await second.stop();
  });

  test.each([
    ["a length that does not add up", (bytes: Buffer) => bytes.writeUInt8(99, 12)],
    ["a count that is too large", (bytes: Buffer) => bytes.writeUInt32LE(7, 0)],
    ["a total that is too small", (bytes: Buffer) => bytes.writeUInt32LE(1, 4)],
  ])("a file with %s stops the start and says which", async (_what, damage) => {
    using directory = new Directory();
    const bytes = Buffer.from(readFileSync(join(vectors, "rqsample.rq")));
    damage(bytes);
    writeFileSync(join(directory.data, "sample.rq"), bytes);
    await expect(startQueue({ durability: "save" }, directory.path)).rejects.toThrow("sample.rq");
  });

  test("a file for which the ring is too small stops the start, and stays", async () => {
    using directory = new Directory();
    cpSync(join(vectors, "rqsample.rq"), join(directory.data, "sample.rq"));
    const start = startQueue({ durability: "save", channels: { ringBytes: 100 } }, directory.path);
    await expect(start).rejects.toThrow("do not fit");
    expect(readFileSync(join(directory.data, "sample.rq"))).toHaveLength(219);
  });
});

describe("overflow sets", () => {
  const data = readFileSync(join(vectors, "overflow-set-overflow.dat"));
  const index = readFileSync(join(vectors, "overflow-set-ofchannels.csv"), "latin1");

  test("are read in the order of their chains", () => {
    const found = readOverflowSet(data, index);
    expect(found.map(({ name, records }) => [name, records.length])).toEqual([
      ["of1", 48],
      ["of0", 46],
    ]);
    expect(String(found[1]?.records[0])).toBe("overflow record 24 YYYYYYYYYYY");
  });

  test("with any flipped byte of a header are refused", () => {
    for (const at of [0, 8, 16, 24, 31, 32, 70, 80]) {
      const changed = Buffer.from(data);
      changed[at] = (changed[at] as number) ^ 1;
      expect(() => readOverflowSet(changed, index)).toThrow(MalformedOverflow);
    }
    expect(() => readOverflowSet(data, index.replace("48", "47"))).toThrow(MalformedOverflow);
    expect(() => readOverflowSet(data.subarray(0, 5300), index)).toThrow(MalformedOverflow);
  });
});

describe('durability "log"', () => {
  test("keeps everything over a restart, and takes the originals' files at its first start", async () => {
    using directory = new Directory();
    cpSync(join(vectors, "rqsample.rq"), join(directory.data, "sample.rq"));
    const first = await startQueue({ durability: "log" }, directory.path);
    const node = await open(first);
    expect(String(await node.pop("sample"))).toBe("record 0 ");
    await node.push("sample", "last");
    await first.stop();
    const second = await startQueue({ durability: "log" }, directory.path);
    const found = await popAll(await open(second), "sample");
    expect(found).toHaveLength(6);
    expect(found.at(-1)).toBe("last");
    await second.stop();
  });
});
