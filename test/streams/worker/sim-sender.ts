/**
 * An acknowledged sender as the connector protocol wants it, over any world: keeps what is not acknowledged, waits for
 * credits, and starts again where it is told. One stream for each key, message ids from 1.
 */
import type { World } from "../../../src/core/role.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import { Outbox } from "../../../src/core/sockets/outbox.ts";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import {
  CONNECTOR_VERSION,
  type ConnectorFrame,
  connectorFrame,
  readConnectorFrame,
} from "../../../src/streams/wire/connector.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";

const SILENCE_MS = 3000;
const RETRY_MS = 50;

interface Stream {
  id: bigint;
  key: string;
  /** The next value to send, and the highest one that ever was. */
  next: number;
  highest: number;
  acked: number;
  isOpen: boolean;
}

export interface SendTo {
  address: string;
  port: number;
  /** The number of its first stream: senders of one source need different ones. 1 when absent. */
  firstStream?: number;
  /** The record with this number of a stream; u64 number and key when absent. */
  payloadOf?(key: string, number: number): Uint8Array;
}

const counter = (key: string, number: number) => new ByteWriter().u64(number).raw(Buffer.from(key)).done();

export class AckedSender {
  readonly #world: Pick<World, "clock" | "net">;
  #to: SendTo;
  readonly #streams: Stream[];
  #count: number;
  #outbox: Outbox | undefined;
  #socket: Socket | undefined;
  #credits = 0;
  #turn = 0;
  #heardAtMs = 0;
  restarts = 0;
  errors: string[] = [];

  constructor(
    world: Pick<World, "clock" | "net">,
    to: SendTo,
    keys: readonly string[],
    count: number,
    pauseMs = 2,
  ) {
    this.#world = world;
    this.#to = to;
    this.#count = count;
    this.#streams = keys.map((key, index) => ({
      id: BigInt(index + (to.firstStream ?? 1)),
      key,
      next: 1,
      highest: 1,
      acked: 0,
      isOpen: false,
    }));
    void this.#connect();
    world.clock.every(pauseMs, () => this.#pump());
  }

  get isDone(): boolean {
    return this.#streams.every(({ acked }) => acked === this.#count);
  }

  get acked(): number {
    return this.#streams.reduce((sum, { acked }) => sum + acked, 0);
  }

  /** From the next connection on it sends to this host. */
  turnTo(address: string): void {
    this.#to = { ...this.#to, address };
    this.#socket?.terminate();
  }

  /** Ends all streams at the same value, one that none of them has passed; returns it. */
  finish(): number {
    this.#count = Math.max(...this.#streams.map(({ highest }) => highest));
    return this.#count;
  }

  async #connect(): Promise<void> {
    const frames = new FrameReader();
    try {
      await this.#world.net.connect<undefined>({
        host: this.#to.address,
        port: this.#to.port,
        handlers: {
          open: (socket) => {
            this.#socket = socket;
            this.#outbox = new Outbox(socket, { bytesMax: 1 << 24 });
            this.#send({
              type: "hello",
              version: CONNECTOR_VERSION,
              cookie: "",
              program: "sim",
              instance: "1",
            });
          },
          data: (_socket, _state, chunk) => {
            this.#heardAtMs = this.#world.clock.monotonicMs();
            frames.feed(chunk, (bytes, start, end) => this.#hear(readConnectorFrame(bytes, start, end)));
          },
          drain: () => this.#outbox?.drain(),
          close: () => this.#lost(),
        },
      });
    } catch {
      this.#lost();
    }
  }

  #lost(): void {
    this.#outbox?.close();
    this.#outbox = undefined;
    this.#credits = 0;
    for (const stream of this.#streams) stream.isOpen = false;
    this.#world.clock.after(20, () => void this.#connect());
  }

  #send(frame: ConnectorFrame): void {
    this.#outbox?.send(connectorFrame(frame));
  }

  #hear(frame: ConnectorFrame): void {
    switch (frame.type) {
      case "ok":
        this.#credits = frame.credits;
        for (const { id, key, next } of this.#streams) {
          this.#credits -= 1;
          this.#send({ type: "notify", streamId: id, name: key, position: next - 1 });
        }
        break;
      case "notifyAck": {
        const stream = this.#streams.find(({ id }) => id === frame.streamId) as Stream;
        if (frame.isAccepted && (frame.position ?? 0) < stream.acked)
          this.errors.push(`${stream.key} was forgotten`);
        stream.isOpen = frame.isAccepted;
        stream.next = (frame.position ?? 0) + 1;
        // The worker has not noticed yet that the connection before is gone.
        if (!frame.isAccepted) this.#world.clock.after(RETRY_MS, () => this.#socket?.terminate());
        break;
      }
      case "ack":
        this.#credits += frame.credits;
        for (const { streamId, position } of frame.positions) {
          const stream = this.#streams.find(({ id }) => id === streamId) as Stream;
          if (position !== undefined && position < stream.acked)
            this.errors.push(`${stream.key} was taken back`);
          stream.acked = Math.max(stream.acked, position ?? 0);
        }
        break;
      case "restart":
        this.restarts += 1;
        if (frame.address !== "") {
          const [address = "", port] = frame.address.split(":");
          this.#to = { ...this.#to, address, port: Number(port) };
        }
        this.#socket?.terminate();
        break;
      case "error":
        this.errors.push(frame.text);
        break;
    }
  }

  /** A host that lost its power says nothing: whoever waits for it has to give up by himself. */
  #isSilent(): boolean {
    return !this.isDone && this.#world.clock.monotonicMs() - this.#heardAtMs > SILENCE_MS;
  }

  /** A few values of each stream, as long as there are credits. */
  #pump(): void {
    if (this.#isSilent()) {
      this.#heardAtMs = this.#world.clock.monotonicMs();
      this.#socket?.terminate();
    }
    for (let sent = 0; sent < this.#streams.length; sent++) {
      const stream = this.#streams[this.#turn++ % this.#streams.length] as Stream;
      if (!stream.isOpen || stream.next > this.#count || this.#credits <= 0) continue;
      const payload = (this.#to.payloadOf ?? counter)(stream.key, stream.next);
      this.#credits -= 1;
      this.#send({
        type: "message",
        streamId: stream.id,
        messageId: stream.next,
        eventTimeNs: 0n,
        key: new Uint8Array(0),
        payload,
      });
      stream.highest = Math.max(stream.highest, stream.next);
      stream.next += 1;
    }
  }
}
