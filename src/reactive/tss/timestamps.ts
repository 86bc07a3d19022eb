/**
 * The service that timestamp servers replicate: how far timestamps are reserved. The primary hands out those below from memory.
 *
 * Invariant: a timestamp is given out once, and each is greater than all that were given out, by any replica, before it was asked
 * for. What is given out is below the bound, which a quorum has on disk; a new primary begins above the bound that it finds, so
 * nothing is given out twice, and it answers only when the one before it cannot any more (../replication/lease.ts), so nothing
 * smaller comes later. A timestamp is made when it is asked for, never ahead of a request. The first is 1. A change of the
 * primary, or a restart, leaves out what was reserved and not given out.
 *
 * Command: u32 count; reserves at least so many more; reply: u64 the bound. Query: empty, or u32 count (1 to `COUNT_MAX`); reply:
 * u64 the first of `count` consecutive timestamps, or 0: more have to be reserved first.
 */
import { assert } from "../../core/errors.ts";
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Batch, StateMachine, StateRestorer, StateStream } from "../replication/types.ts";

/** Timestamps in one request. */
export const COUNT_MAX = 1_000_000;

/** At once: so a round of the group serves so many. */
const RESERVED_MIN = 100_000;

export class Timestamps implements StateMachine {
  #bound = 0;
  /** As primary of `#view`: the last that was given out. */
  #last = 0;
  #view = -1;

  /** What is given out by whichever primary that knows of it, is not above this. */
  get bound(): number {
    return this.#bound;
  }

  get last(): number {
    return this.#last;
  }

  apply({ commands }: Batch): Uint8Array[] {
    return commands.map(({ body }) => {
      this.#bound += Math.max(countOf(body), RESERVED_MIN);
      assert(Number.isSafeInteger(this.#bound), "timestamps stay below 2^53");
      return encodeTimestamp(this.#bound);
    });
  }

  query(body: Uint8Array, view: number): Uint8Array {
    if (view !== this.#view) {
      // Earlier primaries may have given out everything below.
      this.#view = view;
      this.#last = this.#bound;
    }
    const count = countOf(body);
    if (this.#last + count > this.#bound) return encodeTimestamp(0);
    const first = this.#last + 1;
    this.#last += count;
    return encodeTimestamp(first);
  }

  snapshot(): StateStream {
    return { chunks: [encodeTimestamp(this.#bound)], close: () => {} };
  }

  restore(): StateRestorer {
    let bound: number | undefined;
    return {
      add: (chunk) => void (bound = decodeTimestamp(chunk)),
      finish: () => {
        if (bound === undefined) throw new WireError("a snapshot has no timestamp");
        this.#bound = bound;
        this.#view = -1;
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
