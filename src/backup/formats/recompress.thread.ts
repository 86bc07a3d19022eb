/** A thread that compresses packs, for compressions that take long (compressed-packs.ts). */
import { serveCalls } from "../../core/threads/thread-calls.ts";
import { recompressPack } from "../../native/recompress.ts";

export interface RecompressRequest {
  pack: Uint8Array;
  codec: number;
  level: number;
}

serveCalls(({ pack, codec, level }: RecompressRequest) => {
  const reply = recompressPack(pack, codec, level);
  return { reply, transfer: reply === undefined ? [] : [reply.buffer as ArrayBuffer] };
});
