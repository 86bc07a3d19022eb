/** Cuts a stream of bytes into lines, each of which is a message. Invariant: no more than one unfinished line is kept, bounded. */

/** A watch that catches up may be sent a thousand revisions in one line. */
const LINE_BYTES_MAX = 1 << 30;
const NEWLINE = 10;

export class LineReader {
  readonly #onLine: (line: string) => void;
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Throws for a line that is too long, and what `onLine` throws. */
  add(chunk: Uint8Array): void {
    let rest = chunk;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      this.#keep(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const line = Buffer.concat(this.#pieces).toString("utf8").trim();
      this.#pieces = [];
      this.#bytes = 0;
      if (line !== "") this.#onLine(line);
    }
    this.#keep(rest);
  }

  #keep(piece: Uint8Array): void {
    if (piece.byteLength === 0) return;
    this.#bytes += piece.byteLength;
    if (this.#bytes > LINE_BYTES_MAX) throw new Error(`a line has more than ${LINE_BYTES_MAX} bytes`);
    this.#pieces.push(piece.slice());
  }
}
