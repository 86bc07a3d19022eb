/**
 * One connection of the WalB protocol: bytes taken in order, bytes sent with back-pressure, a limit for silence.
 *
 * Invariant: at most a few chunks wait in memory; the peer is paused before. Whoever waits for bytes or for room is told
 * when the connection ends. A crash or a cut leaves nothing behind: what was announced but not acknowledged did not happen.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Net, Socket, SocketHandlers } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import type { RateLimit } from "./rate-limit.ts";
import { type ByteFeed, Reader, Writer } from "./serial.ts";

const WAITING_BYTES_HIGH = 4 << 20;
const OUTBOX_BYTES_HIGH = 1 << 20;
const OUTBOX_BYTES_MAX = 256 << 20;
/** What is sent under a limit goes in parts of this length, so that the peer never waits long for the next. */
const LIMITED_BYTES = 64 << 10;

function gone(reason: string): NxError {
  return new NxError("NX_CONNECT_FAILED", `the connection ended: ${reason}`);
}

export interface ConversationOptions {
  clock: Clock;
  /** Silence of the peer while we wait for it ends the connection, and the wait for one. 0: never. */
  timeoutMs: number;
  /** Of what is sent. */
  limit?: RateLimit | undefined;
}

export class Conversation implements ByteFeed {
  readonly reader = new Reader(this);
  readonly #options: ConversationOptions;
  readonly #chunks: Uint8Array[] = [];
  #waiting = 0;
  #socket: Socket | undefined;
  #outbox: Outbox | undefined;
  #isPaused = false;
  #ended: Error | undefined;
  #wake: (() => void) | undefined;
  #roomWaiters: (() => void)[] = [];
  #isHigh = false;
  readonly #watches = new Set<Timer>();
  onClose: (() => void) | undefined;
  bytesReceived = 0;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  /** The handlers of the socket that carries it. */
  handlers(onOpen?: (conversation: Conversation) => void): SocketHandlers<Conversation> {
    return {
      open: (socket) => {
        this.#socket = socket;
        // Nobody waits for it any more.
        if (this.#ended !== undefined) socket.terminate();
        this.#outbox = new Outbox(socket, {
          bytesMax: OUTBOX_BYTES_MAX,
          highBytes: OUTBOX_BYTES_HIGH,
          onHigh: () => (this.#isHigh = true),
          onLow: () => this.#low(),
          onDrained: () => this.#low(),
        });
        onOpen?.(this);
        return this;
      },
      data: (_socket, _self, chunk) => this.#data(chunk),
      drain: () => this.#outbox?.drain(),
      close: (_socket, _self, error) => this.#close(gone(error?.message ?? "the peer closed it")),
    };
  }

  static async connect(
    net: Net,
    host: string,
    port: number,
    options: ConversationOptions,
  ): Promise<Conversation> {
    const conversation = new Conversation(options);
    const connecting = net.connect({ host, port, handlers: conversation.handlers() });
    await conversation.#inTime(connecting, `${host}:${port}`);
    return conversation;
  }

  /** A host that is gone refuses nothing: without this the kernel would try for minutes. */
  async #inTime(connecting: Promise<unknown>, where: string): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    if (timeoutMs === 0) return void (await connecting);
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = clock.after(timeoutMs, () => {
      const reason = `${where} did not answer for ${timeoutMs / 1000} s`;
      this.terminate(reason);
      reject(new NxError("NX_CONNECT_FAILED", `no connection: ${reason}`, { hint: "is the host up?" }));
    });
    connecting.catch(() => undefined);
    try {
      await Promise.race([connecting, tooLate]);
    } finally {
      timer.cancel();
    }
  }

  get remoteAddress(): string {
    return this.#socket?.remoteAddress ?? "";
  }

  get isClosed(): boolean {
    return this.#ended !== undefined;
  }

  #data(chunk: Uint8Array): void {
    this.#chunks.push(chunk.slice());
    this.#waiting += chunk.byteLength;
    this.bytesReceived += chunk.byteLength;
    if (this.#waiting > WAITING_BYTES_HIGH && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket?.pause();
    }
    this.#wake?.();
  }

  #low(): void {
    this.#isHigh = false;
    for (const waiter of this.#roomWaiters.splice(0)) waiter();
  }

  #close(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    for (const watch of this.#watches) watch.cancel();
    this.#outbox?.close();
    this.#wake?.();
    this.#low();
    this.onClose?.();
  }

  #resume(): void {
    if (!this.#isPaused || this.#waiting > WAITING_BYTES_HIGH / 2) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Waits for the next bytes; throws when the connection ends first or the peer is silent for too long. */
  async #more(): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    const unwatch = this.#watch(`the peer said nothing for ${this.#options.timeoutMs / 1000} s`);
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    unwatch();
    if (this.#chunks.length === 0 && this.#ended !== undefined) throw this.#ended;
  }

  /**
   * Ends the connection after the time for silence, unless the result is called before. A peer that takes of what waits for it
   * is not silent: over a slow link a long message takes longer than that.
   */
  #watch(reason: string): () => void {
    const { clock, timeoutMs } = this.#options;
    if (timeoutMs === 0) return () => undefined;
    let taken = this.#outbox?.takenBytes;
    const watch = clock.every(timeoutMs, () => {
      const before = taken;
      taken = this.#outbox?.takenBytes;
      if (taken === before) this.terminate(reason);
    });
    this.#watches.add(watch);
    return () => {
      watch.cancel();
      this.#watches.delete(watch);
    };
  }

  async take(length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0);
    while (this.#chunks.length === 0) await this.#more();
    const first = this.#chunks[0] as Uint8Array;
    if (first.byteLength >= length) {
      if (first.byteLength === length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      this.#waiting -= length;
      this.#resume();
      return first.subarray(0, length);
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      while (this.#chunks.length === 0) await this.#more();
      const chunk = this.#chunks[0] as Uint8Array;
      const part = chunk.subarray(0, length - done);
      bytes.set(part, done);
      done += part.byteLength;
      this.#waiting -= part.byteLength;
      if (part.byteLength === chunk.byteLength) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.byteLength);
      this.#resume();
    }
    return bytes;
  }

  /** Sends what was written; resolves when there is room for more. Under a limit one message after the other. */
  async send(writer: Writer | Uint8Array): Promise<void> {
    const bytes = writer instanceof Writer ? writer.bytes : writer;
    const { limit } = this.#options;
    if (limit === undefined) return await this.#hand(bytes);
    for (let at = 0; at < bytes.byteLength; at += LIMITED_BYTES) {
      const part = bytes.subarray(at, at + LIMITED_BYTES);
      await limit.take(part.byteLength);
      await this.#hand(part);
    }
  }

  async #hand(bytes: Uint8Array): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#outbox?.send(bytes);
    if (!this.#isHigh) return;
    const unwatch = this.#watch("the peer stopped reading");
    await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
    unwatch();
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** Sends what waits, then closes. */
  end(): void {
    this.#outbox?.end();
  }

  terminate(reason: string): void {
    this.#close(gone(reason));
    this.#socket?.terminate();
  }

  /** Resolves when the peer has closed, or after its silence. */
  async closed(): Promise<void> {
    while (this.#ended === undefined) {
      this.#chunks.length = 0;
      this.#waiting = 0;
      await this.#more().catch(() => undefined);
    }
  }
}
