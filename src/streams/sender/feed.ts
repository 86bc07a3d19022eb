/**
 * What a sender sends: records by number.
 *
 * Invariant: record `index` is the same bytes each time it is asked for, so whatever a worker has not acknowledged can be
 * sent again after any crash, of either side.
 */
import type { ByteWriter } from "../wire/bytes.ts";
import { writeCounter } from "../wire/counter.ts";

export interface Feed {
  /** How many records there are; Infinity: no end. */
  readonly records: number;
  /** False: records go out as they are and not in frames, and cannot be sent acknowledged. */
  readonly isFramed: boolean;
  /** Appends the body of record `index`, which is below `records`. */
  write(writer: ByteWriter, index: number): void;
}

const encoder = new TextEncoder();

/** The values `from` + 1 … `until` of one key. Without a key: numbers, as the sequence-window application takes them. */
export function counterFeed(key: string, from: number, until: number): Feed {
  const keyBytes = encoder.encode(key);
  return {
    records: Math.max(0, until - from),
    isFramed: true,
    write: (writer, index) => writeCounter(writer, from + index + 1, keyBytes),
  };
}

/** The same numbers as decimal text. */
export function textCounterFeed(from: number, until: number): Feed {
  return {
    records: Math.max(0, until - from),
    isFramed: true,
    write: (writer, index) => void writer.raw(encoder.encode(String(from + index + 1))),
  };
}

/** Records that stand one behind the other in `bytes`: number i from `starts[i]` to `starts[i + 1]`. */
export function storedFeed(bytes: Uint8Array, starts: Float64Array, records: number, isFramed = true): Feed {
  const count = starts.length - 1;
  return {
    records: count === 0 ? 0 : records,
    isFramed,
    write(writer, index) {
      const record = index % count;
      writer.raw(bytes.subarray(starts[record] as number, starts[record + 1] as number));
    },
  };
}
