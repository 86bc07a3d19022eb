/**
 * Output that goes to another role's store when its checkpoint is committed.
 *
 * Until then records wait here and in the checkpoint. A checkpoint counts as released only after its delivery, and the next
 * one is not safe before that: so whatever dies, a committed checkpoint's output is delivered, at least once, in order.
 * Exactly once where the target can tell that it has a checkpoint already (store-target.ts, nats-target.ts) or where doing it again changes
 * nothing (channel-targets.ts).
 *
 * Invariant: deliveries come one behind the other; the records of a checkpoint that was not committed are never delivered.
 */
import { sleep, type Clock } from "../../core/seams/clock.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Framing } from "../api/contract.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { splitterOf } from "../runtime/splitter.ts";
import type { Sink, SinkEvents } from "../sinks/sink.ts";
import { copyOf } from "../wire/bytes.ts";
import type { Target } from "./target.ts";

export interface DeliveringSinkOptions {
  kind: string;
  clock: Clock;
  log: Log;
  framing: Framing;
  target: Target;
}

const HIGH_BYTES = 16 << 20;
const RETRY_MS = 500;
const LINE_FEED = 10;

export class DeliveringSink implements Sink {
  readonly name: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #options: DeliveringSinkOptions;
  readonly #events: SinkEvents;
  /** Since the last barrier. */
  #held: Uint8Array[] = [];
  #prepared: Uint8Array[] = [];
  #waitingBytes = 0;
  #isCongested = false;
  #isClosed = false;
  #delivered = 0;
  #records = 0;
  #trouble = "";
  #delivery: Promise<void> = Promise.resolve();

  constructor(name: string, events: SinkEvents, options: DeliveringSinkOptions) {
    this.name = name;
    this.#events = events;
    this.#options = options;
  }

  async open(): Promise<void> {}

  get isCongested(): boolean {
    return this.#isCongested;
  }

  flush(): void {
    if (this.writer.length === 0) return;
    this.#held.push(copyOf(this.writer.done()));
    this.#waitingBytes += this.writer.length;
    this.writer.clear();
    this.#judge();
  }

  #judge(): void {
    const isCongested = this.#waitingBytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  prepare() {
    this.flush();
    this.#prepared = this.#held;
    this.#held = [];
    const safe = this.#delivery.then(() => true);
    return { position: this.#options.target.position?.() ?? 0, outputs: this.#prepared, safe };
  }

  commit(checkpoint: number): Promise<void> {
    return this.#deliver(checkpoint, this.#prepared.splice(0));
  }

  async rollBack(checkpoint: number, position: unknown, outputs: readonly Uint8Array[]): Promise<void> {
    this.writer.clear();
    this.#held = [];
    this.#prepared = [];
    // What is being delivered is committed, and goes on.
    await this.#delivery;
    this.#options.target.resume?.(position);
    if (outputs.length > 0) await this.#deliver(checkpoint, outputs);
    this.#waitingBytes = 0;
    this.#judge();
  }

  #deliver(checkpoint: number, runs: readonly Uint8Array[]): Promise<void> {
    if (runs.length === 0 || checkpoint <= this.#delivered) return this.#delivery;
    const records = recordsOf(runs, this.#options.framing);
    const bytes = runs.reduce((sum, run) => sum + run.byteLength, 0);
    this.#delivery = this.#delivery.then(async () => {
      await this.#insist(checkpoint, records);
      this.#delivered = checkpoint;
      this.#records += records.length;
      this.#waitingBytes = Math.max(0, this.#waitingBytes - bytes);
      this.#judge();
    });
    return this.#delivery;
  }

  /** Tries until it is done, or the worker ends. */
  async #insist(checkpoint: number, records: readonly Uint8Array[]): Promise<void> {
    const { target, clock, log, kind } = this.#options;
    while (!this.#isClosed) {
      try {
        await target.deliver(checkpoint, records);
        this.#trouble = "";
        return;
      } catch (error) {
        const { message } = error as Error;
        if (message !== this.#trouble) log.warn(`output for ${this.name} (${kind}) waits: ${message}`);
        this.#trouble = message;
        await sleep(clock, RETRY_MS);
      }
    }
    // Nobody may note it as released.
    await new Promise<never>(() => undefined);
  }

  stats() {
    return {
      kind: this.#options.kind,
      records: this.#records,
      deliveredCheckpoint: this.#delivered,
      waitingBytes: this.#waitingBytes,
      trouble: this.#trouble,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#options.target.close();
  }
}

/** The records in runs of whole ones, without their framing. */
export function recordsOf(runs: readonly Uint8Array[], framing: Framing): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (const run of runs) {
    if (framing.kind === "lines") {
      for (let start = 0; start < run.byteLength;) {
        const found = run.indexOf(LINE_FEED, start);
        const end = found < 0 ? run.byteLength : found;
        records.push(run.subarray(start, end));
        start = end + 1;
      }
    } else {
      splitterOf({ ...framing, recordBytesMax: run.byteLength }).feed(run, (bytes, start, end) => {
        records.push(bytes.subarray(start, end));
      });
    }
  }
  return records;
}
