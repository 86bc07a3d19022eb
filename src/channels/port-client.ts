/** One client of a port: its connection in the engine, its held replies, its outbox, and its seat among the others. */
import type { Socket } from "../core/seams/net.ts";
import type { Admission, ConnectionTable } from "../core/sockets/connections.ts";
import type { SpareBuffers } from "../core/sockets/spare-buffers.ts";
import { TurnSeat } from "./fair-turns.ts";
import { GatedClient } from "./gated-client.ts";

/** What a client tells its port, and asks of it. */
export interface ClientsPort<Client> {
  /** How many of so many bytes may leave now. */
  partOf(bytes: number): number;
  goOnLater(client: Client): void;
  goOnNext(client: Client): void;
  reportSlow(client: Client, bytes: number): void;
}

export class PortClient<Connection> extends GatedClient {
  readonly connection: Connection;
  readonly admission: Admission<PortClient<Connection>>;
  /** Nothing may be fed before the engine has gone on. */
  isStopped = false;
  readonly seat = new TurnSeat();
  /** Of what it sent, what waits for its time. */
  kept: Uint8Array | undefined;
  readonly #port: ClientsPort<PortClient<Connection>>;

  constructor(
    port: ClientsPort<PortClient<Connection>>,
    socket: Socket,
    connection: Connection,
    bytesMax: number,
    spares: SpareBuffers,
    table: ConnectionTable<PortClient<Connection>>,
  ) {
    super(socket, bytesMax, spares);
    this.#port = port;
    this.connection = connection;
    this.admission = table.add(this);
  }

  protected partOf(bytes: number): number {
    return this.#port.partOf(bytes);
  }

  protected onPart(): void {
    this.#port.goOnNext(this);
  }

  protected onReady(): void {
    this.#port.goOnLater(this);
  }

  protected onOverflow(bytes: number): void {
    this.#port.reportSlow(this, bytes);
  }
}
