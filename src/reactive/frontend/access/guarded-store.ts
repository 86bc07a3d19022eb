/**
 * The store as one principal may use it: what every way in (HTTP, WebSocket, framed TCP) goes through.
 *
 * Invariant: nothing is read, watched or committed before the rights, levels and types of its tables were checked.
 */
import { compareBytes, WireError } from "../../wire/bytes.ts";
import { ACCESSES_MAX, type Transaction, type TransactionId, Level } from "../../shard/transaction.ts";
import type { FinalOutcome } from "../../shard/commands.ts";
import type { CommitResult, Engine, Scanned, Snapshot } from "../../engines/engine.ts";
import { FutureError, LimitError } from "../../failures.ts";
import { AccessError, type Tables } from "./tables.ts";

/** A transaction as a client hands it in; without a level it runs at that of its tables. */
export type OfferedTransaction = Omit<Transaction, "home" | "participants" | "level"> & {
  level: Level | undefined;
};

export interface StoreFigures {
  committed: number;
  refused: Record<string, number>;
}

export class GuardedStore {
  readonly engine: Engine;
  readonly tables: Tables;
  readonly figures: StoreFigures = { committed: 0, refused: {} };

  constructor(engine: Engine, tables: Tables) {
    this.engine = engine;
    this.tables = tables;
  }

  read(principal: string, keys: readonly Uint8Array[], at: number | undefined): Promise<Snapshot> {
    this.tables.checkKeys(principal, "read", keys);
    return this.#onceIssued(at, () => this.engine.read(keys, at));
  }

  readNewest(principal: string, keys: readonly Uint8Array[]): Promise<Snapshot> {
    this.tables.checkKeys(principal, "read", keys);
    return this.engine.readNewest(keys);
  }

  /** Keys of tables that want more than read committed are refused. */
  readCommitted(principal: string, keys: readonly Uint8Array[]): Promise<Snapshot> {
    this.tables.checkCommittedRead(principal, keys);
    return this.engine.readCommitted(keys);
  }

  /** Keys that begin with `prefix`, behind `after`, ascending, as of one timestamp. */
  scan(
    principal: string,
    { prefix, after }: { prefix: Uint8Array; after: Uint8Array | undefined },
    countMax: number,
    at: number | undefined,
  ): Promise<Scanned> {
    this.tables.checkRange(principal, prefix);
    const isBehind = after !== undefined && compareBytes(after, prefix) >= 0;
    const range = { from: isBehind ? after : prefix, after: isBehind, to: endOfPrefix(prefix) };
    return this.#onceIssued(at, () => this.engine.scan(range, countMax, at));
  }

  commit(principal: string, offered: OfferedTransaction): Promise<CommitResult> {
    assertNotTooMany(offered);
    const level = this.#levelOf(principal, offered);
    const { snapshot } = offered;
    if (level === Level.snapshot && snapshot === 0) {
      if (offered.accesses.some(({ reads }) => reads.length > 0))
        throw new AccessError(
          "wrongLevel",
          "a transaction of level snapshot names the timestamp of its reads",
        );
      return this.engine.nextTimestamp().then((now) => this.#commit({ ...offered, level, snapshot: now }));
    }
    // Nothing is newer than a version that is none: what was read under such a name would never count as changed.
    const at = Math.max(level === Level.snapshot ? snapshot : 0, newestOf(offered));
    return this.#onceIssued(at, () => this.#commit({ ...offered, level }));
  }

  /** What will be committed up to a timestamp of the future nobody knows. Rejects with FutureError. */
  #onceIssued<Answer>(at: number | undefined, ask: () => Promise<Answer>): Promise<Answer> {
    const { engine } = this;
    if (at === undefined || at <= engine.known) return ask();
    return engine.nextTimestamp().then(() => {
      if (at > engine.known) throw new FutureError(at);
      return ask();
    });
  }

  /** Operations that cannot be read have no type to be checked: the shard refuses them, with their key. */
  #levelOf(principal: string, { level, accesses }: OfferedTransaction): Level {
    try {
      return this.tables.checkTransaction(principal, level, accesses);
    } catch (error) {
      if (error instanceof WireError) throw new AccessError("wrongType", error.message);
      throw error;
    }
  }

  #commit(transaction: OfferedTransaction & { level: Level }): Promise<CommitResult> {
    return this.engine.commit(transaction).then(this.#count);
  }

  readonly #count = (result: CommitResult) => {
    if (result.kind === "committed") this.figures.committed += 1;
    else {
      const reason = result.kind === "refused" ? result.reason : result.kind;
      this.figures.refused[reason] = (this.figures.refused[reason] ?? 0) + 1;
    }
    return result;
  };

  /** What became of a transaction that wrote these keys; if nothing did, it is aborted for good. */
  resolve(principal: string, id: TransactionId, keys: readonly Uint8Array[]): Promise<FinalOutcome> {
    this.tables.checkKeys(principal, "write", keys);
    return this.engine.resolve(id, keys);
  }
}

/** More than a shard takes. */
function assertNotTooMany({ accesses }: OfferedTransaction): void {
  if (accesses.length > ACCESSES_MAX)
    throw new LimitError(
      "tooMany",
      `${accesses.length} keys in one transaction; ${ACCESSES_MAX} are allowed`,
    );
  for (const { reads } of accesses)
    if (reads.length > ACCESSES_MAX)
      throw new LimitError("tooMany", `${reads.length} reads of one key; ${ACCESSES_MAX} are allowed`);
}

/** The largest version that it names; 0: none. */
function newestOf({ accesses }: OfferedTransaction): number {
  let newest = 0;
  for (const { reads } of accesses) for (const { version } of reads) if (version > newest) newest = version;
  return newest;
}

/** The first key behind all that begin with the prefix; empty: there is none. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  for (let length = end.byteLength; length > 0; length--) {
    const last = end[length - 1] as number;
    if (last === 255) continue;
    end[length - 1] = last + 1;
    return end.slice(0, length);
  }
  return new Uint8Array(0);
}
