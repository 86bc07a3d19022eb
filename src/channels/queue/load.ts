/**
 * A load run against a system of queue nodes through the client library: pushes and pops, as the pacing allows.
 *
 * A record is a number of its own and bytes that the seed decides for it, so whatever is popped can be judged. Invariant:
 * each call of the client ends, with its answer or an error, so requests = replies + lost when a run ends.
 */
import { type Clock, sleep } from "../../core/seams/clock.ts";
import { Budget, closedLoop, openLoop } from "../../core/load/pacing.ts";
import { Recorder } from "../../core/load/recorder.ts";
import type { Random } from "../../core/seams/random.ts";
import type { QueueClient } from "../client.ts";

export const operationNames = ["push", "pop"] as const;
const PUSH = 0;
const POP = 1;

export interface QueueLoadOptions {
  channel: string;
  valueBytes: number;
  /** Calls under way at once. */
  concurrency: number;
  /** `mixed`: pushes and pops in turn. */
  operations: "push" | "pop" | "mixed";
  requests?: number | undefined;
  seconds?: number | undefined;
  /** Calls per second; without it the next one goes out when one has its answer. */
  ratePerSecond?: number | undefined;
  signal?: AbortSignal;
  onStart?(recorder: Recorder): void;
}

/** Behind the number comes a part of one pool: which one, the number says. */
const NUMBER_DIGITS = 12;
export const RECORD_BYTES_MIN = NUMBER_DIGITS;
const POOL_SHIFT = 4096;

class Records {
  readonly #bytes: number;
  readonly #pool: Buffer;

  constructor(bytes: number, random: Random) {
    this.#bytes = bytes - NUMBER_DIGITS;
    this.#pool = Buffer.from(random.bytes(this.#bytes + POOL_SHIFT));
  }

  of(number: number): Buffer {
    return Buffer.concat([Buffer.from(String(number).padStart(NUMBER_DIGITS, "0")), this.#rest(number)]);
  }

  isOne(record: Buffer): boolean {
    const digits = record.toString("latin1", 0, NUMBER_DIGITS);
    return /^\d{12}$/.test(digits) && this.#rest(Number(digits)).equals(record.subarray(NUMBER_DIGITS));
  }

  #rest(number: number): Buffer {
    const from = number % POOL_SHIFT;
    return this.#pool.subarray(from, from + this.#bytes);
  }
}

/** Runs until requests or time are spent. Never throws: what went wrong is in the recorder. */
export async function runQueueLoad(
  client: Pick<QueueClient, "push" | "pop">,
  { clock, random }: { clock: Clock; random: Random },
  options: QueueLoadOptions,
): Promise<Recorder> {
  const { channel, concurrency, operations, valueBytes, ratePerSecond, signal } = options;
  const { requests = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY } = options;
  const records = new Records(valueBytes, random);
  const startMs = clock.monotonicMs();
  const recorder = new Recorder(operationNames, startMs);
  const budget = new Budget(requests, startMs + seconds * 1000);
  const pacing = ratePerSecond === undefined ? closedLoop : openLoop(ratePerSecond, startMs);
  let nextNumber = 0;
  let turn = 0;

  const call = async (operation: number): Promise<void> => {
    if (operation === PUSH) {
      await client.push(channel, records.of(nextNumber++));
      recorder.bytesSent += valueBytes;
      return;
    }
    const record = await client.pop(channel);
    if (record === undefined) {
      recorder.misses += 1;
      return;
    }
    recorder.bytesReceived += record.byteLength;
    recorder.verified += 1;
    if (!records.isOne(record)) recorder.mismatches += 1;
  };
  const callOnce = async (operation: number, dueMs: number): Promise<void> => {
    recorder.requests += 1;
    try {
      await call(operation);
      const nowMs = clock.monotonicMs();
      recorder.reply(operation, nowMs - dueMs);
      recorder.timeline.count(1, nowMs);
    } catch (error) {
      recorder.lost += 1;
      recorder.error((error as Error).message);
    }
  };
  const worker = async (): Promise<void> => {
    for (;;) {
      const nowMs = clock.monotonicMs();
      if (signal?.aborted === true || budget.isSpent(nowMs)) return;
      if (pacing.allowance(nowMs) < 1) {
        await sleep(clock, Math.max(1, pacing.waitMs(nowMs)));
        continue;
      }
      if (budget.take(1, nowMs) === 0) return;
      const isPop = operations === "pop" || (operations === "mixed" && turn++ % 2 === 1);
      await callOnce(isPop ? POP : PUSH, pacing.take(nowMs));
    }
  };
  options.onStart?.(recorder);
  await Promise.all(Array.from({ length: concurrency }, worker));
  return recorder;
}
