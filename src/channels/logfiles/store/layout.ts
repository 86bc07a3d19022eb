/**
 * How channels are kept in files. There are two ways: segments of our own, and the bucket files of the originals.
 *
 * Invariant: what `seal` was given is in files, synced, when it resolves; until its result is applied, scans do not see it
 * there. Power loss at any moment leaves the files as they were before a seal or after it.
 */
import type { MemtablePointer } from "../../../native/logfiles/logs.ts";
import type { KeyRange } from "./key-range.ts";
import type { SourceSpec } from "../scan/request.ts";

/** A channel that has files at the start. */
export interface LoadedChannel {
  name: string;
  /** Records below this number are in files. */
  sealedNumber: number;
}

/** A memtable on its way into files. */
export interface Frozen {
  channel: string;
  memtable: MemtablePointer;
  firstNumber: number;
  count: number;
}

/** Files that are written and that no scan sees yet. */
export interface Sealed {
  /**
   * Lets scans see them. Called in one turn with whatever else must change with it; what is not wanted any more (its
   * channel was removed meanwhile) is dropped.
   */
  apply(isWanted: (frozen: Frozen) => boolean): void;
}

/** Files, held for as long as a scan needs them. */
export interface HeldSources {
  specs: SourceSpec[];
  release(): void;
}

/** What was removed because it is too old, or because the files have grown too large. */
export interface Expired {
  channel: string;
  records: number;
  valueBytes: number;
}

/** A file whose records can be given to another node. */
export interface Movable {
  channel: string;
  /** Keys that its records may have, both inclusive. */
  low: bigint;
  high: bigint;
  hold(): HeldSources;
  /**
   * So many records of it are safe elsewhere: removes it. Undefined: it holds others by now, or is gone, and nothing is
   * removed.
   */
  remove(records: number): Promise<Expired | undefined>;
}

export interface RetentionLimits {
  /** Records with keys below this one may go; undefined: none. */
  keyMin: bigint | undefined;
  /** Of all files; undefined: no limit. */
  bytesMax: number | undefined;
}

export interface Layout {
  load(progress: (text: string) => void): Promise<LoadedChannel[]>;
  seal(frozen: readonly Frozen[]): Promise<Sealed>;
  /** Whether a seal should take all channels, each time. */
  readonly sealsTogether: boolean;
  /** The files of a channel, for a scan that also reads these memtables. */
  sources(channel: string, memtables: readonly MemtablePointer[]): HeldSources;
  /**
   * The channel's records below this number are gone: from now on for scans. Their files are removed by `removeFiles`,
   * once that is durable.
   */
  forget(channel: string, belowNumber: number): void;
  removeFiles(): Promise<void>;
  /** Joins small files and the like; returns when there is nothing more to do for now. */
  tidy(): Promise<void>;
  expire(limits: RetentionLimits): Promise<Expired[]>;
  /** Every file that there is at the call, for whoever gives some of them away. */
  movables(): AsyncIterable<Movable>;
  /** Smallest and largest key in the files of a channel, of a layout that knows them without reading; undefined: none. */
  keyRange?(channel: string): KeyRange | undefined;
  /** What the files of a channel hold. */
  totals(channel: string): { records: number; valueBytes: number };
  /** Of all files. */
  readonly fileBytes: number;
  readonly fileCount: number;
  close(): Promise<void>;
}
