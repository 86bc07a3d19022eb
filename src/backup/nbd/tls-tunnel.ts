/**
 * The two ends of a connection that has become TLS: what the client sends goes to the listener with TLS on this process's
 * loopback, and what that answers goes to the client.
 *
 * Invariant: each side is paused while the other does not take bytes; when one ends, so does the other.
 */
import type { Net, Socket } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";

const HIGH_BYTES = 1 << 20;
const BYTES_MAX = 16 << 20;

export class TlsTunnel {
  readonly #client: Socket;
  #inside: Socket | undefined;
  #outbox: Outbox | undefined;
  /** Bytes of the client from before the connection to the inside was made. */
  #early: Uint8Array[] = [];
  #isClosed = false;

  constructor(net: Net, port: number, client: Socket, clientOutbox: Outbox) {
    this.#client = client;
    client.pause();
    net
      .connect<undefined>({
        host: "127.0.0.1",
        port,
        handlers: {
          open: (socket) => void this.#opened(socket),
          data: (_socket, _data, chunk) => clientOutbox.send(chunk),
          drain: () => this.#outbox?.drain(),
          close: () => this.close(),
        },
      })
      .catch(() => this.close());
  }

  #opened(socket: Socket): void {
    if (this.#isClosed) return socket.terminate();
    this.#inside = socket;
    this.#outbox = new Outbox(socket, {
      bytesMax: BYTES_MAX,
      highBytes: HIGH_BYTES,
      onHigh: () => this.#client.pause(),
      onLow: () => this.#client.resume(),
    });
    for (const bytes of this.#early.splice(0)) this.#outbox.send(bytes);
    this.#client.resume();
  }

  send(chunk: Uint8Array): void {
    if (this.#outbox === undefined) this.#early.push(chunk.slice());
    else this.#outbox.send(chunk);
  }

  /** The client does not take what comes from the inside. */
  holdInside(isOn: boolean): void {
    if (isOn) this.#inside?.pause();
    else this.#inside?.resume();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#inside?.terminate();
    this.#client.terminate();
  }
}
