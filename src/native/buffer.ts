/**
 * A view of an `nx_buffer`, the growable byte buffer that C owns (native/buffer.h).
 *
 * Invariant: the bytes are read through a view of the memory that C has at that moment; C raises `generation`
 * when it moves the memory, and the view is renewed. So a view is good until the next call that may append;
 * copy to keep.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { assert } from "../core/errors.ts";

/** Positions of the struct's fields, in 64-bit words. */
const Field = { data: 0, length: 1, capacity: 2, generation: 3, count: 4 } as const;

export class NativeBuffer {
  readonly pointer: Pointer;
  readonly #fields: BigUint64Array;
  #generation = -1n;
  #bytes = new Uint8Array(0);

  /** `pointer`: an nx_buffer that outlives this object. */
  constructor(pointer: Pointer) {
    this.pointer = pointer;
    this.#fields = new BigUint64Array(toArrayBuffer(pointer, 0, Field.count * 8));
  }

  get length(): number {
    return Number(this.#fields[Field.length]);
  }

  /** Where the bytes are, for another thread that works on them while nothing is appended here. */
  get address(): number {
    return Number(this.#fields[Field.data]);
  }

  /** The bytes in the buffer, without a copy. */
  view(): Uint8Array {
    const generation = this.#fields[Field.generation] as bigint;
    if (generation !== this.#generation) {
      const address = Number(this.#fields[Field.data]) as Pointer;
      const capacity = Number(this.#fields[Field.capacity]);
      assert(capacity === 0 || Number(address) !== 0, "a buffer with capacity has memory");
      this.#bytes = capacity === 0 ? new Uint8Array(0) : new Uint8Array(toArrayBuffer(address, 0, capacity));
      this.#generation = generation;
    }
    return this.#bytes.subarray(0, this.length);
  }

  /** Forgets the bytes; the memory is kept for the next ones. */
  clear(): void {
    this.#fields[Field.length] = 0n;
  }

  /** A copy of the bytes, which are then forgotten. */
  take(): Uint8Array {
    const copy = this.view().slice();
    this.clear();
    return copy;
  }
}
