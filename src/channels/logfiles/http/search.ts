/** The answer to a search as a stream: pieces are made as the reader takes them, and never more than durable ones. */
import type { Pieces } from "../scan/scan.ts";
import type { LogStore } from "../store/log-store.ts";

const LINE_END = 0x0a;

/** Cuts a stream of lines behind so many. */
export class LineLimit {
  #left: number;

  constructor(limit: number | undefined) {
    this.#left = limit ?? Number.POSITIVE_INFINITY;
  }

  get isReached(): boolean {
    return this.#left <= 0;
  }

  take(piece: Uint8Array): Uint8Array {
    if (this.#left === Number.POSITIVE_INFINITY) return piece;
    let at = 0;
    while (at < piece.byteLength && this.#left > 0) {
      const end = piece.indexOf(LINE_END, at);
      at = end < 0 ? piece.byteLength : end + 1;
      this.#left -= 1;
    }
    return piece.subarray(0, at);
  }
}

/**
 * The stream of a scan whose `first` piece was read already, so that a question that cannot be answered is known before
 * the answer begins. A failure on the way is told as a last line and by breaking the connection off.
 */
export function streamOf(
  store: LogStore,
  pieces: Pieces,
  first: Uint8Array | undefined,
  limit: LineLimit,
): ReadableStream<Uint8Array> {
  let next: Uint8Array | undefined = first;
  let isClosed = false;
  const close = async () => {
    if (!isClosed) {
      isClosed = true;
      await pieces.close();
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          while (next !== undefined && next.byteLength === 0) next = await pieces.next();
          if (next === undefined || limit.isReached) {
            await close();
            controller.close();
            return;
          }
          // Nobody sees a record that power loss could still take.
          await store.whenDurable();
          controller.enqueue(limit.take(next));
          next = limit.isReached ? undefined : await pieces.next();
        } catch (error) {
          await close();
          controller.enqueue(Buffer.from(`${JSON.stringify({ error: (error as Error).message })}\n`));
          controller.error(error);
        }
      },
      cancel: close,
    },
    { highWaterMark: 0 },
  );
}
