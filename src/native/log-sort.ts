/**
 * The C sorter of a log that was read in place (native/blocks/log-sort.h): batches of stretches to read, packs out.
 *
 * Invariant: one call for each batch; the pieces stay in C, 40 bytes each.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { addressable } from "./addressable.ts";
import { OwnedBuffer } from "./blocks.ts";
import type { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";
import type { LogReader } from "./log-reader.ts";

const symbols = {
  nx_log_sort_new: { args: ["ptr", "u32", "u32", "u32"], returns: "ptr" },
  nx_log_sort_free: { args: ["ptr"], returns: "void" },
  nx_log_sort_records: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_log_sort_next: { args: ["ptr", "ptr", "u64"], returns: FFIType.u64_fast },
  nx_log_sort_bytes: { args: ["ptr"], returns: FFIType.u64_fast },
  nx_log_sort_pack: { args: ["ptr", "ptr", "u64", "ptr"], returns: "bool" },
  nx_log_sort_swap: { args: ["ptr", "ptr", "ptr"], returns: "void" },
  nx_log_sort_end: { args: ["ptr", "ptr"], returns: "void" },
} as const;

const library = linked(symbols);

export interface LogSortOptions {
  codec: number;
  level: number;
  /** Longer records are split; 0 leaves them. */
  blocksMax: number;
}

/** Takes over the writes of a reader. `free` it. */
export class LogSort {
  readonly #sort: Pointer;
  /** What the batch needs: nx_stretch structs. */
  readonly stretches = new OwnedBuffer();
  #out = new OwnedBuffer();
  #other = new OwnedBuffer();

  constructor(reader: LogReader, { codec, level, blocksMax }: LogSortOptions) {
    this.#sort = library().nx_log_sort_new(reader.handle, codec, level, blocksMax) as Pointer;
  }

  get records(): number {
    return Number(library().nx_log_sort_records(this.#sort));
  }

  /** Begins a batch of about so many bytes; false when none is left. */
  next(bytes: number): boolean {
    return Number(library().nx_log_sort_next(this.#sort, this.stretches.pointer, bytes)) > 0;
  }

  /** Bytes of content of the batch. */
  get bytes(): number {
    return Number(library().nx_log_sort_bytes(this.#sort));
  }

  /** Packs the batch; false when the content is not what was in the log. */
  pack(content: Uint8Array): boolean {
    const { nx_log_sort_pack: pack } = library();
    return pack(this.#sort, addressable(content), content.byteLength, this.#out.pointer);
  }

  /** The complete packs. They stay while the next batch is packed, until the call after that. */
  take(): NativeBuffer {
    library().nx_log_sort_swap(this.#sort, this.#out.pointer, this.#other.pointer);
    const taken = this.#out;
    [this.#out, this.#other] = [this.#other, this.#out];
    return taken;
  }

  /** The last pack. */
  end(): NativeBuffer {
    library().nx_log_sort_end(this.#sort, this.#out.pointer);
    return this.#out;
  }

  free(): void {
    library().nx_log_sort_free(this.#sort);
    for (const buffer of [this.stretches, this.#out, this.#other]) buffer.free();
  }
}
