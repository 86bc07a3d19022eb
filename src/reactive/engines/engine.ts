/**
 * What a frontend needs of the store behind it. The built-in engine (`builtin/`: timestamp servers and shards) and etcd
 * (`etcd/`) are both one; the frontend knows neither.
 *
 * Every engine keeps this, and test/reactive/engine/ asks each for it:
 *
 * - A *timestamp* names a state of the whole store, and states are in order. A committed transaction has one of its own: a read at
 *   a timestamp shows exactly the transactions that committed at or below it, over all keys, however often it is asked.
 * - `nextTimestamp` is at or above every transaction that was acknowledged, to anybody, before it was asked for. It need not be
 *   larger than the one before: where it is not, nothing was committed in between.
 * - A transaction is executed once, whoever sends it how often. Its first outcome is its only one, a refusal too.
 * - The feed hands over every change behind its start, with its timestamp, or says that there is a gap.
 *
 * What one engine can do and another cannot stands in its `capabilities`, never in a question for its name.
 */
import type { FinalOutcome, Refusal } from "../shard/commands.ts";
import type { ReadVersion, ScanEntry } from "../shard/query-messages.ts";
import type { Access, Transaction, TransactionId } from "../shard/transaction.ts";
import type { Stats } from "../../core/role.ts";

/** What a client hands in: a transaction that belongs to no shard yet. */
export type WholeTransaction = Omit<Transaction, "home" | "participants">;

export type CommitResult = FinalOutcome | { kind: "refused"; reason: Refusal; key: Uint8Array };

export interface Snapshot {
  timestamp: number;
  versions: ReadVersion[];
  /** What was deleted before this timestamp looks as if it had never been. */
  horizon: number;
}

export interface Scanned {
  timestamp: number;
  entries: ScanEntry[];
  isMore: boolean;
}

/** Keys from `from` (not itself when `after`) up to `to` (empty: no end). */
export interface KeyRange {
  from: Uint8Array;
  after: boolean;
  to: Uint8Array;
}

export interface EngineCapabilities {
  /** Every `nextTimestamp` is larger than all before it, although nothing was committed. */
  hasUniqueTimestamps: boolean;
  /** Two clients that change different parts of one value, or commute, are told apart by what they do, not by what is left. */
  comparesOperations: boolean;
  /** Who names a transaction below the floor of its client is told "forgotten"; else its outcome is known until it is old. */
  forgetsBelowFloor: boolean;
  /** A transaction's timestamp is known before it is committed (`onOrdering`): reads for its watchers begin early. */
  foretellsCommits: boolean;
  /** Keys of one transaction, at most: more are refused with `tooMany`. Undefined: only the protocol's limit. */
  transactionKeysMax: number | undefined;
}

/** Which keys were changed at which timestamp. */
export interface ChangedKeys {
  timestamp: number;
  keys: readonly Uint8Array[];
}

export interface FeedListener {
  onChange(change: ChangedKeys): void;
  /** Behind changes that arrived together. */
  onCaughtUp(): void;
  /** Changes are lost. All had timestamps at or below the next `nextTimestamp`. */
  onGap(): void;
  /**
   * Whether anybody is told of changes. While nobody is, a feed may hand over nothing, and begin anew: at a moment behind the call of
   * `started` that says who wants it again.
   */
  isWanted(): boolean;
}

/** What an engine tells of changes, once for all clients of a frontend. */
export interface ChangeFeed {
  /** Resolves when no later change of these is missed. Rejects when the store does not answer. */
  started(read: { keys: readonly Uint8Array[]; prefixes: readonly Uint8Array[] }): Promise<void>;
  /**
   * Resolves with a timestamp: every change that has it or a smaller one, of those whose timestamp was issued before this call,
   * was handed over. `issued`: one that was issued. 0: not known. Rejects when the store does not answer.
   */
  poll(issued: number): Promise<number>;
  stop(): void;
}

export interface Engine {
  readonly capabilities: EngineCapabilities;
  /** The largest timestamp that it knows was issued. */
  readonly known: number;
  nextTimestamp(): Promise<number>;
  /** Somebody named a timestamp that was issued: it was committed with. */
  learn(timestamp: number): void;
  /** All keys as of one timestamp; without one, of a fresh one. Throws TooOldError. */
  read(keys: readonly Uint8Array[], at: number | undefined): Promise<Snapshot>;
  /** The newest committed version of each key, each as of its own moment: for transactions, which are validated. */
  readNewest(keys: readonly Uint8Array[]): Promise<Snapshot>;
  /**
   * Of each key a version that was committed, as new as can be told without waiting for anything under way. Never older than one
   * that was answered before; may be older than one that was acknowledged. For read committed, which validates nothing.
   */
  readCommitted(keys: readonly Uint8Array[]): Promise<Snapshot>;
  /** Ascending, as of one timestamp. Throws TooOldError. */
  scan(range: KeyRange, countMax: number, at: number | undefined): Promise<Scanned>;
  /** Resolves with what became of the transaction; asking again with the same id gives the same answer. */
  commit(whole: WholeTransaction): Promise<CommitResult>;
  /** What became of a transaction that wrote these keys; if nothing did, it is aborted for good. */
  resolve(id: TransactionId, keys: readonly Uint8Array[]): Promise<FinalOutcome>;
  /** One that is about to be committed, where the engine foretells it. */
  onOrdering: (timestamp: number, accesses: readonly Access[]) => void;
  follow(listener: FeedListener): ChangeFeed;
}

/** An engine with what belongs to it, as a role runs it. */
export interface RunningEngine {
  /** As the configuration has it. */
  readonly name: string;
  readonly engine: Engine;
  /** Transactions settled for frontends that died. */
  readonly settled: number;
  /** Why what was asked has no answer yet, where the engine knows. */
  readonly trouble?: string | undefined;
  stats(): Stats;
  stop(): void;
}
