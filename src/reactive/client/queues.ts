/**
 * The queues of a client: its own, and those that its like left behind, such as tabs that were closed before their transactions could
 * be committed.
 *
 * Invariant: a log has one owner at a time (`LogStorage`). One that was left is taken over only where the code of what waits first
 * in it is defined, so that it does not wait here while another client could go on with it; it is let go when nothing waits in it.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import { ClientLog, firstCodeOf } from "./client-log.ts";
import type { LogStorage } from "./storage.ts";
import type { Operation } from "../shard/operations.ts";
import type { QueuedCode, QueuedTransaction, TransactionQueue } from "./queue.ts";
import type { Keys, Pending } from "./watch.ts";

export interface QueuesOptions {
  log: ClientLog;
  storage: LogStorage | undefined;
  clock: Clock;
  random: Random;
  /** `onChange`: something of it is queued, committed or dropped. */
  queueOf(log: ClientLog, onChange: () => void): TransactionQueue;
  /** The effects that are seen of queued transactions have changed. */
  onChange(): void;
  report(error: unknown): void;
}

/** How often it is looked for logs that were left; the second look finds them. */
const LOOK_MS = 2000;

interface Taken {
  log: ClientLog;
  queue: TransactionQueue;
  isOver: boolean;
}

export class Queues implements Pending {
  readonly #options: QueuesOptions;
  readonly #own: TransactionQueue;
  readonly #taken: Taken[] = [];
  readonly #code = new Map<string, QueuedCode<unknown>>();
  readonly #timer: Timer | undefined;
  #isLooking = false;
  #isClosed = false;

  constructor(options: QueuesOptions) {
    const { log, storage, clock, queueOf, onChange } = options;
    this.#options = options;
    this.#own = queueOf(log, onChange);
    if (storage?.takeLeft !== undefined) this.#timer = clock.every(LOOK_MS, () => void this.#look());
  }

  /** Transactions that are not committed. */
  get length(): number {
    return this.#all.reduce((sum, { length }) => sum + length, 0);
  }

  /** What was left is older than what is new here. */
  get #all(): TransactionQueue[] {
    return [...this.#taken.map(({ queue }) => queue), this.#own];
  }

  define(name: string, code: QueuedCode<unknown>): void {
    for (const queue of this.#all) queue.define(name, code);
    this.#code.set(name, code);
  }

  add(name: string, words: unknown): Promise<QueuedTransaction> {
    return this.#own.add(name, words);
  }

  seen(timestamp: number): void {
    for (const queue of this.#all) queue.seen(timestamp);
  }

  count = (keys: Keys, timestamp: number): number =>
    this.#all.reduce((sum, queue) => sum + queue.count(keys, timestamp), 0);

  operations = (key: string, timestamp: number): readonly Operation[] =>
    this.#all.flatMap((queue) => queue.operations(key, timestamp));

  async #look(): Promise<void> {
    if (this.#isLooking || this.#isClosed) return;
    this.#isLooking = true;
    try {
      const left = await this.#options.storage?.takeLeft?.((lines) => this.#canGoOnWith(lines));
      if (left !== undefined) await this.#take(left);
    } catch (error) {
      this.#options.report(error);
    } finally {
      this.#isLooking = false;
    }
  }

  #canGoOnWith(lines: readonly string[]): boolean {
    try {
      const code = firstCodeOf(lines);
      return code !== undefined && this.#code.has(code);
    } catch {
      // It is damaged: whoever opens it as his own is told.
      return false;
    }
  }

  async #take(storage: LogStorage): Promise<void> {
    const { random, queueOf, onChange } = this.#options;
    const log = await ClientLog.open(storage, random);
    // Somebody else may have gone on with it since it was looked at.
    if (this.#isClosed || log.entries.length === 0) return log.close();
    const queue = queueOf(log, () => {
      onChange();
      if (queue.length > 0 || taken.isOver) return;
      taken.isOver = true;
      void log.close();
    });
    const taken: Taken = { log, queue, isOver: false };
    this.#taken.push(taken);
    for (const [name, code] of this.#code) queue.define(name, code);
  }

  /** Those that are kept go on in the next life of the program, or with somebody else. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await Promise.all(this.#all.map((queue) => queue.close()));
    for (const { log, isOver } of this.#taken) if (!isOver) await log.close();
    await this.#options.log.close();
  }
}
