/**
 * Two figures that redis-benchmark cannot give: the memory of ten million records, and latencies while the log is
 * compacted. The load comes from node-x' own generator.
 */
import { realClock } from "../../src/core/seams/clock.ts";
import { LatencyHistogram, type LatencySummary } from "../../src/core/load/histogram.ts";
import { realNet } from "../../src/core/seams/net-real.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { RespLoad, type LoadOptions } from "../../src/channels/dht/load/run.ts";
import { compactionGoal, memoryGoal } from "./goals.ts";
import { KEY_PREFIX } from "./redis-benchmark.ts";
import type { BenchServer } from "./servers.ts";
import { judge, type Verdict } from "./verdict.ts";

async function connect(server: BenchServer, options: Partial<LoadOptions>): Promise<RespLoad> {
  return await RespLoad.connect(
    { net: realNet, clock: realClock, random: seededRandom(1) },
    { host: "127.0.0.1", port: server.port },
    {
      connections: 8,
      pipeline: 128,
      keyPrefix: KEY_PREFIX,
      keys: 1,
      valueBytes: 64,
      isVerifying: false,
      replyTimeoutMs: 60_000,
      ...options,
    },
  );
}

/** Writes keys 0 … `keys` - 1, each once. Throws when one was not acknowledged. */
export async function preload(server: BenchServer, keys: number, valueBytes: number): Promise<void> {
  const load = await connect(server, { valueBytes });
  try {
    const recorder = await load.run({ readShare: 0, isSequential: true, requests: keys });
    if (recorder.replies !== keys || recorder.errors.size > 0) {
      const reasons = [...recorder.errors.keys()].join("; ");
      throw new Error(`${server.name} acknowledged ${recorder.replies} of ${keys} records: ${reasons}`);
    }
  } finally {
    load.close();
  }
}

export interface MemoryResult {
  server: string;
  records: number;
  rssBytes: number;
  /** Memory beyond the empty server's, for one record of 80 B. */
  bytesPerRecord: number;
}

export async function measureMemory(server: BenchServer, records: number): Promise<MemoryResult> {
  const emptyBytes = server.rssBytes();
  await preload(server, records, 64);
  const size = Bun.spawnSync([
    "redis-cli",
    "-h",
    "127.0.0.1",
    "-p",
    `${server.port}`,
    "DBSIZE",
  ]).stdout.toString();
  if (Number(size.trim()) !== records)
    throw new Error(`${server.name} holds ${size.trim()} of ${records} records`);
  const rssBytes = server.rssBytes();
  return { server: server.name, records, rssBytes, bytesPerRecord: (rssBytes - emptyBytes) / records };
}

export function memoryVerdict(result: MemoryResult): Verdict {
  return judge(memoryGoal, result.rssBytes / 1e9);
}

/** How a server is made to compact again and again. */
export interface Compaction {
  /** Called every 20 ms while no compaction runs. */
  provoke(ask: RespLoad["ask"]): Promise<unknown>;
}

/** Both servers rewrite their log when asked; an error says that one is about to run already, which is as good. */
export const rewriting: Compaction = {
  provoke: (ask) => ask(["BGREWRITEAOF"]).catch(() => undefined),
};

export interface CompactionResult {
  server: string;
  records: number;
  ratePerSecond: number;
  seconds: number;
  /** Compactions that ended within the measurement. */
  compactions: number;
  requests: number;
  whole: LatencySummary;
  /** Replies that arrived while a compaction ran. */
  compacting: LatencySummary;
}

const LOOK_PERIOD_MS = 20;

/** SET at a fixed rate (open loop) while the server compacts again and again. */
export async function measureCompaction(
  server: BenchServer,
  compaction: Compaction,
  options: { records: number; ratePerSecond: number; seconds: number },
): Promise<CompactionResult> {
  await preload(server, options.records, 64);
  const asking = await connect(server, { connections: 1, pipeline: 1 });
  const load = await connect(server, { connections: 50, pipeline: 16, keys: options.records });
  const watch = new CompactionWatch((words) => asking.ask(words), compaction);
  try {
    await watch.start();
    const recorder = await load.run({
      readShare: 0,
      seconds: options.seconds,
      ratePerSecond: options.ratePerSecond,
      // Two cores: a generator that spins for its next request takes from the server what it is to measure.
      isCoarse: true,
      onReply: (latencyMs) => watch.record(latencyMs),
    });
    await watch.stop();
    if (recorder.errors.size > 0 || recorder.replies !== recorder.requests)
      throw new Error(`${server.name}: ${[...recorder.errors.keys()].join("; ") || "replies are missing"}`);
    return {
      server: server.name,
      ...options,
      compactions: watch.compactions,
      requests: recorder.requests,
      whole: recorder.latency().summary(),
      compacting: watch.histogram.summary(),
    };
  } finally {
    await watch.stop();
    load.close();
    asking.close();
  }
}

/**
 * Sorts latencies into those of a compaction and others, by asking the server every 20 ms whether one runs.
 *
 * The latencies between two answers count when either answer says that one runs, or when one ended in between. So a
 * compaction that blocks the server, this question included, cannot hide what it did.
 */
export class CompactionWatch {
  readonly histogram = new LatencyHistogram();
  readonly #ask: RespLoad["ask"];
  readonly #compaction: Compaction;
  #sinceLook: number[] = [];
  #isRunning = false;
  #firstCount = 0;
  #lastCount = 0;
  #isStopped = false;
  #looking: Promise<void> = Promise.resolve();

  constructor(ask: RespLoad["ask"], compaction: Compaction) {
    this.#ask = ask;
    this.#compaction = compaction;
  }

  get compactions(): number {
    return this.#lastCount - this.#firstCount;
  }

  record(latencyMs: number): void {
    this.#sinceLook.push(latencyMs);
  }

  async start(): Promise<void> {
    await this.look();
    this.#firstCount = this.#lastCount;
    this.#looking = this.#lookUntilStopped();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking;
  }

  async #lookUntilStopped(): Promise<void> {
    while (!this.#isStopped) {
      if (!this.#isRunning) await this.#compaction.provoke(this.#ask);
      await Bun.sleep(LOOK_PERIOD_MS);
      await this.look();
    }
  }

  /** Asks once, and decides about the latencies since the last time. */
  async look(): Promise<void> {
    const info = await this.#ask(["INFO", "persistence"]);
    const isRunning = /^aof_rewrite_in_progress:1\r?$/m.test(info);
    const count = Number(/^(?:compactions|aof_rewrites):(\d+)\r?$/m.exec(info)?.[1] ?? 0);
    if (isRunning || this.#isRunning || count !== this.#lastCount)
      for (const latencyMs of this.#sinceLook) this.histogram.record(latencyMs);
    this.#sinceLook = [];
    this.#isRunning = isRunning;
    this.#lastCount = count;
  }
}

/** Without a compaction nothing was measured, and nothing is held. */
export function compactionVerdict(result: CompactionResult): Verdict {
  const isMeasured = result.compactions > 0 && result.compacting.count > 0;
  return judge(compactionGoal, isMeasured ? result.compacting.p999Ms : Number.NaN);
}
