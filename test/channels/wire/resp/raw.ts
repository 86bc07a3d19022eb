/**
 * Raw RESP on both sides of a test: requests from words, replies cut out of a byte stream, a client that
 * keeps bytes.
 */

export type Word = string | Uint8Array;

/** A request as an array of bulk strings. */
export function encode(words: Word[]): Buffer {
  const parts = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = Buffer.from(word as Uint8Array);
    parts.push(Buffer.from(`$${bytes.byteLength}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** The offset behind the reply that starts at `start`, or -1 when it is not complete. */
export function replyEnd(bytes: Buffer, start: number): number {
  const newline = bytes.indexOf("\r\n", start);
  if (newline < 0) return -1;
  const type = String.fromCharCode(bytes[start] ?? 0);
  const number = Number(bytes.toString("latin1", start + 1, newline));
  let end = newline + 2;
  if (type === "$" || type === "=") {
    if (number < 0) return end;
    end += number + 2;
    return end <= bytes.byteLength ? end : -1;
  }
  const members = type === "*" || type === "~" ? Math.max(number, 0) : type === "%" ? number * 2 : 0;
  for (let member = 0; member < members; member++) {
    end = replyEnd(bytes, end);
    if (end < 0) return -1;
  }
  return end;
}

/** Cuts a stream of complete replies. Throws when bytes are left over. */
export function cutReplies(bytes: Buffer): Buffer[] {
  const replies: Buffer[] = [];
  for (let start = 0; start < bytes.byteLength;) {
    const end = replyEnd(bytes, start);
    if (end < 0) throw new Error(`incomplete reply: ${JSON.stringify(bytes.toString("latin1", start))}`);
    replies.push(bytes.subarray(start, end));
    start = end;
  }
  return replies;
}

export class RawClient implements AsyncDisposable {
  #received: Buffer = Buffer.alloc(0);
  readonly #chunks: Buffer[] = [];
  #wake: () => void = () => {};
  #isClosed = false;
  #waiting: Uint8Array = new Uint8Array(0);
  #socket!: Bun.Socket;

  static async connect(port: number): Promise<RawClient> {
    const client = new RawClient();
    client.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, chunk) => {
          client.#chunks.push(Buffer.from(chunk));
          client.#wake();
        },
        drain: () => client.#flush(),
        close: () => {
          client.#isClosed = true;
          client.#wake();
        },
        error: () => {
          client.#isClosed = true;
          client.#wake();
        },
      },
    });
    return client;
  }

  send(bytes: Uint8Array): void {
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
    this.#flush();
  }

  #flush(): void {
    const taken = this.#socket.write(this.#waiting);
    this.#waiting = this.#waiting.subarray(Math.max(taken, 0));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The next `count` replies, fewer when the server closes before. */
  async replies(count: number): Promise<Buffer[]> {
    const replies: Buffer[] = [];
    let start = 0;
    while (replies.length < count) {
      this.#gather();
      const end = replyEnd(this.#received, start);
      if (end >= 0) {
        replies.push(this.#received.subarray(start, end));
        start = end;
        continue;
      }
      if (this.#isClosed) break;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#received = this.#received.subarray(start);
    return replies;
  }

  /** Waits for that many bytes and forgets them; false when the server closes before. */
  async skip(length: number): Promise<boolean> {
    let missing = length - this.#received.byteLength;
    this.#received = Buffer.alloc(0);
    for (;;) {
      for (const chunk of this.#chunks.splice(0)) missing -= chunk.byteLength;
      if (missing <= 0 || this.#isClosed) return missing === 0;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async command(...words: Word[]): Promise<Buffer> {
    this.send(encode(words));
    const [reply] = await this.replies(1);
    if (reply === undefined)
      throw new Error(`connection closed after ${String(words[0])} ${String(words[1]).slice(0, 60)}`);
    return reply;
  }

  #gather(): void {
    if (this.#chunks.length > 0) this.#received = Buffer.concat([this.#received, ...this.#chunks.splice(0)]);
  }

  /** Everything until the server closes. */
  async untilClosed(): Promise<Buffer> {
    while (!this.#isClosed) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#gather();
    return this.#received;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate();
  }
}
