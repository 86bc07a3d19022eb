/** Fields of a payload, taken in order. Throws NX_CONNECT_FAILED when it ends before the field does. */
import { NxError } from "../../../core/errors.ts";
import type { Range } from "../legacy/protocol.ts";

export type Field = Uint8Array;

export class PayloadReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at)
      throw new NxError("NX_CONNECT_FAILED", "the node sent a message that is too short");
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  range(): Range {
    return { min: this.u64(), max: this.u64() };
  }

  array(): Field {
    const length = Number(this.u64());
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Field {
    return this.#bytes.subarray(this.#take(this.#bytes.byteLength - this.#at));
  }
}
