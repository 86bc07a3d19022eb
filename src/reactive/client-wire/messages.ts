/**
 * What clients and frontends of the transactional store say to each other, as values. `codec.ts` draws their bytes.
 *
 * The client speaks first (`hello`), the frontend answers (`welcome`, or `failed` and it closes). From then on either side sends
 * when it likes. What carries a `request` is answered once, by a message with the same number; answers may overtake each
 * other. Runs obey this:
 *
 * - A `watch` is answered by `watching` once nothing of its keys can be missed any more. Sent again with other keys it replaces
 *   the earlier read set: a watch is re-sent whenever a run has read something else than the run before.
 *   One that fails is not watched, nor is what it was to replace.
 * - `at` says as of when the client has seen the keys. Whatever was committed to one of them behind it leads to a run. With `now`
 *   it has seen nothing, and the first run follows.
 * - All runs of one `runs` message are as of one timestamp, over all shards, and behind it all watches of the client are: one that is
 *   not in it has not changed. (Not so for ranges, for those with `delayMs`, and beyond 1000 keys.) Timestamps never fall, on one connection and, since
 *   the client names what it has seen when it watches again, over any number of connections and frontends.
 * - A run tells of the latest state; changes in between are counted (`changes`), not shown. It brings the values of those keys
 *   that changed since `since`; every other key of the read set is unchanged up to the run's timestamp.
 * - With cause `refetch` the frontend cannot tell what changed (what the client has seen is older than what is kept): every value
 *   of the read set is there.
 * - At most `unackedMax` runs messages are under way; further changes wait and are gathered until the client sends `ack`.
 * - `progress` says that the client has all runs up to a timestamp. It is sent about once a second to a client that was told
 *   nothing else.
 *
 * Runs in browsers: nothing here or in what it imports needs a server.
 */
import type { FinalOutcome, Refusal } from "../shard/commands.ts";
import type { ReadVersion } from "../shard/query-messages.ts";
import type { Access, Level, TransactionId } from "../shard/transaction.ts";

/** The newest version. */
export const CLIENT_PROTOCOL_VERSION = 2;
/** All that are spoken, best first. Since version 2 a transaction that was refused can stand in line: `readInTurn`, `leave`. */
export const clientProtocols: readonly number[] = [CLIENT_PROTOCOL_VERSION, 1];
export const hasTurns = (protocol: number) => protocol >= 2;
/** Where the WebSocket is, on the frontend's HTTP port. */
export const CONNECT_PATH = "/v1/connect";

/** A moment for reads: a timestamp, or one of these. Now: at a timestamp that nothing acknowledged is above. */
export const NOW = 0;
/** Each key as of its own moment, without asking for a timestamp: for what a transaction reads and is validated on. */
export const NEWEST = Number.MAX_SAFE_INTEGER;
/** What is committed of each key, never waiting for what is under way: for read committed, which validates nothing. */
export const COMMITTED = Number.MAX_SAFE_INTEGER - 1;

/** Limits of the protocol. A frontend may set lower ones and says so in its welcome. */
export const limits = {
  /** Of one message, its type included. */
  messageBytesMax: 64 << 20,
  helloBytesMax: 8 * 1024,
  tokenBytesMax: 4096,
  /** Of one read, watch or transaction. */
  keysMax: 100_000,
  prefixesMax: 1000,
  /** For which one transaction stands in line. */
  turnKeysMax: 100,
  scanCountMax: 10_000,
  delayMsMax: 60_000,
  /** `runs` messages without an acknowledgement. */
  unackedMax: 64,
  tablesMax: 4096,
} as const;

export type ClientMessage =
  | {
      type: "hello";
      /** Versions of the protocol that it speaks, best first. */
      protocols: number[];
      /** A random number below 2^53 that the client keeps: the `client` of its transactions' ids. */
      client: number;
      /** Empty: none. */
      token: string;
      unackedMax: number;
    }
  /** A timestamp that is larger than all that were acknowledged: a snapshot for reads and for snapshot isolation. */
  | { type: "begin"; request: number }
  | { type: "read"; request: number; at: number; keys: Uint8Array[] }
  /**
   * A read of now, answered when it is the turn of a transaction on all of these keys: no other one that stands in line is tried before it.
   * It commits as `id` then, or leaves; refused once more it may ask again, for more keys too, and comes before all that came later. A turn that
   * is not used for two seconds is over. `line`: a number of the client's, the same for all attempts of the transaction.
   */
  | { type: "readInTurn"; request: number; line: number; id: TransactionId; keys: Uint8Array[] }
  /** It does not try again. */
  | { type: "leave"; line: number }
  | {
      type: "scan";
      request: number;
      at: number;
      prefix: Uint8Array;
      /** Go on behind this key; empty: from the start. */
      after: Uint8Array;
      countMax: number;
    }
  /** Sent again under the same id it is not executed again and is answered the same. */
  | { type: "commit"; request: number; transaction: ClientTransaction }
  /** What became of a transaction? If nothing did, it is aborted and never will be committed. `keys`: those that it wrote. */
  | { type: "resolve"; request: number; id: TransactionId; keys: Uint8Array[] }
  | {
      type: "watch";
      request: number;
      /** The client's name for it, a number. */
      watch: number;
      at: number;
      /** Changes may be gathered this long before a run. */
      delayMs: number;
      keys: Uint8Array[];
      /** Ranges that it read: all keys that begin with one of these. Their values are not pushed; scan at the run's timestamp. */
      prefixes: Uint8Array[];
    }
  | { type: "unwatch"; request: number; watch: number }
  /** All runs up to this timestamp are done. */
  | { type: "ack"; at: number }
  | { type: "ping" };

export interface ClientTransaction {
  id: TransactionId;
  /** Transactions of this client below this number are settled: it will not ask for them again. */
  floor: number;
  /** Undefined: what the tables of its keys say. */
  level: Level | undefined;
  /** The timestamp of its reads under snapshot isolation, else 0. */
  snapshot: number;
  accesses: Access[];
}

export type ServerMessage =
  | {
      type: "welcome";
      protocol: number;
      /** The largest timestamp that the frontend has seen. */
      known: number;
      /** Empty when nobody has to say who he is. */
      principal: string;
      messageBytesMax: number;
      watchesMax: number;
      /** Over all watches of the connection. */
      watchedKeysMax: number;
      tables: TableInfo[];
    }
  | { type: "begun"; request: number; at: number }
  /** `versions` in the order of the keys. `at` is 0 for `NEWEST` and `COMMITTED`. */
  | { type: "values"; request: number; at: number; versions: ReadVersion[] }
  | { type: "scanned"; request: number; at: number; isMore: boolean; entries: KeyedVersion[] }
  | { type: "settled"; request: number; outcome: Settlement }
  /** Nothing that is committed to its keys behind `at` is missed. */
  | { type: "watching"; request: number; watch: number; at: number }
  /** No run of it follows. */
  | { type: "unwatched"; request: number; watch: number }
  | { type: "runs"; at: number; runs: Run[] }
  | { type: "progress"; at: number }
  | { type: "pong" }
  | {
      type: "failed";
      /** 0: the connection as a whole; it is closed. */
      request: number;
      code: FailureCode;
      /** For people. */
      text: string;
    };

export interface TableInfo {
  /** Keys that begin with it belong to the table; of several tables the longest prefix counts. */
  prefix: Uint8Array;
  /** Undefined: the transaction's own. */
  level: Level | undefined;
  /** Of the values (native/version-values.ts); 0: any. */
  valueType: number;
  mayRead: boolean;
  mayWrite: boolean;
}

export interface KeyedVersion extends ReadVersion {
  key: Uint8Array;
}

export type Settlement = FinalOutcome | { kind: "refused"; reason: Refusal; key: Uint8Array };

/** Why a run happens. */
export const causes = ["first", "changed", "refetch"] as const;
export type Cause = (typeof causes)[number];

export interface Run {
  watch: number;
  /** The timestamp of what the client has seen; 0: nothing. */
  since: number;
  cause: Cause;
  /** Commits that are gathered in this run. */
  changes: number;
  /** Of the keys that changed since `since`. */
  values: KeyedVersion[];
}

/** Stable names; their position is their code on the wire, so new ones are added at the end. */
export const failureCodes = [
  "protocol", // what was sent is no message of this protocol
  "denied", // the token is not known
  "forbidden", // the principal has no right to this key
  "tooLarge", // a message, a key or an answer is over a limit
  "tooMany", // watches, keys or requests are over a limit
  "tooOld", // the timestamp is older than what is kept: read again without one
  "unknownOutcome", // nobody knows: send the same transaction again, or resolve it
  "unavailable", // nothing was done: try again
  "wrongLevel", // a table wants a stricter level than the transaction names
  "wrongType", // a table holds values of another type
  "slow", // the client does not read what it is sent
  "stopping", // the frontend stops: go to another one
  "internal", // a defect; the frontend's log has more
  "busy", // no room for another connection
] as const;
export type FailureCode = (typeof failureCodes)[number];
