/** dhtdump against a dht node of ours: cycles, one shot, what it leaves, what it says. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dhtdump } from "../../../src/channels/dhtdump/role.ts";
import { dhtdumpAbout } from "../../../src/channels/dhtdump/config.ts";
import { recordRuns } from "../../../src/channels/dhtdump/dump-channel.ts";
import { printDump } from "../../../src/channels/tcm/tools.ts";
import { loadConfig } from "../../../src/core/config/load.ts";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../../src/core/logging/log.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { readConversation } from "../wire/legacy/conversation.ts";
import { TestServer, world } from "../wire/legacy/server.ts";

const vectors = join(import.meta.dir, "../../vectors/swarm");
const directories: string[] = [];
afterEach(() => directories.splice(0).forEach((path) => rmSync(path, { recursive: true })));

/** A dhtdump in a directory of its own; `ended` resolves when it has done its work. */
async function start(port: number, settings: Record<string, unknown> = {}) {
  const path = mkdtempSync(join(tmpdir(), "node-x-dhtdump-"));
  directories.push(path);
  const dumps = join(path, "dumps");
  mkdirSync(dumps);
  const file = join(path, "dhtdump.json");
  const config = { dataDir: join(path, "state"), dumpDir: dumps, node: { port }, ...settings };
  writeFileSync(file, JSON.stringify(config));
  const sources = { file, environment: {}, sets: [], workingDirectory: path };
  const lines: string[] = [];
  const done = Promise.withResolvers<void>();
  const instance = await Instance.start(dhtdump, await loadConfig(sources, schemaCatalog), {
    world,
    logOutput: logOutput("trace", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
    onFatal: (error) => done.reject(error),
    onDone: () => done.resolve(),
  });
  return { instance, lines, dumps, ended: done.promise, names: () => readdirSync(dumps).sort() };
}

/** Lines of a dump, sorted: <16 hex>:<base64>. */
async function contentOf(path: string): Promise<string[]> {
  let text = "";
  await printDump(
    world.disk,
    path,
    (part) => (text += part),
    () => {},
  );
  return text.trim() === "" ? [] : text.trim().split("\n").sort();
}

const lineOf = (key: string, value: string) => `${key}:${Buffer.from(value).toString("base64")}`;
const keyOf = (index: number) => index.toString(16).padStart(16, "0");

async function filled(records: number, channel = "ch"): Promise<TestServer> {
  const server = await TestServer.start();
  const node = await server.node();
  await Promise.all(
    Array.from({ length: records }, (_, index) => node.put(channel, keyOf(index), `value ${index}`)),
  );
  return server;
}

describe("one shot", () => {
  test("dumps every channel as the node has it, and is done", async () => {
    await using server = await filled(5000);
    await (await server.node()).put("second-2", keyOf(7), "other");
    const dump = await start(server.port, { isOneshot: true });
    await dump.ended;
    expect(dump.names()).toEqual(["ch.tcm", "dhtdump.lock", "second-2.tcm"]);
    const wanted = Array.from({ length: 5000 }, (_, index) => lineOf(keyOf(index), `value ${index}`)).sort();
    expect(await contentOf(join(dump.dumps, "ch.tcm"))).toEqual(wanted);
    expect(await contentOf(join(dump.dumps, "second-2.tcm"))).toEqual([lineOf(keyOf(7), "other")]);
    expect(readFileSync(join(dump.dumps, "ch.tcm")).byteLength % 512).toBe(0);
    expect(dump.instance.stats().dhtdump).toMatchObject({ cycles: 1, failedCycles: 0, records: 5001 });
    await dump.instance.stop();
    expect(dump.names()).toEqual(["ch.tcm", "second-2.tcm"]);
  });

  test("writes what the original dump client wrote of the same records", async () => {
    await using server = await TestServer.start();
    const node = await server.node();
    for (const line of await contentOf(join(vectors, "small-20.tcm"))) {
      const [key = "", value = ""] = line.split(":");
      await node.put("small-20", key, Buffer.from(value, "base64"));
    }
    const dump = await start(server.port, { isOneshot: true });
    await dump.ended;
    const [ours, theirs] = [join(dump.dumps, "small-20.tcm"), join(vectors, "small-20.dhtdump.tcm")];
    expect(await contentOf(ours)).toEqual(await contentOf(theirs));
    expect(readFileSync(ours).byteLength).toBe(readFileSync(theirs).byteLength);
    await dump.instance.stop();
  });

  test("is repeated until the node is there", async () => {
    const first = await TestServer.start();
    const { port, directory } = first;
    await first.stop();
    const dump = await start(port, { isOneshot: true });
    while (!dump.lines.some((line) => line.includes("the cycle failed"))) await Bun.sleep(1);
    expect(dump.instance.reasons()).toEqual([
      expect.stringContaining("the last cycle failed: no connection to"),
    ]);
    const second = await TestServer.start({ port }, directory);
    await (await second.node()).put("ch", keyOf(1), "there");
    await dump.ended;
    expect(await contentOf(join(dump.dumps, "ch.tcm"))).toEqual([lineOf(keyOf(1), "there")]);
    await dump.instance.stop();
    await second[Symbol.asyncDispose]();
  }, 120_000);
});

describe("what is there before", () => {
  test("stays as .backup, and is replaced by an empty dump when the channel is empty", async () => {
    await using server = await filled(3);
    const node = await server.node();
    const dump = await start(server.port, { isOneshot: true });
    await dump.ended;
    await dump.instance.stop();
    for (let index = 0; index < 3; index++) await node.remove("ch", keyOf(index));
    const again = await start(server.port, { isOneshot: true, dumpDir: dump.dumps });
    await again.ended;
    expect(await contentOf(join(dump.dumps, "ch.tcm"))).toEqual([]);
    expect(await contentOf(join(dump.dumps, "ch.tcm.backup"))).toHaveLength(3);
    await again.instance.stop();
  });

  test("of an attempt that was cut short is overwritten", async () => {
    await using server = await filled(3);
    const dump = await start(server.port, { isOneshot: false });
    writeFileSync(join(dump.dumps, "ch.tcm.nodexd.dumping"), "x".repeat(100_000));
    await dump.instance.stop();
    const again = await start(server.port, { isOneshot: true, dumpDir: dump.dumps });
    await again.ended;
    expect(readdirSync(dump.dumps).sort()).toEqual(["ch.tcm", "dhtdump.lock"]);
    await again.instance.stop();
  });

  test("of a node that dumps itself is left alone", async () => {
    await using server = await filled(3);
    const dump = await start(server.port, { retryWaitSeconds: 3600 });
    await dump.instance.stop();
    writeFileSync(join(dump.dumps, "ch.nxs"), "side");
    const again = await start(server.port, { isOneshot: true, retryWaitSeconds: 3600, dumpDir: dump.dumps });
    while (!again.lines.some((line) => line.includes("a node dumps itself there"))) await Bun.sleep(1);
    await again.instance.stop();
    expect(readdirSync(dump.dumps)).toEqual(["ch.nxs"]);
  });

  test("a directory is one dhtdump's, and must be there", async () => {
    await using server = await filled(1);
    const dump = await start(server.port);
    await expect(start(server.port, { dumpDir: dump.dumps })).rejects.toMatchObject({
      code: "NX_DATA_DIR_LOCKED",
    });
    await expect(start(server.port, { dumpDir: "/nowhere" })).rejects.toMatchObject({
      code: "NX_DATA_DIR_UNUSABLE",
    });
    await dump.instance.stop();
  });
});

test("a node that falls silent in the middle fails the cycle; nothing half is left", async () => {
  const listener = await world.net.listen({
    host: "127.0.0.1",
    port: 0,
    handlers: {
      open: () => undefined,
      data(socket, _state, chunk) {
        const answers: Record<number, string> = {
          24: "c800000008000000000000003230313130343031",
          20: "c80000000000000000000000ffffffffffffffff",
          17: "c8000000020000000000000063680000000000000000",
          29: "c8000000ff", // the beginning of an answer
        };
        for (let at = 0; at < chunk.byteLength; at += 4)
          socket.write(Buffer.from(answers[Buffer.from(chunk).readInt32LE(at)] ?? "", "hex"));
      },
      drain: () => {},
      close: () => {},
    },
  });
  const dump = await start(listener.port, { isOneshot: true, silenceSecondsMax: 1, retryWaitSeconds: 3600 });
  while (!dump.lines.some((line) => line.includes("the node sent nothing for 1 s"))) await Bun.sleep(1);
  while (!dump.lines.some((line) => line.includes("the cycle failed"))) await Bun.sleep(1);
  expect(dump.names()).toEqual(["dhtdump.lock"]);
  await dump.instance.stop();
  listener.stop();
}, 120_000);

describe("a batch", () => {
  const field = (text: string) => {
    const bytes = Buffer.alloc(8 + text.length);
    bytes.writeBigUInt64LE(BigInt(text.length));
    bytes.write(text, 8, "latin1");
    return bytes;
  };
  const batch = (...fields: string[]) => Buffer.concat(fields.map(field));

  test("is written in runs that leave records without value out", () => {
    const content = batch(keyOf(1), "a", keyOf(2), "", keyOf(3), "ccc");
    expect(recordRuns(content)).toEqual({
      runs: [
        [0, 33],
        [65, 100],
      ],
      records: 2,
    });
    expect(recordRuns(new Uint8Array(0))).toEqual({ runs: [], records: 0 });
  });

  test.each([
    ["a key of another length", batch("short", "v")],
    ["a key that is no number", batch("zzzzzzzzzzzzzzzz", "v")],
    ["a value that is not there", batch(keyOf(1), "value").subarray(0, 35)],
    ["an end within a length", batch(keyOf(1), "value").subarray(0, 30)],
  ])("with %s is refused", (_what, content) => {
    expect(() => recordRuns(content)).toThrow("not made of records");
  });

  test("of a recording is what recordRuns takes", () => {
    expect(readConversation("dht-dhtdump").length).toBeGreaterThan(5);
    const content = readFileSync(join(vectors, "dht-dhtdump-1.raw"));
    expect(recordRuns(content)).toEqual({ runs: [[0, content.byteLength]], records: 20 });
  });
});

test("stats.log has the names of both generations; a second line counts from there", async () => {
  await using server = await filled(10);
  const dump = await start(server.port, { isOneshot: true });
  await dump.ended;
  const bytes = 10 * (16 + 16 + "value 0".length);
  const line = dump.instance.statsLine();
  expect(line).toMatch(new RegExp(`^records_written:10 bytes_written:${bytes} last_time_ms:\\d+ `));
  expect(line).toEndWith(
    `records_written_ch:10 bytes_written_ch:${bytes} channel/ch/records_written:10 channel/ch/bytes_written:${bytes}`,
  );
  expect(dump.instance.statsLine()).toStartWith("records_written:0 bytes_written:0 ");
  await dump.instance.stop();
});

describe("the INI file of the original", () => {
  const load = async (text: string) => {
    const path = mkdtempSync(join(tmpdir(), "node-x-dhtdump-"));
    directories.push(path);
    mkdirSync(join(path, "etc"));
    writeFileSync(join(path, "etc/config.ini"), text);
    const sources = { file: "etc/config.ini", environment: {}, sets: [], workingDirectory: path };
    return { path, loaded: await loadConfig(sources, schemaCatalog) };
  };

  test("is known by its sections and means what it meant", async () => {
    const { path, loaded } = await load(
      "[Dht]\naddress = 127.0.0.1\nport = 10000\n[Dump]\nperiod_s = 21600\nmin_wait_s = 61\nretry_wait_s = 31\n" +
        "disable_direct_io = true\n[STATS]\ninterval = 5\n[LOG.Root]\nconsole = true\n",
    );
    expect(loaded.role).toBe(dhtdumpAbout.name);
    expect(loaded.config).toMatchObject({
      node: { host: "127.0.0.1", port: 10_000 },
      dumpDir: join(path, "data"),
      periodSeconds: 21_600,
      minWaitSeconds: 61,
      retryWaitSeconds: 31,
      log: { statsPeriodMs: 5000, console: "text", file: join(path, "log/root.log") },
    });
  });

  test("without the node's port is refused", async () => {
    await expect(load("[Dht]\naddress = 127.0.0.1\n")).rejects.toThrow(
      "[Dht] port, the port of the dht node",
    );
  });
});
