/**
 * Transactions that are kept first and committed when a frontend can be reached, in their order, also after the program was
 * started again.
 *
 * Invariant: once `add` has resolved, the transaction is committed exactly once, or dropped because its own code gave it up;
 * `settled` says which, and until then its effects can be seen in optimistic reactive transactions of this client. What was
 * dropped is seen no longer.
 */
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Operation } from "../shard/operations.ts";
import type { ClientLog, QueuedEntry } from "./client-log.ts";
import { deferred, type Deferred } from "./deferred.ts";
import {
  AbortedError,
  ClosedError,
  OutcomeUnknownError,
  RequestError,
  StorageError,
  UnavailableError,
} from "./errors.ts";
import { startExecution } from "./execution.ts";
import type { StoreView } from "./store-view.ts";
import type { Committed, TransactionCode, Transactions } from "./transactions.ts";
import type { Keys, Pending } from "./watch.ts";

export interface QueuedTransaction {
  /** Resolves when it is committed; rejects when it was given up. */
  settled: Promise<Committed<void>>;
}

/** Code of queued transactions: it must be found again under its name when the program starts again. */
export type QueuedCode<Words> = (
  ...words: [...Parameters<TransactionCode<void>>, Words]
) => Promise<void> | void;

export interface QueueOptions {
  log: ClientLog;
  transactions: Transactions;
  view: StoreView;
  clock: Clock;
  uniqueName(): string;
  /** The effects that are seen of queued transactions have changed. */
  onChange(): void;
  /** One was dropped that nobody waits for any more: it was queued by an earlier life of the program. */
  onDropped(error: unknown, code: string): void;
  /** Nothing goes on until the log can be written again. Said once. */
  onStuck(error: StorageError): void;
}

interface Item {
  entry: QueuedEntry;
  operations: ReadonlyMap<string, readonly Operation[]>;
  /** Undefined: not yet. */
  committedAt: number | undefined;
  settle: Deferred<Committed<void>> | undefined;
}

const PAUSE_MS = 250;
/** Of one attempt; then it is tried again. */
const ATTEMPT_MS = 60_000;

export class TransactionQueue implements Pending {
  readonly #options: QueueOptions;
  readonly #code = new Map<string, QueuedCode<unknown>>();
  #items: Item[];
  #isWorking = false;
  #isStuck = false;
  #isClosed = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#items = options.log.entries.map((entry) => ({
      ...{ entry, operations: new Map(), committedAt: undefined, settle: undefined },
    }));
  }

  /** Transactions that are not committed. */
  get length(): number {
    return this.#items.filter(({ committedAt }) => committedAt === undefined).length;
  }

  /** Says what transactions of this name do; those that waited for it go on. */
  define(name: string, code: QueuedCode<unknown>): void {
    if (this.#code.has(name)) throw new TypeError(`"${name}" is defined already`);
    this.#code.set(name, code);
    void this.#previewWaiting(name).then(() => this.#work());
  }

  /** Resolves when the transaction is kept. Rejects with StorageError when it is not. */
  async add(name: string, words: unknown): Promise<QueuedTransaction> {
    if (this.#isClosed) throw new ClosedError();
    // As it will be read from the log, should it come to that.
    const plain: unknown = words === undefined ? null : JSON.parse(JSON.stringify(words));
    const entry = await this.#options.log.queue(name, plain);
    const settle = deferred<Committed<void>>();
    settle.promise.catch(() => undefined); // nobody has to wait for it
    const item: Item = { entry, operations: new Map(), committedAt: undefined, settle };
    this.#items.push(item);
    await this.#preview(item);
    this.#work();
    return { settled: settle.promise };
  }

  /** Nobody looks at an older state any more: what is committed up to here is seen in the store itself. */
  seen(timestamp: number): void {
    this.#items = this.#items.filter(
      ({ committedAt }) => committedAt === undefined || committedAt > timestamp,
    );
  }

  count = (keys: Keys, timestamp: number): number =>
    this.#above(timestamp).filter(({ operations }) => [...operations.keys()].some((key) => keys.has(key)))
      .length;

  operations = (key: string, timestamp: number): readonly Operation[] =>
    this.#above(timestamp).flatMap(({ operations }) => operations.get(key) ?? []);

  /** Those that are kept go on in the next life of the program. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#idle;
  }

  #above(timestamp: number): Item[] {
    return this.#items.filter(({ committedAt }) => committedAt === undefined || committedAt > timestamp);
  }

  async #previewWaiting(name: string): Promise<void> {
    for (const item of this.#items) if (item.entry.code === name) await this.#preview(item);
  }

  /** What it will do, as far as this client can tell. */
  async #preview(item: Item): Promise<void> {
    const { view, uniqueName } = this.#options;
    const code = this.#code.get(item.entry.code);
    if (code === undefined) return;
    const execution = startExecution({
      load: async (keys) => keys.map((key) => view.cache.latest(key)),
      uniqueName,
      pending: (key) =>
        this.#items
          .slice(0, this.#items.indexOf(item))
          .filter(({ committedAt }) => committedAt === undefined)
          .flatMap(({ operations }) => operations.get(key) ?? []),
    });
    const handle = {
      read: execution.read.bind(execution),
      apply: execution.apply.bind(execution),
      uniqueName,
      abort(reason?: string): never {
        throw new AbortedError("byUser", reason ?? "given up");
      },
    };
    try {
      await code(handle, item.entry.arguments);
      item.operations = execution.operations;
    } catch {
      // It may be otherwise when it is run for good.
    } finally {
      execution.close();
    }
    this.#options.onChange();
  }

  #work(): void {
    if (this.#isWorking || this.#isClosed) return;
    this.#isWorking = true;
    this.#idle = this.#workAll();
  }

  async #workAll(): Promise<void> {
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      const { item, code } = next;
      await this.#commit(item, code)
        .then((committed) => this.#committed(item, committed))
        .catch((error: unknown) => this.#failed(item, error))
        // Where the log cannot say how it ended, that is found out again.
        .catch((error: unknown) => this.#later(error));
    }
  }

  async #failed(item: Item, error: unknown): Promise<void> {
    // What is kept waits for the next life of the client.
    if (isEnd(error)) this.#isClosed = true;
    if (this.#isClosed) return;
    if (isPassing(error)) return this.#later(error);
    await this.#dropped(item, error);
  }

  #later(error: unknown): Promise<void> {
    if (error instanceof StorageError && !this.#isStuck) {
      this.#isStuck = true;
      this.#options.onStuck(error);
    }
    return sleep(this.#options.clock, PAUSE_MS);
  }

  /** What is to be committed next; with nothing, what comes later has to start anew. */
  #take(): { item: Item; code: QueuedCode<unknown> } | undefined {
    const item = this.#items.find(({ committedAt }) => committedAt === undefined);
    const code = item === undefined ? undefined : this.#code.get(item.entry.code);
    if (item !== undefined && code !== undefined && !this.#isClosed) return { item, code };
    this.#isWorking = false;
    return undefined;
  }

  async #commit(item: Item, code: QueuedCode<unknown>): Promise<Committed<void>> {
    const { log, transactions } = this.#options;
    const { attempt } = item.entry;
    if (attempt !== undefined) {
      const transaction = { client: log.client, number: attempt.number };
      const outcome = await transactions.resolve(
        new OutcomeUnknownError(transaction, attempt.keys),
        ATTEMPT_MS,
      );
      if (outcome.kind === "committed") return { result: undefined, timestamp: outcome.timestamp };
    }
    return transactions.execute(
      (transaction) => code(transaction, item.entry.arguments),
      { timeoutMs: ATTEMPT_MS, retries: Number.POSITIVE_INFINITY },
      ({ number }, keys) => log.attempt(item.entry, { number, keys }),
    );
  }

  async #committed(item: Item, committed: Committed<void>): Promise<void> {
    await this.#settled(item);
    item.committedAt = committed.timestamp;
    item.settle?.resolve(committed);
    this.#options.onChange();
  }

  async #settled({ entry }: Item): Promise<void> {
    await this.#options.log.settle(entry);
    this.#isStuck = false;
  }

  async #dropped(item: Item, error: unknown): Promise<void> {
    await this.#settled(item);
    this.#items = this.#items.filter((each) => each !== item);
    if (item.settle === undefined) this.#options.onDropped(error, item.entry.code);
    else item.settle.reject(error);
    this.#options.onChange();
  }
}

/** Nothing will work any more: the client is closed, or its token or its protocol is refused. */
function isEnd(error: unknown): boolean {
  if (error instanceof RequestError) return error.code === "denied" || error.code === "protocol";
  return error instanceof ClosedError;
}

function isPassing(error: unknown): boolean {
  if (error instanceof AbortedError) return error.reason !== "byUser";
  return [UnavailableError, OutcomeUnknownError, StorageError].some((passing) => error instanceof passing);
}
