/** Several workers that are measured: records that go from one to the other, a worker that comes back, two that join. */
import { until } from "../e2e/executable.ts";
import { BenchWorker, type MarketBlocks, marketRecordsPerSecond } from "./stream-workers.ts";

/** A control port that nobody else is likely to have. */
const anyControlPort = () => 20_000 + (Math.floor(performance.now() * 7) % 10_000);

/** Records per second of both streams at one of two workers; the other one has half of the keys. */
export async function clusterRate(seconds: number, blocks: MarketBlocks): Promise<number> {
  const control = anyControlPort();
  const common = { app: "market-spread", sinks: ["rejects=file:rejects"], checkpointMs: 1000 };
  const first = BenchWorker.start({
    ...{ ...common, size: 2, controlPort: control },
    sources: ["Orders=tcp://127.0.0.1:0", "Nbbo=tcp://127.0.0.1:0"],
  });
  const second = BenchWorker.start({ ...common, name: "worker2", join: `127.0.0.1:${control}` });
  try {
    await second.ready();
    return await marketRecordsPerSecond(first, seconds, blocks);
  } finally {
    await second.stop();
    await first.stop();
  }
}

/** Seconds from the start of a worker that was killed until the three of the cluster run again. */
export async function rollbackSeconds(): Promise<number> {
  const control = anyControlPort();
  const common = { app: "detector", sinks: ["windows=file:windows"], checkpointMs: 200 };
  const first = BenchWorker.start({
    ...{ ...common, size: 3, controlPort: control, sources: ["Detector=generator:?pauseMs=5"] },
    appArguments: ["--generate", "100"],
  });
  const others = [2, 3].map((number) =>
    BenchWorker.start({
      ...{ ...common, name: `worker${number}`, join: `127.0.0.1:${control}` },
      appArguments: ["--generate", "100"],
    }),
  );
  const all = [first, ...others];
  try {
    for (const worker of all) await worker.ready();
    await Bun.sleep(1000);
    const [victim] = others as [BenchWorker];
    await victim.kill();
    const before = (await first.figures()).recordsIn;
    const startMs = performance.now();
    victim.restart();
    await victim.ready();
    while ((await first.figures()).recordsIn <= before) await Bun.sleep(5);
    return (performance.now() - startMs) / 1000;
  } finally {
    for (const worker of all) await worker.stop();
  }
}

/** Keys that come again and again, 64 bytes of state each. */
const endlessKeys = (keys: number) => `
import { app, framed } from "node-x/stream";
export default app("endless-keys", (a) => {
  a.generator<number>("Keys", { first: 0, next: (n) => (n + 1) % ${keys} })
    .keyBy((n) => "key-" + n)
    .state("states", {
      init: () => new Uint8Array(64),
      codec: { encode: (bytes, out) => out.raw(bytes), decode: (frame) => frame.bytes() },
    }, (n: number, bytes: Uint8Array, out: { emit(n: number): void }) => { bytes[n % 64] = n; if (n < 0) out.emit(n); })
    .to(a.sink<number>("none", { framing: framed(), encode: () => {} }));
});
`;

/** The longest time in which the source of a worker with so many keys rests while two workers join. */
export async function growthPauseSeconds(keys: number): Promise<number> {
  const control = anyControlPort();
  const files = { "app.ts": endlessKeys(keys) };
  const common = { app: "app.ts", sinks: ["none=file:none"], checkpointMs: 1000 };
  const first = BenchWorker.start(
    { ...common, controlPort: control, sources: ["Keys=generator:?pauseMs=1"] },
    files,
  );
  const others: BenchWorker[] = [];
  try {
    await first.ready();
    await until("every key", async () => (await first.figures()).keys.states === keys || undefined);
    let [longestMs, recordsIn, movedAtMs] = [0, 0, performance.now()];
    for (const number of [2, 3]) {
      const name = `worker${number}`;
      others.push(BenchWorker.start({ ...common, name, join: `127.0.0.1:${control}`, joining: 2 }, files));
    }
    // Until two thirds of the keys are elsewhere, and records flow again.
    for (let left = keys; left > keys / 2 || performance.now() - movedAtMs > 100;) {
      const figures = await first.figures();
      left = figures.keys.states ?? keys;
      if (figures.recordsIn !== recordsIn) {
        longestMs = Math.max(longestMs, performance.now() - movedAtMs);
        [recordsIn, movedAtMs] = [figures.recordsIn, performance.now()];
      }
      await Bun.sleep(2);
    }
    return longestMs / 1000;
  } finally {
    for (const worker of [...others, first]) await worker.stop();
  }
}
