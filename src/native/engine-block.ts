/**
 * What the protocol engines in C have in common: a block of doubles that each call leaves its outcome in, and a buffer
 * of replies that the block points to. The places here are those of native/engine-block.h, the first of each block.
 *
 * Invariant: views over C memory are renewed whenever C moved it. What `replies` returns is good until the next call.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";

const Place = { address: 0, length: 1, capacity: 2, generation: 3, effects: 4 } as const;

const nothing = new Uint8Array(0);
export class EngineBlock {
  readonly #block: Float64Array;
  #buffer: Uint8Array = nothing;
  #replies: Uint8Array = nothing;
  #generation = -1;

  /** `places`: how many doubles the block has. */
  constructor(pointer: Pointer, places: number) {
    this.#block = new Float64Array(toArrayBuffer(pointer, 0, places * Float64Array.BYTES_PER_ELEMENT));
  }

  at(place: number): number {
    return this.#block[place] as number;
  }

  /** Whether the place is set. Reading it forgets it. */
  take(place: number): boolean {
    if (this.#block[place] === 0) return false;
    this.#block[place] = 0;
    return true;
  }

  /** Bytes that wait in the effects buffer, as of the last call. */
  get effectsLength(): number {
    return this.#block[Place.effects] as number;
  }

  replies(): Uint8Array {
    const length = this.#block[Place.length] as number;
    if (length === 0) return nothing;
    const generation = this.#block[Place.generation] as number;
    if (generation !== this.#generation) {
      const address = this.#block[Place.address] as Pointer;
      this.#buffer = new Uint8Array(toArrayBuffer(address, 0, this.#block[Place.capacity]));
      this.#generation = generation;
      this.#replies = nothing;
    }
    // Unpipelined clients get replies of one length again and again: the view of the last ones then serves.
    if (this.#replies.byteLength !== length) this.#replies = this.#buffer.subarray(0, length);
    return this.#replies;
  }

  /** The lines of text there, each ended by a line feed (native/event-lines.h). */
  lines(address: number, length: number): string[] {
    return this.copy(address, length).toString("latin1").split("\n").slice(0, -1);
  }

  /** A copy of the bytes at the address and of the length that two places name. */
  copy(address: number, length: number): Buffer {
    const bytes = this.at(length);
    if (bytes === 0) return Buffer.alloc(0);
    return Buffer.from(new Uint8Array(toArrayBuffer(this.at(address) as Pointer, 0, bytes)).slice());
  }
}
