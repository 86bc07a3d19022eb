/** The C compression of whole packs (native/blocks/recompress.h). */
import { addressable } from "./addressable.ts";
import { OwnedBuffer } from "./blocks.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_pack_recompress: { args: ["ptr", "u64", "u32", "u32", "ptr"], returns: "i32" },
} as const;

const library = linked(symbols);

/** A copy of the pack with its records compressed; undefined when it is no sound pack. */
export function recompressPack(pack: Uint8Array, codec: number, level: number): Uint8Array | undefined {
  const out = new OwnedBuffer();
  try {
    const { nx_pack_recompress: recompress } = library();
    const result = recompress(addressable(pack), pack.byteLength, codec, level, out.pointer);
    return result === 0 ? out.take() : undefined;
  } finally {
    out.free();
  }
}
