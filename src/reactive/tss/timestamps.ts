/**
 * The service that timestamp servers replicate: one counter.
 *
 * Invariant: a timestamp is given out once, and each is greater than all that were given out, by any replica, before it
 * was asked for. The first is 1. Nothing is given out ahead of a request: a timestamp is made when the entry with the
 * request is applied, so it never is older than the request.
 *
 * Command: empty, or u32 count (1 to `COUNT_MAX`). Reply: u64 the first of `count` consecutive timestamps. Query: empty;
 * reply: u64 the last timestamp that was given out, 0 before the first.
 */
import { assert } from "../../core/errors.ts";
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Batch, StateMachine, StateRestorer, StateStream } from "../replication/types.ts";

/** Timestamps in one command. */
export const COUNT_MAX = 1_000_000;

export class Timestamps implements StateMachine {
  #last = 0;

  get last(): number {
    return this.#last;
  }

  apply({ commands }: Batch): Uint8Array[] {
    return commands.map(({ body }) => {
      const first = this.#last + 1;
      this.#last += countOf(body);
      assert(Number.isSafeInteger(this.#last), "timestamps stay below 2^53");
      return encodeTimestamp(first);
    });
  }

  query(): Uint8Array {
    return encodeTimestamp(this.#last);
  }

  snapshot(): StateStream {
    return { chunks: [encodeTimestamp(this.#last)], close: () => {} };
  }

  restore(): StateRestorer {
    let last: number | undefined;
    return {
      add: (chunk) => void (last = decodeTimestamp(chunk)),
      finish: () => {
        if (last === undefined) throw new WireError("a snapshot has no timestamp");
        this.#last = last;
      },
      abandon: () => {},
    };
  }
}

/** A body that asks for nothing sensible is one timestamp: a replica must not fail on what a client sends. */
function countOf(body: Uint8Array): number {
  if (body.byteLength !== 4) return 1;
  return Math.min(Math.max(new ByteReader(body).u32(), 1), COUNT_MAX);
}

export function encodeCount(count: number): Uint8Array {
  return new ByteWriter(4).u32(count).done();
}

export function encodeTimestamp(timestamp: number): Uint8Array {
  return new ByteWriter(8).u64(timestamp).done();
}

export function decodeTimestamp(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes);
  const timestamp = reader.u64();
  reader.end();
  return timestamp;
}
