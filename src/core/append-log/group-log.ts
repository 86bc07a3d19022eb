/**
 * What the owner of an append log with group commit needs of it, wherever it is kept: in files (log-file.ts) or in a
 * replicated stream (nats/stream-log).
 *
 * Invariant: `durablePosition` never passes a byte that could still be lost. In the state "full" nothing more is taken
 * and nothing is acknowledged, and it ends by itself; "failed" is for good, and its owner must stop.
 */
import type { LogState, LogStats } from "./options.ts";
import type { Chunks } from "./snapshot.ts";

export interface GroupLog {
  readonly state: LogState;
  /** Behind the last appended byte. */
  readonly position: number;
  readonly durablePosition: number;
  /** Too much waits: stop appending until `onDrain`. */
  readonly isCongested: boolean;
  readonly stats: LogStats;
  /** Copies `bytes` into the gathering group; returns the position behind them. Throws unless the state is "open". */
  append(bytes: Uint8Array): number;
  isCompactionDue(bytesMin: number, factor: number): boolean;
  /** Replaces the log so far by a snapshot while appends go on; `source` is called at once. */
  compact(source: () => Chunks): Promise<void>;
  /** Makes everything durable and stops; throws when that is not possible now. */
  close(): Promise<void>;
}
