/**
 * Streams' processes for tests and soaks: a run with its verdict, records that flow beside what is done to the workers, a
 * sink that reads slowly, a state log with a flipped bit.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { DemoCluster } from "../../src/streams/demo/cluster.ts";
import { DemoRun, type DemoResult, type DemoSetting, KEYS } from "../../src/streams/demo/run.ts";
import { FrameReceiver } from "../../src/streams/receiver/frame-receiver.ts";
import { senderConfig } from "../../src/streams/sender/config.ts";
import { sendOnce, type SendOnceResult } from "../../src/streams/sender/once.ts";
import { SequenceJudge, type Violation } from "../../src/streams/validate/sequence.ts";
import { parseWindow } from "../../src/streams/validate/window-text.ts";

export const PACE = { batch: 10, intervalMs: 10 };
const CHECKPOINT_MS = 150;
/** Of a run that failed: its last steps, and behind them what each worker says of itself. */
const STEPS_SHOWN = 30;

let nextNetwork = process.pid % 200;
/** Hosts of this process alone: the ports are those of the original's demos. */
const network = () => `127.${60 + (nextNetwork >> 3)}.${1 + (nextNetwork++ % 250)}`;

const noInterruption = () => new AbortController().signal;

export async function play(
  setting: DemoSetting,
  workers: number,
  steps: (run: DemoRun) => Promise<void>,
): Promise<DemoResult> {
  const root = mkdtempSync(join(tmpdir(), "node-x-stream-"));
  const startMs = performance.now();
  const said: string[] = [];
  const say = (text: string) => said.push(`${((performance.now() - startMs) / 1000).toFixed(1)} s: ${text}`);
  try {
    const options = {
      ...{ world: realWorld(), root: join(root, "hosts"), network: network(), pauseMs: 200 },
      ...{ checkpointMs: CHECKPOINT_MS, metricsHub: undefined, say, interrupted: noInterruption() },
    };
    const result = await new DemoRun(options, setting).play(workers, steps);
    if (result.failure === undefined) return result;
    return { ...result, failure: `${result.failure}\n${said.slice(-STEPS_SHOWN).join("\n")}` };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Steps while records flow; resolves when all of them are acknowledged, or, by raw senders, sent. */
export const flow = (until: number, steps: (run: DemoRun) => Promise<void>) => async (run: DemoRun) => {
  const sending = run.sendMeanwhile(until, PACE);
  await run.pause();
  await steps(run);
  await assertSent(sending);
};

export async function assertSent(sending: Promise<SendOnceResult>): Promise<void> {
  const { isDone, settled, sent, seconds, troubles } = await sending;
  if (isDone) return;
  const why = troubles.join("; ") || "nothing is wrong with its connections";
  throw new Error(
    `the sender gave up after ${seconds.toFixed(0)} s: ${sent} records sent, ${settled} settled; ${why}`,
  );
}

/** Flips a bit in the middle of what is written of a state log; returns the file. */
export function damageState(directory: string): string {
  const logs = readdirSync(directory).filter((name) => name.startsWith("log-"));
  const path = join(directory, logs.toSorted().at(-1) as string);
  const bytes = readFileSync(path);
  // The log reserves space: what is written ends before the zeros.
  const middle = bytes.findLastIndex((byte) => byte !== 0) >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 0x10;
  writeFileSync(path, bytes);
  return path;
}

export interface SlowSinkOptions {
  /** Values of each key; more than the buffers between sender and sink and `slowMs` of reading take. */
  until: number;
  bytesPerSecond: number;
  /** How long the sink stays slow once the senders feel it. */
  slowMs: number;
}

export interface SlowSinkResult {
  /** Resident memory of the worker at its largest, beyond what it was when the senders first felt the sink. */
  growthBytes: number;
  throttled: number;
  recordsWhenFreed: number;
  records: number;
  violation: Violation | undefined;
  failure: Error | undefined;
}

const SAMPLE_MS = 100;

/** A21: one worker between senders without pause and a sink that reads slowly, then freely. */
export async function slowSink({ until, bytesPerSecond, slowMs }: SlowSinkOptions): Promise<SlowSinkResult> {
  const world = realWorld();
  const root = mkdtempSync(join(tmpdir(), "node-x-stream-"));
  const host = network();
  let failure: Error | undefined;
  const cluster = new DemoCluster({
    ...{ world, root, network: host, app: "detector", appArguments: [], metricsHub: undefined },
    checkpointMs: CHECKPOINT_MS,
    sources: [`Detector=acked://${host}.1:7000?cookie=cookie`],
    sinks: [`windows=tcp://${host}.1:5555`],
    say: () => {},
    onFailed: (error) => (failure ??= error),
  });
  const keys = Array.from({ length: KEYS }, (_, key) => `key_${key}`);
  const judge = new SequenceJudge({ keys, expected: until, first: 1, isExactlyOnce: true });
  let violation: Violation | undefined;
  const receiver = new FrameReceiver({
    ...{ world, address: cluster.sink, bodyBytesMax: 1 << 16, bytesPerSecondMax: bytesPerSecond },
    onFrame(bytes, start, bodyStart, end) {
      const window = parseWindow(Buffer.from(bytes.subarray(bodyStart, end)).toString());
      violation ??= judge.judge(window, { source: "sink", offset: start });
    },
    onProblem: () => {},
  });
  const rssBytes = async () => (await cluster.status(1))?.rssBytes ?? 0;
  try {
    await receiver.listen();
    await cluster.start(1);
    const config = senderConfig.parse({
      ...{ role: "sender", instance: "t", dataDir: root, to: [`${host}.1:7000`], batch: 1000, intervalMs: 0 },
      counters: { keys: KEYS, until },
    });
    let throttled = 0;
    const sending = sendOnce({
      ...{ world, config, timeoutMs: 30 * slowMs + 60_000, interrupted: noInterruption() },
      onProgress: ({ figures }) => (throttled = figures.throttled),
    });
    await cluster.until("the senders to feel the sink", () => throttled > 0);
    const before = await rssBytes();
    let most = before;
    for (const end = performance.now() + slowMs; performance.now() < end;) {
      await Bun.sleep(SAMPLE_MS);
      most = Math.max(most, await rssBytes());
    }
    const recordsWhenFreed = judge.records;
    receiver.readFreely();
    await assertSent(sending);
    await cluster.until("every window", () => judge.records >= until * KEYS || violation !== undefined);
    violation ??= judge.end();
    return {
      ...{ growthBytes: most - before, throttled, recordsWhenFreed },
      ...{ records: judge.records, violation, failure },
    };
  } finally {
    receiver.close();
    await cluster.stop();
    rmSync(root, { recursive: true, force: true });
  }
}
