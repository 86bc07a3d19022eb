/** Logs and bulks as the bytes of their streams (native/volume/ship.h): one call for each part. */
import { FFIType, type Pointer } from "bun:ffi";
import { addressable } from "./addressable.ts";
import { OwnedBuffer } from "./blocks.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_codec_new: { args: [], returns: "ptr" },
  nx_codec_free: { args: ["ptr"], returns: "void" },
  nx_ship_packs: { args: ["ptr", "u32", "u32", "u64", "ptr", "u64", "ptr"], returns: FFIType.i64_fast },
  nx_ship_bulks: { args: ["ptr", "u32", "u32", "u64", "ptr", "u64", "ptr"], returns: "void" },
} as const;

const native = linked(symbols);

/** Frames parts of streams; `close` it. */
export class StreamFramer {
  readonly #codec = native().nx_codec_new() as Pointer;
  readonly #out = new OwnedBuffer();

  /** The chunks of all whole packs in `log`, and how many bytes of it those are; undefined: a header is not sound. */
  packs(
    log: Uint8Array,
    { physicalBytes, salt, lsid }: { physicalBytes: number; salt: number; lsid: bigint },
  ): { framed: Uint8Array; taken: number } | undefined {
    const { nx_ship_packs: ship } = native();
    const taken = Number(
      ship(this.#codec, physicalBytes, salt, lsid, addressable(log), log.byteLength, this.#out.pointer),
    );
    const framed = this.#out.take();
    return taken < 0 ? undefined : { framed, taken };
  }

  bulks(content: Uint8Array, bulkBytes: number, codec: number, level: number): Uint8Array {
    const { nx_ship_bulks: ship } = native();
    ship(this.#codec, codec, level, bulkBytes, addressable(content), content.byteLength, this.#out.pointer);
    return this.#out.take();
  }

  close(): void {
    native().nx_codec_free(this.#codec);
    this.#out.free();
  }
}
