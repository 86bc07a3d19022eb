/**
 * What a scan is asked for. Plain data: it is sent to another thread as it is.
 *
 * Sources are listed oldest first. Of two records in one bucket, that of the older source comes first; so the order of
 * a whole answer is ascending bucket (key >> 12), and inside a bucket the order of writing.
 */
import type { MemtablePointer } from "../../../native/logfiles/logs.ts";
import type { Filter, OutputKind } from "../../../native/logfiles/scan.ts";
import type { BlockEntry } from "../segments/format.ts";

export type SourceSpec =
  | {
      kind: "memtable";
      pointer: MemtablePointer;
      /** Records `from` to `count` - 1 in the order of writing. */
      from: number;
      count: number;
    }
  | { kind: "segment"; path: string; id: Uint8Array; blocks: readonly BlockEntry[] }
  | {
      kind: "buckets";
      /** Of the channel. */
      directory: string;
      /** Flushes whose records are in a memtable of this request, too: what they appended is not read. */
      flushes: number[];
    };

export interface ScanRequest {
  sources: SourceSpec[];
  /** Keys, both inclusive. */
  low: bigint;
  high: bigint;
  filter: Filter;
  output: OutputKind;
  /** Content of a legacy batch, or size of a page. */
  batchBytes: number;
}

export const everything: Pick<ScanRequest, "low" | "high" | "filter"> = {
  low: 0n,
  high: 0xffff_ffff_ffff_ffffn,
  filter: { mode: "all", pattern: new Uint8Array(0) },
};

/** What a scan looked at and found. */
export interface ScanFigures {
  records: number;
  /** Found, but no batch of the protocol holds them. */
  skipped: number;
}
