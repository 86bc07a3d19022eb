/**
 * `bun run bench stream-tools`: what stands around a stream. How fast a replica takes a checked append, and how long one
 * small piece takes until it is synced; how fast a sender hands records to a sink that only counts.
 *
 * The probe that the replica is measured beside writes and syncs the same amount to the same disk by itself.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { LatencyHistogram } from "../../src/core/load/histogram.ts";
import { milliseconds } from "../../src/core/load/table.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { ReplicaConnection } from "../../src/streams/replica/connection.ts";
import { executable, NodeDirectory } from "../e2e/node-process.ts";
import { benchCommand, type Report } from "./command.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  mebibytes: defaultFlag(integerFlag(1, 100_000), "N", "How much is appended", "512"),
  pieces: defaultFlag(integerFlag(10, 1_000_000), "N", "Small pieces, one behind the other", "1000"),
  records: defaultFlag(
    integerFlag(1000, 1e9),
    "N",
    "Orders that the sender sends, and as many quotes",
    "2000000",
  ),
  seconds: defaultFlag(numberFlag(1, 600), "S", "Limit of one measurement", "120"),
});

const MEBIBYTE = 1024 * 1024;
const PIECE_BYTES = 200;

const appendLimit: Limit = { name: "MB/s synced", better: "higher", floor: 100 };
const pieceLimit: Limit = { name: "p50 in ms", better: "lower", floor: 5 };
const sendLimit: Limit = { name: "records per second", better: "higher", floor: 300_000, goal: 1_000_000 };

/** Megabytes per second of writing and one sync at the end, by this process. */
async function diskRate(directory: string, mebibytes: number): Promise<number> {
  const bytes = new Uint8Array(MEBIBYTE).fill(7);
  const file = await open(join(directory, "probe"), "w");
  const startMs = performance.now();
  for (let count = 0; count < mebibytes; count++) await file.write(bytes);
  await file.datasync();
  const seconds = (performance.now() - startMs) / 1000;
  await file.close();
  return (mebibytes * MEBIBYTE) / 1e6 / seconds;
}

async function connect(port: number, directory: string): Promise<ReplicaConnection> {
  const connection = await ReplicaConnection.connect({
    world: realWorld(),
    address: { host: "127.0.0.1", port },
    timeoutMs: 10_000,
  });
  await connection.request({ command: "u", directory });
  return connection;
}

/** Megabytes per second until the last byte was acknowledged as synced. */
async function appendRate(port: number, mebibytes: number): Promise<number> {
  const connection = await connect(port, "large");
  const total = mebibytes * MEBIBYTE;
  const bytes = new Uint8Array(MEBIBYTE).fill(7);
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let sent = 0;
  const send = () => {
    for (; sent < total && connection.hasRoom; sent += MEBIBYTE) connection.send(bytes);
  };
  await connection.append("state", 0, { onSynced: (synced) => synced === total && resolve(), onRoom: send });
  const startMs = performance.now();
  send();
  await done;
  const seconds = (performance.now() - startMs) / 1000;
  connection.close();
  return total / 1e6 / seconds;
}

/** From sending a small piece to its acknowledgement, one at a time. */
async function pieceLatency(port: number, pieces: number): Promise<LatencyHistogram> {
  const connection = await connect(port, "small");
  const histogram = new LatencyHistogram();
  const bytes = new Uint8Array(PIECE_BYTES).fill(7);
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let startMs = performance.now();
  let sent = 0;
  const send = () => {
    startMs = performance.now();
    sent++;
    connection.send(bytes);
  };
  await connection.append("state", 0, {
    onSynced() {
      histogram.record(performance.now() - startMs);
      if (sent < pieces) send();
      else resolve();
    },
    onRoom: () => {},
  });
  send();
  await done;
  connection.close();
  return histogram;
}

/** Records per second of `stream send` into `stream receive`, both processes. */
async function sendRate(directory: string, records: number, seconds: number): Promise<number> {
  const receiver = Bun.spawn([executable, "stream", "receive", "--no-write", "-l", "127.0.0.1:0"], {
    ...{ cwd: directory, stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  });
  try {
    let said = "";
    for await (const chunk of receiver.stderr) {
      said += Buffer.from(chunk).toString();
      if (said.includes("\n")) break;
    }
    const port = /:(\d+)\n/.exec(said)?.[1] ?? "";
    const words = ["--feed", "market", "--raw", "--interval-ms", "0", "--batch", "1000", "--json"];
    const counts = ["--orders", String(records), "--quotes", String(records)];
    const limit = ["--timeout-ms", String(Math.round(seconds * 1000))];
    const sender = Bun.spawn(
      [executable, "stream", "send", `127.0.0.1:${port}`, ...words, ...counts, ...limit],
      {
        ...{ cwd: directory, stdin: "ignore", stdout: "pipe", stderr: "ignore" },
      },
    );
    const report = JSON.parse(await new Response(sender.stdout).text()) as { recordsPerSecond: number };
    return report.recordsPerSecond;
  } finally {
    receiver.kill("SIGKILL");
  }
}

async function run(options: z.output<typeof flags>, report: Report): Promise<void> {
  const { mebibytes, pieces, records, seconds } = options;
  using directory = new NodeDirectory("replica");
  const node = await directory.start({ port: 0 });
  const port = node.ports.port as number;
  const probe = mkdtempSync(join(tmpdir(), "node-x-bench-"));
  try {
    const own = await diskRate(probe, mebibytes);
    const rate = await appendRate(port, mebibytes);
    report(
      appendLimit,
      "checked append, synced",
      rate,
      `${mebibytes} MiB; the disk by itself ${Math.round(own)} MB/s`,
    );
    const latency = (await pieceLatency(port, pieces)).summary();
    const text = `${pieces} pieces of ${PIECE_BYTES} B, p99 ${milliseconds(latency.p99Ms)} ms`;
    report(pieceLimit, "one small piece, synced", latency.p50Ms, text);
    report(
      sendLimit,
      "market from sender to a counting sink",
      await sendRate(probe, records, seconds),
      `${2 * records} records`,
    );
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

export const benchStreamTools = benchCommand({
  name: "stream-tools",
  summary: "Measure what stands around a stream: replica appends and the sender",
  flags,
  run,
});
