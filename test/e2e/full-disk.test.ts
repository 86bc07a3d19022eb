/** Real nodes on a disk that is full: in service, at the start, during a compaction, at the stop. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { RawClient } from "../channels/wire/resp/raw.ts";
import { replyText } from "./client.ts";
import { until } from "./executable.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";
import { SmallDisk, whyNoSmallDisk } from "./small-disk.ts";

const MEBIBYTE = 1 << 20;
const MISCONF = "MISCONF The disk is full: writes are refused until there is space. Free some; reads go on.";
const VALUE = "x".repeat(20_000);

const noSmallDisk = whyNoSmallDisk();
if (noSmallDisk !== undefined) console.log(`skipping the tests of a full disk: ${noSmallDisk}`);

/** A client that writes numbered records until it is told to stop or a write is refused. */
class Filler {
  acknowledged = 0;
  isWanted = true;
  readonly #client: RawClient;
  readonly done: Promise<string>;

  constructor(client: RawClient) {
    this.#client = client;
    this.done = this.#run();
  }

  async #run(): Promise<string> {
    for (; this.isWanted; this.acknowledged++) {
      const reply = replyText(await this.#client.command("SET", `record-${this.acknowledged}`, VALUE));
      if (reply !== "+OK") return reply;
    }
    return "+OK";
  }
}

/** Reads without pause; knows its longest wait. */
class Reader {
  waitMsMax = 0;
  reads = 0;
  isWanted = true;
  readonly done: Promise<void>;

  constructor(client: RawClient) {
    this.done = this.#run(client);
  }

  async #run(client: RawClient): Promise<void> {
    for (; this.isWanted; this.reads++) {
      const start = performance.now();
      const reply = await client.command("GET", "record-0");
      if (reply[0] !== 0x24) throw new Error(`a read was answered ${replyText(reply)}`);
      this.waitMsMax = Math.max(this.waitMsMax, performance.now() - start);
    }
  }
}

async function untilReady(node: NodeProcess, isReady: boolean): Promise<string[]> {
  return until(`ready ${isReady}`, async () => {
    const { status, reasons } = await node.readiness();
    return (status === 200) === isReady ? reasons : undefined;
  });
}

/** How many of the records from 0 to `count` are there, whole. */
async function countWhole(node: NodeProcess, count: number): Promise<number> {
  await using client = await node.connect();
  let whole = 0;
  for (let record = 0; record < count; record++) {
    const reply = await client.command("GET", `record-${record}`);
    if (reply.toString("latin1") === `$${VALUE.length}\r\n${VALUE}\r\n`) whole++;
  }
  return whole;
}

const command = async (node: NodeProcess, ...words: string[]) => {
  await using client = await node.connect();
  return replyText(await client.command(...words));
};

describe.skipIf(noSmallDisk !== undefined)("on a full disk", () => {
  test("writes are refused, reads go on, /readyz says why; it resumes by itself and has lost nothing", async () => {
    using directory = new NodeDirectory();
    directory.disk = await SmallDisk.mount(directory.dataDir, 32);
    directory.disk.fill(8 * MEBIBYTE);
    let node = await directory.start({ log: { console: "off" } });
    const fillers: Filler[] = [];
    for (let index = 0; index < 3; index++) fillers.push(new Filler(await node.connect()));
    await until("the first record", () => (fillers[0]?.acknowledged ?? 0) > 0 || undefined);
    const reader = new Reader(await node.connect());

    const reasons = await untilReady(node, false);
    expect(reasons).toEqual(["the disk is full: writes are refused"]);
    const readsBefore = reader.reads;
    expect(await command(node, "SET", "more", "1")).toBe(`-${MISCONF}`);
    expect(await command(node, "DEL", "record-0")).toBe(`-${MISCONF}`);
    expect(await command(node, "DBSIZE")).toMatch(/^:\d+$/);
    expect(await command(node, "INFO", "persistence")).toContain("aof_last_write_status:err");
    await using transaction = await node.connect();
    expect(replyText(await transaction.command("MULTI"))).toBe("+OK");
    expect(replyText(await transaction.command("SET", "more", "1"))).toBe(`-${MISCONF}`);
    expect(replyText(await transaction.command("EXEC"))).toStartWith("-EXECABORT ");
    await until("reads to go on", () => reader.reads > readsBefore + 100 || undefined);

    // Who goes on writing could fill the disk again before this test looks.
    for (const filler of fillers) filler.isWanted = false;
    directory.disk.free();
    await untilReady(node, true);
    // What was on its way when the disk filled up is acknowledged late or refused, but never forgotten.
    for (const filler of fillers) expect(["+OK", `-${MISCONF}`]).toContain(await filler.done);
    reader.isWanted = false;
    await reader.done;
    // A read that waited for the disk would have waited for all of this; the machine may be busy.
    expect(reader.waitMsMax).toBeLessThan(15_000);
    expect(await command(node, "SET", "after", "1")).toBe("+OK");
    expect(directory.rootLog()).toContain("writes are refused: cannot write");
    expect(directory.rootLog()).toContain("writes are accepted again");

    const acknowledged = Math.max(...fillers.map((filler) => filler.acknowledged));
    await node.end("SIGKILL");
    node = await directory.start();
    expect(await countWhole(node, acknowledged)).toBe(acknowledged);
    expect(await command(node, "GET", "after")).toBe("$1\r\n1");
  }, 120_000);

  test("a node that starts on a full disk serves reads and resumes by itself", async () => {
    using directory = new NodeDirectory();
    directory.disk = await SmallDisk.mount(directory.dataDir, 32);
    let node = await directory.start({ log: { console: "off" } });
    expect(await command(node, "SET", "record-0", VALUE)).toBe("+OK");
    // A killed node would leave a segment with room in it, which the next start gives back.
    expect(await node.end("SIGTERM")).toBe(0);
    directory.disk.fill();
    node = await directory.start(undefined, { isReady: false });
    expect((await node.readiness()).reasons).toEqual(["the disk is full: writes are refused"]);
    expect(await countWhole(node, 1)).toBe(1);
    expect(await command(node, "SET", "more", "1")).toBe(`-${MISCONF}`);
    directory.disk.free();
    await untilReady(node, true);
    expect(await command(node, "SET", "more", "1")).toBe("+OK");
    await node.end("SIGKILL");
    node = await directory.start();
    expect(await command(node, "GET", "more")).toBe("$1\r\n1");
  }, 120_000);

  test("a compaction that finds no space is given up; service goes on and nothing is left of it", async () => {
    using directory = new NodeDirectory();
    directory.disk = await SmallDisk.mount(directory.dataDir, 64);
    let node = await directory.start({ log: { console: "off" } });
    await using client = await node.connect();
    for (let record = 0; record < 400; record++) await client.command("SET", `record-${record}`, VALUE);
    expect(await node.end()).toBe(0);
    directory.disk.fill(6 * MEBIBYTE);
    const compaction = { logBytesMin: 65536, growthPercent: 10 };
    node = await directory.start({ compaction, log: { console: "off" } });
    await until(
      "the compaction to fail",
      () => directory.rootLog().includes("compaction failed, the log stays as it was") || undefined,
    );
    await untilReady(node, true);
    // On a busy machine the next attempt, ten seconds later, may be under way already.
    await until("a write", async () => (await command(node, "SET", "after", "1")) === "+OK" || undefined);
    const snapshots = () =>
      readdirSync(directory.inData("store")).filter((name) => name.startsWith("snapshot"));
    await until("nothing to be left of the compaction", () => snapshots().length === 0 || undefined);
    await node.end("SIGKILL");

    directory.disk.free();
    node = await directory.start();
    await until("a compaction", async () => (await node.stats()).dht.compactions > 0 || undefined);
    await node.end("SIGKILL");
    node = await directory.start();
    expect(await countWhole(node, 400)).toBe(400);
    expect(await command(node, "GET", "after")).toBe("$1\r\n1");
  }, 120_000);

  test("SIGTERM stops a node whose disk is full; what it acknowledged is there afterwards", async () => {
    using directory = new NodeDirectory();
    directory.disk = await SmallDisk.mount(directory.dataDir, 12);
    let node = await directory.start({ log: { console: "off" } });
    const filler = new Filler(await node.connect());
    const lost = filler.done.catch(() => "closed");
    await untilReady(node, false);
    expect(await node.end("SIGTERM")).toBe(0);
    await lost;
    node = await directory.start(undefined, { isReady: false });
    expect(filler.acknowledged).toBeGreaterThan(100);
    expect(await countWhole(node, filler.acknowledged)).toBe(filler.acknowledged);
  }, 120_000);
});
