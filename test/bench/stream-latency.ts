/**
 * The way of a record at a fixed rate, through a keyed state and with checkpoints, and where on it the time goes.
 *
 * Each record carries when it was due and when it was handed to the kernel: the time in the sender is told apart from the
 * way through kernel, worker and kernel. The rate is an open loop: a record that leaves late counts from when it was due.
 * The sender looks at the clock in each turn of its event loop, because timers are only good for a millisecond.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { ByteWriter } from "../../src/streams/wire/bytes.ts";
import { FrameReader } from "../../src/streams/wire/frame.ts";
import { BenchWorker } from "./stream-workers.ts";

/** Percentiles in milliseconds. */
export interface Part {
  p50: number;
  p99: number;
  p999: number;
}

export interface Latency {
  records: number;
  /** From when a record was due until it was back. */
  total: Part;
  /** Until the kernel had it. */
  sender: Part;
  /** From there until it was back. */
  way: Part;
  /** From the reading of a run of records until its output was written: upper limits of bins of powers of two. */
  worker: Part;
}

/** Records leave in runs of this much time. */
const RUN_MS = 0.2;
const BODY_BYTES = 54;
const FRAME_BYTES = 4 + BODY_BYTES;
const DUE_AT = 5;
const SENT_AT = 13;
const KEYS = 251;
const RUN_RECORDS_MAX = 4096;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function partOf(histogram: RecordableHistogram): Part {
  const [p50 = 0, p99 = 0, p999 = 0] = [50, 99, 99.9].map((p) => histogram.percentile(p) / 1000);
  return { p50, p99, p999 };
}

/** Takes what comes back. */
class Receiver {
  readonly total = createHistogram();
  readonly sender = createHistogram();
  readonly way = createHistogram();
  readonly #frames = new FrameReader();
  readonly listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, chunk) => this.#take(chunk) },
  });

  #take(chunk: Uint8Array): void {
    const nowMs = performance.now();
    let view: DataView | undefined;
    let viewed: Uint8Array | undefined;
    this.#frames.feed(chunk, (bytes, start) => {
      if (view === undefined || viewed !== bytes)
        view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      viewed = bytes;
      const [dueMs, sentMs] = [view.getFloat64(start + DUE_AT - 4), view.getFloat64(start + SENT_AT - 4)];
      this.total.record(microseconds(nowMs - dueMs));
      this.sender.record(microseconds(sentMs - dueMs));
      this.way.record(microseconds(nowMs - sentMs));
    });
  }
}

const microseconds = (ms: number) => Math.max(1, Math.round(ms * 1000));

/** Frames of equal length whose times are written before they leave. */
function preparedRun(): { bytes: Uint8Array; view: DataView } {
  const out = new ByteWriter(RUN_RECORDS_MAX * FRAME_BYTES);
  const body = new Uint8Array(BODY_BYTES);
  for (let record = 0; record < RUN_RECORDS_MAX; record++) {
    body[0] = record % KEYS;
    out.bytes(body);
  }
  const bytes = out.done();
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** Sends at the rate for some seconds; returns how many records. */
async function send(port: number, seconds: number, rate: number): Promise<number> {
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  const { bytes, view } = preparedRun();
  const beginMs = performance.now();
  const least = Math.max(1, Math.floor((rate * RUN_MS) / 1000));
  let sent = 0;
  for (;;) {
    const nowMs = performance.now();
    if (nowMs - beginMs > seconds * 1000) break;
    const due = Math.floor(((nowMs - beginMs) * rate) / 1000);
    const count = Math.min(due - sent, RUN_RECORDS_MAX);
    if (count >= least) {
      for (let record = 0; record < count; record++) {
        view.setFloat64(record * FRAME_BYTES + DUE_AT, beginMs + ((sent + record) * 1000) / rate);
        view.setFloat64(record * FRAME_BYTES + SENT_AT, nowMs);
      }
      sent += count;
      let rest = bytes.subarray(0, count * FRAME_BYTES);
      for (;;) {
        rest = rest.subarray(Math.max(0, socket.write(rest)));
        if (rest.byteLength === 0) break;
        await turn();
      }
    }
    await turn();
  }
  // The last runs are still on their way.
  await Bun.sleep(300);
  socket.terminate();
  return sent;
}

export async function measureLatency(seconds: number, rate: number): Promise<Latency> {
  const receiver = new Receiver();
  const worker = BenchWorker.start({
    app: "passthrough",
    appArguments: ["--key-by", "first-byte"],
    sources: ["In=tcp://127.0.0.1:0"],
    sinks: [`Out=tcp://127.0.0.1:${receiver.listener.port}`],
  });
  try {
    const port = await worker.port("source.In");
    await send(port, Math.min(seconds, 1), rate / 10);
    for (const histogram of [receiver.total, receiver.sender, receiver.way]) histogram.reset();
    await send(port, seconds, rate);
    const { latencyNs } = await worker.figures();
    const inWorker = (name: string) => (latencyNs[name] ?? Number.NaN) / 1e6;
    return {
      records: receiver.total.count,
      total: partOf(receiver.total),
      sender: partOf(receiver.sender),
      way: partOf(receiver.way),
      worker: { p50: inWorker("p50"), p99: inWorker("p99"), p999: inWorker("p99.9") },
    };
  } finally {
    receiver.listener.stop(true);
    await worker.stop();
  }
}

/** `way 0.12/0.5/1.1 ms`: p50, p99, p99.9. */
export function partText(name: string, { p50, p99, p999 }: Part): string {
  return `${name} ${[p50, p99, p999].map((ms) => ms.toFixed(2)).join("/")} ms`;
}
