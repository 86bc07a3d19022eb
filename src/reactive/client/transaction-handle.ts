/**
 * What code inside a transaction can do with the store: the small face that variables are written against.
 *
 * Invariant: a `Reader` sees one snapshot and, in a transaction that writes, its own writes on top of it. What is applied
 * is buffered until the commit; nobody else sees any of it before all of it.
 */
import type { Part } from "../../native/version-values.ts";
import type { Operation, Value } from "../shard/operations.ts";

/** What every transaction can do. */
export interface Reader {
  /** The value of a key. `part`: what of it the transaction looks at; changes elsewhere do not concern it. */
  read(key: string, part: Part): Promise<Value>;
}

/** A key with its value. */
export interface Entry {
  key: string;
  /** Commit timestamp of the version. */
  version: number;
  value: Value;
}

/** Read-only and reactive transactions. */
export interface SnapshotReader extends Reader {
  /**
   * All keys that begin with a prefix, ascending, with their values. A reactive transaction runs again when one of them is added,
   * changed or removed. Of own queued transactions nothing is seen here. Throws when there are more than `limit`.
   */
  list(prefix: string, limit?: number): Promise<Entry[]>;
}

/** Transactions that may also write. */
export interface Writer extends Reader {
  apply(key: string, operation: Operation): void;
  /** A text that nobody else has or will have. */
  uniqueName(): string;
}

/** The value under a key is not of the type that a variable has. */
export class TypeMismatchError extends Error {
  readonly key: string;

  constructor(key: string, wanted: string, found: string) {
    super(`"${key}" holds ${found}, and it is used as ${wanted}`);
    this.name = "TypeMismatchError";
    this.key = key;
  }
}
