/**
 * The listener of a source, whatever its clients speak: how many there may be, and that they are not read while the source
 * rests.
 *
 * Invariant: while it rests nothing is handed over; what arrives all the same waits and is handed over first, in its
 * order, when it goes on. Handing over may bring the source to rest again: then the rest waits on.
 */
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { copyOf } from "../wire/bytes.ts";

export interface SourcePortOptions<Client extends PortClient> {
  net: Net;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  connectionsMax: number;
  open(socket: Socket): Client;
  /** `chunk` is only valid during the call. */
  onChunk(client: Client, chunk: Uint8Array): void;
  /** What had waited of this client was handed over, and it is read again. */
  onResumed?(client: Client): void;
  onDrain?(client: Client): void;
  onClose?(client: Client): void;
  /** What arrived before the end of a connection still counts. */
  keepsWaiting: boolean;
}

export class PortClient {
  readonly socket: Socket;
  /** Chunks that arrived although the source rests. */
  waiting: Uint8Array[] = [];
  isGone = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

export class SourcePort<Client extends PortClient> {
  readonly #options: SourcePortOptions<Client>;
  readonly clients = new Set<Client>();
  #listener: Listener | undefined;
  #rests = true;
  /** Connections that were one too many. */
  refused = 0;

  constructor(options: SourcePortOptions<Client>) {
    this.#options = options;
  }

  get rests(): boolean {
    return this.#rests;
  }

  /** `host:port`, once it listens. */
  get address(): string {
    return `${this.#options.host}:${this.#listener?.port ?? 0}`;
  }

  async listen(): Promise<number> {
    const { net, host, port, tls, onDrain } = this.#options;
    this.#listener = await net.listen<Client | undefined>({
      ...{ host, port, ...(tls !== undefined && { tls }) },
      handlers: {
        open: (socket) => this.#admit(socket),
        data: (_socket, client, chunk) => {
          if (client !== undefined) this.#take(client, chunk);
        },
        drain: (_socket, client) => {
          if (client !== undefined) onDrain?.(client);
        },
        close: (_socket, client) => {
          if (client !== undefined) this.#closed(client);
        },
      },
    });
    return this.#listener.port;
  }

  #admit(socket: Socket): Client | undefined {
    if (this.clients.size >= this.#options.connectionsMax) {
      this.refused += 1;
      socket.terminate();
      return undefined;
    }
    const client = this.#options.open(socket);
    this.clients.add(client);
    if (this.#rests) socket.pause();
    return client;
  }

  #take(client: Client, chunk: Uint8Array): void {
    if (this.#rests) client.waiting.push(copyOf(chunk));
    else this.#options.onChunk(client, chunk);
  }

  #closed(client: Client): void {
    client.isGone = true;
    if (!this.#options.keepsWaiting || client.waiting.length === 0) this.clients.delete(client);
    this.#options.onClose?.(client);
  }

  /** Hands over what waits, then reads on. */
  go(): void {
    if (!this.#rests) return;
    this.#rests = false;
    for (const client of [...this.clients]) {
      if (this.#rests) return;
      for (const chunk of client.waiting.splice(0)) this.#take(client, chunk);
      if (this.#rests) return;
      if (client.isGone) this.clients.delete(client);
      else client.socket.resume();
      this.#options.onResumed?.(client);
    }
  }

  rest(): void {
    if (this.#rests) return;
    this.#rests = true;
    for (const { socket } of this.clients) socket.pause();
  }

  close(): void {
    this.#listener?.stop();
    for (const { socket } of this.clients) socket.terminate();
  }
}
