/** Pages out of zstd frames; whatever the bytes are, no more than the page is taken from them. */
import { Decompressor } from "zstd-napi";

/** Undefined when the frame is malformed or does not hold exactly `pageBytes`. */
export function decompressPage(frame: Uint8Array, pageBytes: number): Uint8Array | undefined {
  try {
    // A frame of ours says its content's size, which is checked against the block's header before memory is taken.
    if (contentSize(frame) !== pageBytes) return undefined;
    const page = new Decompressor().decompress(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength));
    return page.byteLength === pageBytes ? page : undefined;
  } catch {
    return undefined;
  }
}

/** The size that the header of a frame tells (RFC 8878, 3.1.1.1); -1 when it tells none. */
function contentSize(frame: Uint8Array): number {
  if (frame.byteLength < 18)
    return frame.byteLength < 6 ? -1 : sizeField(Buffer.concat([frame, Buffer.alloc(18)]));
  return sizeField(frame);
}

function sizeField(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== 0xfd2fb528) return -1;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] as number);
  switch (descriptor >> 6) {
    case 0:
      return isSingleSegment ? view.getUint8(at) : -1;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
