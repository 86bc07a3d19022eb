/**
 * The bytes of one copy (copy-file.ts) that replicas may still have to be sent: a window that moves on.
 *
 * Invariant: offsets are those of the file, and never change; `take` gives bytes from the window or nothing.
 */
export class Generation {
  readonly number: number;
  readonly name: string;
  readonly #pieces: { offset: number; bytes: Uint8Array }[] = [];
  #end = 0;
  /** Where the snapshot is whole; undefined while it is being written. */
  completeAt: number | undefined;

  constructor(number: number, name: string) {
    this.number = number;
    this.name = name;
  }

  /** The first byte that is kept. */
  get start(): number {
    return this.#pieces[0]?.offset ?? this.#end;
  }

  get end(): number {
    return this.#end;
  }

  get keptBytes(): number {
    return this.#end - this.start;
  }

  append(bytes: Uint8Array): void {
    this.#pieces.push({ offset: this.#end, bytes });
    this.#end += bytes.byteLength;
  }

  /** Forgets whole pieces before `offset`. */
  trim(offset: number): void {
    let count = 0;
    for (const piece of this.#pieces) {
      if (piece.offset + piece.bytes.byteLength > offset) break;
      count++;
    }
    this.#pieces.splice(0, count);
  }

  /** The bytes of one piece from `offset` on; undefined at the end. */
  take(offset: number): Uint8Array | undefined {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { offset: start, bytes } = this.#pieces[middle] as { offset: number; bytes: Uint8Array };
      if (start + bytes.byteLength <= offset) low = middle + 1;
      else high = middle;
    }
    const piece = this.#pieces[low];
    return piece === undefined || piece.offset > offset
      ? undefined
      : piece.bytes.subarray(offset - piece.offset);
  }
}
