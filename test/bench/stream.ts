/**
 * `bun run bench stream`: workers of the compiled executable. Market-spread as fast as two raw connections can send, with
 * and without checkpoints, beside what the original has published; the way of a record at a fixed rate; restarts.
 *
 * The original's figures are those of its authors on other machines: a scale, not a comparison. Exit code 1 when a floor is
 * not held.
 */
import { z } from "zod";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { ByteWriter } from "../../src/streams/wire/bytes.ts";
import { writeOrder, writeQuote } from "../../src/streams/wire/market-spread.ts";
import { median } from "./compare.ts";
import { benchCommand, type Report } from "./command.ts";
import { clusterRate, growthPauseSeconds, rollbackSeconds } from "./stream-cluster.ts";
import { measureLatency, partText } from "./stream-latency.ts";
import { BenchWorker, marketRecordsPerSecond } from "./stream-workers.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds with and without checkpoints", "3"),
  seconds: defaultFlag(numberFlag(0.5, 600), "S", "Length of one measurement", "5"),
  rate: defaultFlag(integerFlag(1000, 2_000_000), "N", "Records per second for the latency", "200000"),
  keys: defaultFlag(integerFlag(1000, 10_000_000), "N", "Keys of the worker that is restarted", "1000000"),
});

const SYMBOLS = 350;
const BLOCK_RECORDS = 20_000;
const NO_CHECKPOINTS_MS = 86_400_000;

const rateLimit: Limit = { name: "records per second", better: "higher", floor: 300_000, goal: 1_000_000 };
const keptLimit: Limit = { name: "share with checkpoints", better: "higher", floor: 0.8 };
const linkedLimit: Limit = { name: "records per second", better: "higher", floor: 150_000, goal: 500_000 };
const pauseLimit: Limit = { name: "seconds at rest", better: "lower", floor: 1 };
const medianLimit: Limit = { name: "p50 in ms", better: "lower", floor: 0.5 };
const tailLimit: Limit = { name: "p99 in ms", better: "lower", floor: 5, goal: 2 };
const restartLimit: Limit = { name: "seconds to ready", better: "lower", floor: 3 };
const rollbackLimit: Limit = { name: "seconds to flowing", better: "lower", floor: 1.5 };
const idleLimit: Limit = { name: "MiB", better: "lower", floor: 80 };

function block(write: (out: ByteWriter, symbol: string) => void): Uint8Array {
  const random = seededRandom(7);
  const out = new ByteWriter(1 << 20);
  for (let record = 0; record < BLOCK_RECORDS; record++) {
    const symbol = `S${random.integer(SYMBOLS)}`;
    out.frame(() => write(out, symbol));
  }
  return Uint8Array.from(out.done());
}

const time = "20261125-12:00:00.000";
const quotes = () => block((out, symbol) => writeQuote(out, { symbol, time, bid: 20, offer: 20.02 }));
const orders = () =>
  block((out, symbol) =>
    writeOrder(out, { side: 1, account: 7, orderId: "ord001", symbol, quantity: 100, price: 20, time }),
  );

/** Records per second that one worker takes of both streams. */
async function marketRate(seconds: number, checkpointMs: number): Promise<number> {
  const worker = BenchWorker.start({
    app: "market-spread",
    sources: ["Orders=tcp://127.0.0.1:0", "Nbbo=tcp://127.0.0.1:0"],
    sinks: ["rejects=file:rejects"],
    checkpointMs,
  });
  try {
    return await marketRecordsPerSecond(worker, seconds, { quotes: quotes(), orders: orders() });
  } finally {
    await worker.stop();
  }
}

/** As many keys as it is told, 64 bytes of state each. */
const manyKeys = (keys: number) => `
import { app, framed } from "node-x/stream";
export default app("many-keys", (a) => {
  a.generator<number>("Keys", { first: 0, next: (n) => (n + 1 < ${keys} ? n + 1 : undefined) })
    .keyBy((n) => "key-" + n)
    .state("states", {
      init: () => new Uint8Array(64),
      codec: { encode: (bytes, out) => out.raw(bytes), decode: (frame) => frame.bytes() },
    }, (n: number, bytes: Uint8Array, out: { emit(n: number): void }) => { bytes[n % 64] = n; if (n < 0) out.emit(n); })
    .to(a.sink<number>("none", { framing: framed(), encode: () => {} }));
});
`;

async function restartSeconds(keys: number): Promise<number> {
  const worker = BenchWorker.start(
    { app: "app.ts", sources: ["Keys=generator:"], sinks: ["none=file:none"], checkpointMs: 200 },
    { "app.ts": manyKeys(keys) },
  );
  try {
    await worker.ready();
    for (;;) {
      const { keys: found, checkpoint } = await worker.figures();
      if (found.states === keys) {
        while ((await worker.figures()).checkpoint < checkpoint + 2) await Bun.sleep(20);
        break;
      }
      await Bun.sleep(50);
    }
    await worker.kill();
    const startMs = performance.now();
    worker.restart();
    await worker.ready();
    const seconds = (performance.now() - startMs) / 1000;
    if ((await worker.figures()).keys.states !== keys) return Number.NaN;
    return seconds;
  } finally {
    await worker.stop();
  }
}

async function idleMebibytes(): Promise<number> {
  const worker = BenchWorker.start({
    app: "word-count",
    sources: ["Lines=tcp://127.0.0.1:0"],
    sinks: ["counts=file:counts"],
  });
  try {
    await worker.ready();
    await Bun.sleep(1000);
    return worker.rssMebibytes();
  } finally {
    await worker.stop();
  }
}

async function run({ rounds, seconds, rate, keys }: z.output<typeof flags>, report: Report): Promise<void> {
  console.log(
    "The original's authors: 240 k/s single-threaded, 86 k/s in Python, 3.0 M/s with 16 threads on 16 cores",
  );
  const rates = { without: [] as number[], withThem: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    rates.without.push(await marketRate(seconds, NO_CHECKPOINTS_MS));
    rates.withThem.push(await marketRate(seconds, 1000));
  }
  const without = median(rates.without);
  report(rateLimit, "market-spread, no checkpoints", without, `${Math.round(without / 1000)} k records/s`);
  const withThem = median(rates.withThem);
  report(
    keptLimit,
    "market-spread, checkpoints each second",
    withThem / without,
    `${Math.round(withThem / 1000)} k records/s`,
  );
  const linked = await clusterRate(seconds, { quotes: quotes(), orders: orders() });
  report(linkedLimit, "market-spread on two workers", linked, "half of the keys on the other one");
  const { records, total, sender, way, worker } = await measureLatency(seconds, rate);
  const line = `passthrough by key at ${rate}/s`;
  report(medianLimit, line, total.p50, `${records} records, ${partText("p50/p99/p99.9", total)}`);
  report(
    tailLimit,
    line,
    total.p99,
    `of it ${partText("in the sender", sender)}, ${partText("behind it", way)}`,
  );
  console.log(
    `${" ".repeat(4)}${partText("within the worker up to", worker)}: from reading a run to writing its output`,
  );
  report(restartLimit, `restart with ${keys} keys of 64 B`, await restartSeconds(keys), "kill -9 to ready");
  report(
    rollbackLimit,
    "rollback of 3 workers",
    await rollbackSeconds(),
    "start of the killed one to records",
  );
  report(
    pauseLimit,
    "one worker with 100,000 keys becomes three",
    await growthPauseSeconds(100_000),
    "longest time without a record",
  );
  report(idleLimit, "idle worker", await idleMebibytes(), "resident");
}

export const benchStream = benchCommand({
  name: "stream",
  summary: "bun run bench stream: workers at their limit, at a fixed rate, and coming back.",
  flags,
  run,
});
