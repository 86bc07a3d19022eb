/**
 * A two-way stream of bytes to the other end, whatever carries it: pipes of a child, of ssh, or of this
 * process.
 */
export interface ByteStream {
  /** Ends when the other end closed or died. */
  incoming: AsyncIterable<Uint8Array>;
  /** Resolves when there is room for more. Throws when the other end is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** Says goodbye; the other end sees the end of its input. */
  close(): void;
}

/** Two ends in one process, for tests and for the operator's own host. */
export function streamPair(): [ByteStream, ByteStream] {
  const [there, back] = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()];
  return [end(there, back), end(back, there)];
}

function end(from: TransformStream<Uint8Array>, to: TransformStream<Uint8Array>): ByteStream {
  const writer = to.writable.getWriter();
  return {
    incoming: from.readable,
    write: (bytes) => writer.write(bytes),
    close: () => void writer.close().catch(() => undefined),
  };
}
