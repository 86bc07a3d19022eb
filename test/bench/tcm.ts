/**
 * `bun run bench tcm`: how fast dumps are written and loaded, and how long a request waits while one is written.
 *
 * In one process, on real files in a directory of the file system that is measured: the store is filled, dumped,
 * loaded into another store, and compared. How long the event loop is away is what a timer of one millisecond
 * misses; how long clients wait is measured on a node of its own (dump-latency.ts). Writes dist/bench/tcm.json. Exit code 1 when a floor is not held.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DumpFiles } from "../../src/channels/tcm/dump-files.ts";
import { loadDumps } from "../../src/channels/tcm/load.ts";
import { NxError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { Store } from "../../src/native/store.ts";
import { measureDumpLatency } from "./dump-latency.ts";

const VALUE_BYTES = 40;
const FLOORS = { loadPerSecond: 1_000_000, dumpPerSecond: 500_000, waitP999Ms: 20, clientP999Ms: 20 };
const GOALS = { loadPerSecond: 2_000_000, dumpPerSecond: 1_000_000 };

function filled(records: number): Store {
  const store = new Store({ seed: new Uint8Array(16) });
  const channel = store.openChannel("bench");
  const key = Buffer.alloc(16);
  const value = Buffer.alloc(VALUE_BYTES, "v");
  for (let index = 0; index < records; index++) {
    // Spread as hashes are, and the same each time.
    key.write(
      BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n)
        .toString(16)
        .padStart(16, "0"),
      "latin1",
    );
    channel.put(key, value);
  }
  return store;
}

/** Gaps between ticks of a timer, less its period, while `work` runs. */
async function waits<Value>(work: () => Promise<Value>): Promise<{ value: Value; gapsMs: number[] }> {
  const gapsMs: number[] = [];
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    gapsMs.push(Math.max(0, nowMs - lastMs - 1));
    lastMs = nowMs;
  }, 1);
  try {
    return { value: await work(), gapsMs };
  } finally {
    clearInterval(timer);
  }
}

const percentile = (sorted: number[], part: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;

export async function benchTcm(argv: string[]): Promise<number> {
  const records = argv[0] === undefined ? 2_000_000 : Number(argv[0]);
  if (argv.length > 1 || !Number.isSafeInteger(records) || records < 1)
    throw new NxError("NX_USAGE", "wanted: bench tcm [RECORDS]");
  const output = join(import.meta.dir, "../../dist/bench");
  mkdirSync(output, { recursive: true });
  const directory = mkdtempSync(join(output, "tcm-"));
  const world = realWorld();
  const results: {
    dumpPerSecond: number;
    loadPerSecond: number;
    waitP999Ms: number;
    waitMaxMs: number;
    clientP999Ms: number;
    clientMaxMs: number;
  }[] = [];
  const store = filled(records);
  let fileBytes = 0;
  try {
    for (let round = 0; round < 3; round++) {
      const files = new DumpFiles({ world, directory, store, valueBytesMax: 65_536 });
      const startMs = performance.now();
      const { gapsMs } = await waits(async () => {
        const dump = await files.write("bench");
        if (dump !== undefined) await files.commit(dump);
      });
      const dumpSeconds = (performance.now() - startMs) / 1000;
      gapsMs.sort((a, b) => a - b);
      fileBytes = statSync(join(directory, "bench.tcm")).size;
      const again = new Store({ seed: new Uint8Array(16) });
      const loadStartMs = performance.now();
      await loadDumps({
        world,
        log: silentLog(),
        directory,
        store: again,
        valueBytesMax: 65_536,
        range: { min: 0n, max: 0xffff_ffff_ffff_ffffn },
        outOfRange: "load",
        abortAfterAllOutOfRange: 0,
        progress: () => {},
      });
      const loadSeconds = (performance.now() - loadStartMs) / 1000;
      const found = again.stats().records;
      again.close();
      if (found !== records) throw new Error(`${found} of ${records} records were loaded`);
      const client = await measureDumpLatency(join(directory, "bench.tcm"), output);
      if (!(client.answers > 1000))
        throw new Error(`only ${client.answers} answers during a dump: take more records`);
      const result = {
        dumpPerSecond: Math.round(records / dumpSeconds),
        loadPerSecond: Math.round(records / loadSeconds),
        waitP999Ms: percentile(gapsMs, 0.999),
        waitMaxMs: gapsMs.at(-1) ?? 0,
        clientP999Ms: client.p999Ms,
        clientMaxMs: client.maxMs,
      };
      results.push(result);
      console.log(
        `dump ${result.dumpPerSecond.toLocaleString("en-US")} records/s, load ${result.loadPerSecond.toLocaleString("en-US")} records/s, ` +
          `event loop away p99.9 ${result.waitP999Ms.toFixed(2)} ms, max ${result.waitMaxMs.toFixed(2)} ms; ` +
          `${client.answers.toLocaleString("en-US")} requests during a dump of ${client.dumpSeconds.toFixed(2)} s: ` +
          `p50 ${client.p50Ms.toFixed(2)} ms, p99.9 ${client.p999Ms.toFixed(2)} ms, max ${client.maxMs.toFixed(2)} ms`,
      );
    }
  } finally {
    store.close();
    rmSync(directory, { recursive: true });
  }
  const median = (of: (result: (typeof results)[number]) => number) =>
    results.map(of).sort((a, b) => a - b)[1] as number;
  const figures = {
    loadPerSecond: median((result) => result.loadPerSecond),
    dumpPerSecond: median((result) => result.dumpPerSecond),
    waitP999Ms: median((result) => result.waitP999Ms),
    clientP999Ms: median((result) => result.clientP999Ms),
  };
  const isHeld =
    figures.loadPerSecond >= FLOORS.loadPerSecond &&
    figures.dumpPerSecond >= FLOORS.dumpPerSecond &&
    figures.waitP999Ms <= FLOORS.waitP999Ms &&
    figures.clientP999Ms <= FLOORS.clientP999Ms;
  const report = {
    records,
    valueBytes: VALUE_BYTES,
    fileBytes,
    figures,
    floors: FLOORS,
    goals: GOALS,
    isHeld,
    results,
  };
  writeFileSync(join(output, "tcm.json"), `${JSON.stringify(report, null, 2)}\n`);
  console.log(
    `medians: ${JSON.stringify(figures)}; floors ${isHeld ? "held" : "NOT held"} (${JSON.stringify(FLOORS)})`,
  );
  return isHeld ? 0 : 1;
}
