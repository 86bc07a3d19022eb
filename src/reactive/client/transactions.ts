/**
 * Transactions of the application: its code is run against one snapshot, what it did is committed, and where the commit is
 * refused the code is run again.
 *
 * Invariant: the code's effects on the store happen once or not at all. Each run is committed under a name of its own, which is
 * sent again, unchanged, until its outcome is known; only after a definite refusal is the code run again, under a new name.
 */
import type { Settlement } from "../client-wire/messages.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";
import { applyOperation } from "../shard/apply.ts";
import { canonicalValue } from "../shard/operations.ts";
import { Level, type TransactionId } from "../shard/transaction.ts";
import { type Backoff, backoffMs } from "./backoff.ts";
import type { Answer, Request } from "./connection.ts";
import { AbortedError, OutcomeUnknownError, RequestError, UnavailableError } from "./errors.ts";
import { type Execution, startExecution } from "./execution.ts";
import { type Moment, Snapshot } from "./snapshot.ts";
import type { Ask, StoreView } from "./store-view.ts";
import type { SnapshotReader, Writer } from "./transaction-handle.ts";
import { Turn } from "./turn.ts";
import { toUtf8 } from "./types/encodings.ts";

export type Isolation = "strict" | "snapshot" | "readCommitted";

export interface ExecuteOptions {
  /** Absent: what the tables of its keys say, else strict. */
  isolation?: Isolation;
  /** How often its code may be run again after a refusal. */
  retries?: number;
  /** For everything together. */
  timeoutMs?: number;
  /** Gives up before the next run of the code. */
  signal?: AbortSignal;
}

export interface Committed<T> {
  result: T;
  /** Its place in the order of all transactions; 0 when it has none: it did nothing, or only read, read committed. */
  timestamp: number;
}

/** What a transaction's code is given. */
export interface TransactionHandle extends Writer {
  /** Ends the transaction without any effect: `execute` rejects with AbortedError. */
  abort(reason?: string): never;
}

export type TransactionCode<T> = (transaction: TransactionHandle) => Promise<T> | T;
export type ReadOnlyCode<T> = (transaction: SnapshotReader) => Promise<T> | T;

/** Gives transactions their names. */
export interface TransactionNames {
  open(): TransactionId;
  close(id: TransactionId): void;
  /** Nobody asks again for what is below. */
  readonly floor: number;
}

export interface TransactionsOptions {
  view: StoreView;
  /** `onSend`: it may arrive from here on. */
  request(request: Request, deadlineMs: number, onSend?: () => void): Promise<Answer>;
  names: TransactionNames;
  /** The frontend tells transactions when it is their turn. */
  hasTurns(): boolean;
  leave(line: number): void;
  clock: Clock;
  random: Random;
  uniqueName(): string;
  timeoutMs: number;
}

/** Hears of a name before it is first sent. */
export type BeforeCommit = (id: TransactionId, keys: string[]) => Promise<void>;

const RETRIES_DEFAULT = 100;
const retrying: Backoff = { firstMs: 2, maxMs: 500 };
/** Behind a turn: whoever was faster is at another frontend, where it is the turn of one, too. */
const retryingInTurn: Backoff = { firstMs: 1, maxMs: 16 };

const levels = {
  strict: Level.strict,
  snapshot: Level.snapshot,
  readCommitted: Level.readCommitted,
} as const;

export class Transactions {
  readonly #options: TransactionsOptions;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  async execute<T>(
    code: TransactionCode<T>,
    { isolation, retries = RETRIES_DEFAULT, timeoutMs, signal }: ExecuteOptions = {},
    beforeCommit?: BeforeCommit,
  ): Promise<Committed<T>> {
    const { clock, random } = this.#options;
    const deadlineMs = clock.monotonicMs() + (timeoutMs ?? this.#options.timeoutMs);
    if (isolation !== undefined && !Object.hasOwn(levels, isolation))
      throw new TypeError(`isolation: one of ${Object.keys(levels).join(", ")}, not ${String(isolation)}`);
    const turn = new Turn(this.#options);
    // What is in the cache will do at first, because the commit checks it.
    let moment: Moment = "seen";
    try {
      for (let attempt = 0; ; attempt++) {
        signal?.throwIfAborted();
        const run = new Run(this.#options, deadlineMs, moment, isolation, turn);
        const { result, outcome } = await run.commit(code, beforeCommit);
        if (outcome.kind === "committed") return { result: result as T, timestamp: outcome.timestamp };
        if (attempt >= retries || clock.monotonicMs() >= deadlineMs)
          throw refusedForGood(outcome, attempt + 1);
        if (turn.taken > 0) await sleep(clock, backoffMs(turn.taken, retryingInTurn, random.float()));
        const readAt = await this.#inTurn(turn, outcome, deadlineMs, attempt + 1);
        moment = readAt ?? "fresh";
        if (readAt === undefined) await sleep(clock, backoffMs(attempt + 1, retrying, random.float()));
      }
    } finally {
      turn.leave();
    }
  }

  async #inTurn(
    turn: Turn,
    outcome: Exclude<Settlement, { kind: "committed" }>,
    deadlineMs: number,
    runs: number,
  ): Promise<number | undefined> {
    try {
      return await turn.take(outcome, (request) => this.#options.request(request, deadlineMs));
    } catch (error) {
      if (error instanceof UnavailableError) throw refusedForGood(outcome, runs);
      throw error;
    }
  }

  /** Runs code against a snapshot that includes everything acknowledged so far. */
  async readOnly<T>(code: ReadOnlyCode<T>, timeoutMs = this.#options.timeoutMs): Promise<Committed<T>> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      try {
        return await new Run(this.#options, deadlineMs, "fresh").readOnly(code);
      } catch (error) {
        // Its code took longer than versions are kept.
        if (!isTooOld(error) || clock.monotonicMs() >= deadlineMs) throw error;
      }
    }
  }

  /** Finds out what became of a transaction. If nothing did, nothing ever will. */
  async resolve({ transaction: id, keys }: OutcomeUnknownError, timeoutMs?: number): Promise<Settlement> {
    const { clock, request, names } = this.#options;
    if (keys.length === 0) {
      // It has only read: there is nothing that could have become of it.
      names.close(id);
      return { kind: "aborted" };
    }
    const deadlineMs = clock.monotonicMs() + (timeoutMs ?? this.#options.timeoutMs);
    const answer = await request({ type: "resolve", id, keys: keys.map(toUtf8) }, deadlineMs);
    if (answer.type !== "settled") throw new Error(`a frontend answered a question with "${answer.type}"`);
    names.close(id);
    return answer.outcome;
  }
}

/** One run of a transaction's code. */
class Run {
  readonly #options: TransactionsOptions;
  readonly #snapshot: Snapshot;
  readonly #deadlineMs: number;
  readonly #isolation: Isolation | undefined;
  readonly #turn: Turn | undefined;

  constructor(
    options: TransactionsOptions,
    deadlineMs: number,
    moment: Moment,
    isolation?: Isolation,
    turn?: Turn,
  ) {
    this.#options = options;
    this.#turn = turn;
    this.#deadlineMs = deadlineMs;
    this.#isolation = isolation;
    this.#snapshot = new Snapshot(options.view, this.#ask, moment);
  }

  readonly #ask: Ask = (request) => this.#options.request(request, this.#deadlineMs);

  #start(isReadOnly: boolean): Execution {
    const { load, scan } = this.#snapshot;
    const { uniqueName, view } = this.#options;
    if (this.#isolation !== "readCommitted")
      return startExecution({ load, uniqueName, isReadOnly, ...(isReadOnly && { scan }) });
    const loadCommitted = (keys: string[]) => view.readCommitted(keys, this.#ask);
    return startExecution({ load: loadCommitted, uniqueName, isUnchecked: true });
  }

  async readOnly<T>(code: ReadOnlyCode<T>): Promise<Committed<T>> {
    const execution = this.#start(true);
    try {
      return { result: await code(execution), timestamp: this.#snapshot.timestamp };
    } finally {
      execution.close();
    }
  }

  async commit<T>(
    code: TransactionCode<T>,
    beforeCommit: BeforeCommit | undefined,
  ): Promise<{ result: T | undefined; outcome: Settlement }> {
    const execution = this.#start(false);
    let result: T;
    try {
      result = await code(handleOf(execution));
    } catch (error) {
      if (!isTooOld(error)) throw error;
      return { result: undefined, outcome: { kind: "aborted" } };
    } finally {
      execution.close();
    }
    const outcome = await this.#settle(execution, beforeCommit);
    this.#learn(execution, outcome);
    return { result, outcome };
  }

  async #settle(execution: Execution, beforeCommit: BeforeCommit | undefined): Promise<Settlement> {
    const { names } = this.#options;
    const accesses = execution.accesses();
    const level = this.#isolation === undefined ? undefined : levels[this.#isolation];
    const readsAt = level === Level.readCommitted ? 0 : this.#snapshot.timestamp;
    if (accesses.length === 0) return { kind: "committed", timestamp: readsAt };
    const mayBeSnapshot = level === undefined || level === Level.snapshot;
    if (mayBeSnapshot && readsAt === 0) await this.#snapshot.begin();
    const id = this.#turn?.use() ?? names.open();
    const keys = [...execution.operations.keys()];
    const snapshot = mayBeSnapshot ? this.#snapshot.timestamp : 0;
    let isSent = false;
    try {
      await beforeCommit?.(id, keys);
      const transaction = { id, floor: names.floor, level, snapshot, accesses };
      const answer = await this.#options.request({ type: "commit", transaction }, this.#deadlineMs, () => {
        isSent = true;
      });
      if (answer.type !== "settled") throw new Error(`a frontend answered a commit with "${answer.type}"`);
      names.close(id);
      return answer.outcome;
    } catch (error) {
      // Its name stays open: somebody may still ask for it.
      if (isSent && !isRefusal(error)) throw new OutcomeUnknownError(id, keys);
      names.close(id);
      throw error;
    }
  }

  /** The client's own commits are the first thing that it knows of the store. */
  #learn(execution: Execution, outcome: Settlement): void {
    const { view } = this.#options;
    if (outcome.kind !== "committed") {
      for (const key of execution.versions.keys()) view.cache.forget(key);
      return;
    }
    if (outcome.timestamp > 0) view.see(outcome.timestamp);
    for (const [key, operations] of execution.operations) {
      const [first] = operations;
      // Only what sets the whole value is known without knowing what others did before.
      if (first?.kind !== "put" && first?.kind !== "delete") continue;
      const value = canonicalValue(operations.reduce(applyOperation, { type: "absent" } as const));
      view.cache.learn(key, { start: outcome.timestamp, end: outcome.timestamp, value });
    }
  }
}

function handleOf(execution: Execution): TransactionHandle {
  return {
    read: (key, part) => execution.read(key, part),
    apply: (key, operation) => execution.apply(key, operation),
    uniqueName: () => execution.uniqueName(),
    abort(reason = "the transaction gave up by itself") {
      throw new AbortedError("byUser", reason);
    },
  };
}

/** A frontend says that nothing was done; only a defect of its own leaves that open. */
const isRefusal = (error: unknown) => error instanceof RequestError && error.code !== "internal";

const isTooOld = (error: unknown) => error instanceof RequestError && error.code === "tooOld";

function refusedForGood(outcome: Exclude<Settlement, { kind: "committed" }>, runs: number): AbortedError {
  const reason = outcome.kind === "refused" ? outcome.reason : "aborted";
  return new AbortedError(
    reason,
    `the transaction was refused ${runs} times, at last because of "${reason}"`,
  );
}
