/** Messages as JSON in frames, for what workers say rarely. A message that is not JSON throws a WireError. */
import { textOf, WireError } from "../wire/bytes.ts";
import { frameOf, FrameReader } from "../wire/frame.ts";

/** The longest one lists streams of acknowledged senders, at some hundred bytes each. */
export const MESSAGE_BYTES_MAX = 32 << 20;
const encoder = new TextEncoder();

export function jsonFrame(message: unknown): Uint8Array {
  return frameOf(encoder.encode(JSON.stringify(message)));
}

export class JsonFrameReader {
  readonly #frames: FrameReader;

  constructor(messageBytesMax = () => MESSAGE_BYTES_MAX) {
    this.#frames = new FrameReader(messageBytesMax);
  }

  feed(chunk: Uint8Array, onMessage: (message: unknown) => void): void {
    this.#frames.feed(chunk, (bytes, start, end) => {
      let message: unknown;
      try {
        message = JSON.parse(textOf(bytes.subarray(start, end)));
      } catch {
        throw new WireError("a message is not JSON");
      }
      onMessage(message);
    });
  }
}
