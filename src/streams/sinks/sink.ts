/**
 * What a worker's output must promise, whatever it is.
 *
 * Invariant: records leave in the order in which they were written. After `rollBack` nothing goes out twice that a
 * checkpoint has, as far as the kind of sink can help it: each says how far in its own file.
 */
import type { RecordWriter } from "../runtime/record-writer.ts";

export interface Sink {
  readonly name: string;
  /** Where the engine writes records, with their framing. */
  readonly writer: RecordWriter;
  open(): Promise<void>;
  /** To be called after a run of records: takes what was written. */
  flush(): void;
  readonly isCongested: boolean;
  /**
   * The barrier of a checkpoint has come: everything written so far belongs to it. `position` is what the checkpoint keeps
   * of the sink, `outputs` what goes out with its commit. `safe` resolves when the sink can commit, false when it cannot.
   */
  prepare(checkpoint: number): { position: unknown; outputs: Uint8Array[]; safe: Promise<boolean> };
  /** The checkpoint is committed. A promise that is returned resolves when its `outputs` have gone out for good. */
  commit(checkpoint: number): void | Promise<void>;
  /**
   * Goes back to a checkpoint: what was written since is void. `outputs` are those of that checkpoint, if they are due. Without
   * a position this worker has none yet: its cluster begins (checkpoint 0), or it has just joined.
   */
  rollBack(checkpoint: number, position: unknown, outputs: readonly Uint8Array[]): Promise<void>;
  stats(): Record<string, number | string | boolean>;
  close(): Promise<void>;
}

export interface SinkEvents {
  /** `isCongested` changed. */
  onPressure(): void;
  onFatal(error: Error): void;
}
