/**
 * What a worker's input must promise, whatever it is: TCP, acknowledged senders, a file, a generator.
 *
 * Invariant: while a source rests it feeds nothing. `position` is taken while it rests and covers exactly what it fed so
 * far. After `rollBack(position)` it feeds, where it can, everything behind that position again, in order.
 */
import type { GeneratorNode, SourceNode } from "../plan/nodes.ts";
import type { StreamReport } from "../worker/stream-registry.ts";

export interface SourceHost {
  /** One record's bytes. `timeMs`: the time that its sender gave it; absent: now. */
  feed(node: SourceNode, bytes: Uint8Array, start: number, end: number, timeMs?: number): void;
  feedValue(node: GeneratorNode, value: unknown): void;
  /** To be called after a run of records: what they caused goes out. `startedMs` (monotonic): when the first one came. */
  onBatchEnd(records: number, startedMs: number): void;
}

/** What another worker's source must be to stand in for this one: of the same name and kind. */
export const handoverKey = (source: Pick<Source, "name" | "stats">) =>
  `${source.stats().kind} ${source.name}`;

export interface Source {
  readonly name: string;
  readonly node: SourceNode | GeneratorNode;
  /** Begins to listen or to read; it rests until `go`. Resolves with the port, for those that have one. */
  open(): Promise<number | undefined>;
  go(): void;
  rest(): void;
  /** What a checkpoint keeps of it; JSON. */
  position(): unknown;
  /** Resolves when what the present position relies on is on disk. */
  flush?(): Promise<void>;
  /** Why its log waits for the disk, while it does. */
  readonly diskTrouble?: string | undefined;
  /** It has to keep more than it may: all sources are to rest. */
  readonly isCongested?: boolean;
  /** A checkpoint with this position is committed: clients may be told. */
  committed(position: unknown): void;
  /** Goes back to a checkpoint's position; undefined: to the beginning. It rests meanwhile. */
  rollBack(position: unknown): Promise<void>;
  /** Where it listens, if another worker's source of this name and kind can go on where this one stops: its worker may leave. */
  readonly handoverAddress?: string | undefined;
  /** Before a roll-back: senders are to go to this address afterwards; undefined: they stay here. */
  sendElsewhere?(address: string | undefined): void;
  /** Of acknowledged streams: what the table of the cluster has to know. */
  streams?(): StreamReport[];
  stats(): Record<string, number | string | boolean>;
  close(): Promise<void>;
}

/** Senders are to go to the first of these workers that has their source; to stay when there is none. */
export function sendElsewhere(
  sources: readonly Source[],
  workers: readonly { sources?: Record<string, string> }[],
): void {
  for (const source of sources) {
    const key = handoverKey(source);
    source.sendElsewhere?.(workers.find((worker) => worker.sources?.[key] !== undefined)?.sources?.[key]);
  }
}
