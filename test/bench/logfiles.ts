/**
 * `bun run bench logfiles`: a logfiles node beside Redis streams, its range reads, its search, its compression.
 *
 * Puts of 256 bytes and XADD of 256 bytes come from the same generator, 50 connections, 16 requests in flight on each, in
 * turns: durable ones against Redis with `appendfsync always`, buffered ones against Redis that writes nothing at all. Range
 * reads are those of one client. Search and compression are measured in this process, on one core. Exit code 1 when a floor
 * is not held.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readPieces, Scan } from "../../src/channels/logfiles/scan/scan.ts";
import { everything } from "../../src/channels/logfiles/scan/request.ts";
import { BucketAppends } from "../../src/channels/logfiles/classic/source.ts";
import { keyText, LogfilesNode } from "../../src/channels/client.ts";
import { seal } from "../../src/channels/logfiles/segments/seal.ts";
import { requestBytes } from "../../src/channels/wire/legacy/client.ts";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { LogfilesCommand } from "../../src/native/logfiles/engine.ts";
import { Logs } from "../../src/native/logfiles/logs.ts";
import { benchCommand, type Report } from "./command.ts";
import { corpus, type CorpusLine } from "./log-corpus.ts";
import {
  benchDirectory,
  CPU_TICKS_PER_SECOND,
  startNode,
  startServers,
  type BenchServer,
} from "./servers.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "3"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "2"),
  records: defaultFlag(
    integerFlag(1000, 100_000_000),
    "N",
    "Records of the channel for range reads",
    "1000000",
  ),
  corpusMebibytes: defaultFlag(
    integerFlag(1, 4096),
    "N",
    "Size of the corpus for search and compression",
    "128",
  ),
});

const CONNECTIONS = 50;
const PIPELINE = 16;
const VALUE = Buffer.alloc(256, "log line of 256 bytes, with some text in it; ");
const LINE_FEED = 0x0a;

const limits = {
  durable: { name: "durable put to XADD, appendfsync always", better: "higher", floor: 1, goal: 1.5 },
  buffered: { name: "buffered put to XADD in memory", better: "higher", floor: 1, goal: 1.5 },
  range: { name: "range read, records per second", better: "higher", floor: 0.5e6, goal: 1e6 },
  regex: { name: "regex with a literal prefix, MB/s on one core", better: "higher", floor: 250, goal: 500 },
  compression: { name: "size compared with zstd -3", better: "lower", floor: 1.1, goal: 1 },
} as const satisfies Record<string, Limit>;

interface Traffic {
  block: Uint8Array;
  /** How many requests a chunk of replies answers. */
  answered(chunk: Uint8Array): number;
}

/** Bytes of replies of one length count themselves; those of XADD are counted by their line ends. */
const putTraffic = (): Traffic => {
  let bytes = 0;
  const requests = Array.from({ length: PIPELINE }, (_, index) =>
    requestBytes(LogfilesCommand.Put, "bench", keyText(1_764_000_000n + BigInt(index)), VALUE),
  );
  return {
    block: Buffer.concat(requests),
    answered(chunk) {
      bytes += chunk.byteLength;
      const count = Math.floor(bytes / 4);
      bytes %= 4;
      return count;
    },
  };
};

const xaddTraffic = (): Traffic => {
  let lines = 0;
  const words = ["XADD", "bench", "*", "v", VALUE.toString()];
  const request = `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
  return {
    block: Buffer.from(request.repeat(PIPELINE)),
    answered(chunk) {
      for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lines += 1;
      const count = Math.floor(lines / 2);
      lines %= 2;
      return count;
    },
  };
};

interface Measured {
  perSecond: number;
  cpuMicros: number;
}

async function measure(server: BenchServer, traffic: () => Traffic, seconds: number): Promise<Measured> {
  let requests = 0;
  let isStopped = false;
  const open = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const { block, answered } = traffic();
      let waiting = 0;
      let unsent: Uint8Array = new Uint8Array(0);
      const send = (socket: Bun.Socket<undefined>) => {
        waiting = PIPELINE;
        unsent = block.subarray(socket.write(block));
      };
      return Bun.connect<undefined>({
        hostname: "127.0.0.1",
        port: server.port,
        socket: {
          open: send,
          drain(socket) {
            if (unsent.byteLength > 0) unsent = unsent.subarray(socket.write(unsent));
          },
          data(socket, chunk) {
            const count = answered(chunk);
            waiting -= count;
            requests += count;
            if (waiting < 0) throw new Error("more replies than requests");
            if (waiting === 0 && !isStopped) send(socket);
          },
        },
      });
    }),
  );
  const [startTicks, startMs] = [server.cpuTicks(), performance.now()];
  await Bun.sleep(seconds * 1000);
  const [ticks, durationMs, counted] = [
    server.cpuTicks() - startTicks,
    performance.now() - startMs,
    requests,
  ];
  isStopped = true;
  for (const socket of open) socket.end();
  return {
    perSecond: (counted * 1000) / durationMs,
    cpuMicros: (ticks / CPU_TICKS_PER_SECOND / counted) * 1e6,
  };
}

const median = (values: number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function comparePuts(options: z.output<typeof flags>, durability: "log" | "buffered", report: Report) {
  const node = await startNode("logfiles", { durability, httpPort: null });
  const redis = await startServers.redis(durability === "log" ? "log" : "memory");
  try {
    const results: Record<"node" | "redis", Measured[]> = { node: [], redis: [] };
    for (let round = 0; round < options.rounds; round++) {
      // Each round begins with nothing, so that neither server runs out of memory.
      const client = await LogfilesNode.connect(realWorld(() => {}).net, {
        host: "127.0.0.1",
        port: node.port,
      });
      await client.removeChannel("bench");
      client.close();
      Bun.spawnSync(["redis-cli", "-p", `${redis.port}`, "DEL", "bench"]);
      results.node.push(await measure(node, putTraffic, options.seconds));
      results.redis.push(await measure(redis, xaddTraffic, options.seconds));
    }
    const rate = (all: Measured[]) => median(all.map(({ perSecond }) => perSecond));
    const cpu = (all: Measured[]) => median(all.map(({ cpuMicros }) => cpuMicros));
    const text = `${kilo(rate(results.node))} to ${kilo(rate(results.redis))} per second, CPU ${cpu(results.node).toFixed(2)} to ${cpu(results.redis).toFixed(2)} us each`;
    const limit = durability === "log" ? limits.durable : limits.buffered;
    report(limit, limit.name, rate(results.node) / rate(results.redis), text);
  } finally {
    await node.stop();
    await redis.stop();
  }
}

const kilo = (value: number) => `${Math.round(value / 1000)} k`;

/** Reads a whole channel with GetAll; only the end of the answer is looked at. */
async function measureRangeRead(records: number, report: Report): Promise<void> {
  const node = await startNode("logfiles", { durability: "buffered", httpPort: null });
  try {
    const client = await LogfilesNode.connect(realWorld(() => {}).net, {
      host: "127.0.0.1",
      port: node.port,
    });
    for (let at = 0; at < records; at += 2000) {
      const part = Array.from({ length: Math.min(2000, records - at) }, (_, index) => ({
        key: BigInt(1_764_000_000 + Math.floor((at + index) / 100)),
        value: Buffer.from(`${at + index} ${VALUE}`.slice(0, 256)),
      }));
      await client.putBatch("range", part);
    }
    client.close();
    const rates: number[] = [];
    for (let round = 0; round < 3; round++) rates.push(records / (await timeGetAll(node.port)));
    report(
      limits.range,
      limits.range.name,
      median(rates),
      `${kilo(median(rates))} records of 256 bytes per second`,
    );
  } finally {
    await node.stop();
  }
}

async function timeGetAll(port: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = Buffer.alloc(8);
  let tail = Buffer.alloc(0);
  const startMs = performance.now();
  const socket = await Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, chunk) {
        tail = Buffer.concat([tail, chunk]).subarray(-11);
        // The end of the last stream, and the empty array behind it.
        if (tail.subarray(3).equals(end) && tail[0] === 0x11) resolve();
      },
    },
  });
  socket.write(requestBytes(LogfilesCommand.GetAll, "range"));
  await promise;
  socket.end();
  return (performance.now() - startMs) / 1000;
}

/** One segment of the whole corpus, as a node writes it. */
async function sealCorpus(directory: string, lines: readonly CorpusLine[]) {
  const { disk, random } = realWorld();
  const logs = new Logs(random.bytes(16));
  const channel = logs.channel("corpus", true);
  if (channel === undefined) throw new Error("no channel");
  for (const { key, value } of lines) {
    logs.put(channel, key, Buffer.from(value));
    if (logs.effects.length > 1 << 20) logs.effectsTaken();
  }
  const path = join(directory, "corpus.nxr");
  const header = { firstNumber: 0, endNumber: lines.length, id: random.bytes(16) };
  const settings = { level: 3, pageBytes: 1 << 20 };
  const info = await seal(
    { disk },
    { path, header, memtable: logs.memtable(channel), count: lines.length, ...settings },
  );
  logs.close();
  return { path, info, disk };
}

async function measureCorpus(corpusMebibytes: number, report: Report): Promise<void> {
  mkdirSync(benchDirectory, { recursive: true });
  const directory = mkdtempSync(join(benchDirectory, "corpus-"));
  try {
    const lines = corpus(corpusMebibytes * 2 ** 20);
    const text = join(directory, "corpus.log");
    // With the time in front, as the records have it as their key.
    writeFileSync(text, lines.map(({ key, value }) => `${key} ${value}\n`).join(""));
    Bun.spawnSync(["zstd", "-3", "-q", "-k", text]);
    const theirs = statSync(`${text}.zst`).size;
    const { path, info, disk } = await sealCorpus(directory, lines);
    const ratio = info.fileBytes / theirs;
    const factor = statSync(text).size / info.fileBytes;
    report(
      limits.compression,
      limits.compression.name,
      ratio,
      `${info.fileBytes} to ${theirs} bytes, ${factor.toFixed(1)} x smaller than the text`,
    );
    const source = { kind: "segment" as const, path, id: info.id, blocks: info.blocks };
    const filter = { mode: "regex" as const, pattern: Buffer.from("upstream timed out after 9\\d{3} ms") };
    const rates: number[] = [];
    let found = 0;
    for (let round = 0; round < 5; round++) {
      const cpu = process.cpuUsage();
      const place = { disk, appends: new BucketAppends() };
      const scan = new Scan(place, {
        ...everything,
        filter,
        sources: [source],
        output: "lines",
        batchBytes: 0,
      });
      found = (await readPieces(scan, () => {})).records;
      const { user, system } = process.cpuUsage(cpu);
      rates.push(info.valueBytes / (user + system));
    }
    report(
      limits.regex,
      limits.regex.name,
      median(rates),
      `${Math.round(median(rates))} MB per second of CPU, ${found} of ${lines.length} lines`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export const benchLogfiles = benchCommand({
  name: "logfiles",
  summary: "Measure a logfiles node",
  flags,
  async run(options, report) {
    await measureCorpus(options.corpusMebibytes, report);
    await measureRangeRead(options.records, report);
    await comparePuts(options, "log", report);
    await comparePuts(options, "buffered", report);
  },
});
