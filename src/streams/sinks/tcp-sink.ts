/**
 * Raw TCP: records go to a listener that acknowledges nothing.
 *
 * immediate: they go out at once; after the cluster went back to a checkpoint those since then come again. committed: they
 * go out when their checkpoint is committed, so they come again only when the worker died between sending and noting it.
 *
 * Invariant: only whole records are sent. When the connection breaks, the next one begins with the first record that the
 * kernel had not taken whole; what the kernel had taken and not delivered is lost, which no raw sender can know.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { Redial } from "../../core/sockets/redial.ts";
import type { Framing } from "../api/contract.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { recordStartOf } from "../runtime/splitter.ts";
import { copyOf } from "../wire/bytes.ts";
import type { Sink, SinkEvents } from "./sink.ts";

const RETRY_MS = 250;
const HIGH_BYTES = 4 << 20;

export interface TcpSinkOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  host: string;
  port: number;
  isCommitted: boolean;
  framing: Framing;
}

export class TcpSink implements Sink {
  readonly name: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #options: TcpSinkOptions;
  readonly #events: SinkEvents;
  /** Runs of whole records; of the first one `#sent` bytes were taken by the kernel. */
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #sent = 0;
  /** Since the last barrier, when output waits for its commit. */
  #held: Uint8Array[] = [];
  /** Of the checkpoint that is prepared. */
  #prepared: Uint8Array[] = [];
  #heldBytes = 0;
  readonly #redial: Redial;
  #isCongested = false;
  /** Why there is no connection. */
  #trouble = "";
  #bytes = 0;

  constructor(name: string, events: SinkEvents, options: TcpSinkOptions) {
    this.name = name;
    this.#events = events;
    this.#options = options;
    const { world, host, port } = options;
    this.#redial = new Redial({
      ...{ world, address: () => ({ host, port }), retryMs: RETRY_MS },
      // Runs are handed to the kernel by hand: what of a record it has not taken is sent again, whole.
      outbox: { bytesMax: 0 },
      onOpen: () => {
        this.#trouble = "";
        this.#pump();
      },
      onData: () => {},
      onDrain: () => this.#pump(),
      onDown: (reason) => {
        this.#trouble = reason;
        this.#rewind();
      },
    });
  }

  async open(): Promise<void> {
    this.#redial.dial();
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  flush(): void {
    if (this.writer.length === 0) return;
    const bytes = copyOf(this.writer.done());
    this.writer.clear();
    this.#bytes += bytes.byteLength;
    if (this.#options.isCommitted) {
      this.#held.push(bytes);
      this.#heldBytes += bytes.byteLength;
      this.#judge();
    } else this.#enqueue(bytes);
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    this.#pump();
  }

  #pump(): void {
    const { socket } = this.#redial;
    while (socket !== undefined && this.#queue.length > 0) {
      const first = this.#queue[0] as Uint8Array;
      const taken = socket.write(this.#sent === 0 ? first : first.subarray(this.#sent));
      if (taken <= 0) break;
      this.#sent += taken;
      if (this.#sent < first.byteLength) break;
      this.#queue.shift();
      this.#queuedBytes -= first.byteLength;
      this.#sent = 0;
    }
    this.#judge();
  }

  #judge(): void {
    const bytes = this.#queuedBytes + this.#heldBytes;
    const isCongested = bytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  /** The first run begins again at the record that was not taken whole. */
  #rewind(): void {
    const first = this.#queue[0];
    if (first === undefined || this.#sent === 0) return;
    const start = recordStartOf(first, this.#sent, this.#options.framing);
    this.#queue[0] = first.subarray(start);
    this.#queuedBytes -= start;
    this.#sent = 0;
  }

  prepare() {
    this.flush();
    this.#prepared = this.#held;
    this.#held = [];
    return { position: this.#bytes, outputs: this.#prepared, safe: Promise.resolve(true) };
  }

  commit(): void {
    for (const bytes of this.#prepared.splice(0)) {
      this.#heldBytes -= bytes.byteLength;
      this.#enqueue(bytes);
    }
  }

  async rollBack(_checkpoint: number, _position: unknown, outputs: readonly Uint8Array[]): Promise<void> {
    this.writer.clear();
    this.#held = [];
    this.#prepared = [];
    this.#heldBytes = 0;
    for (const bytes of outputs) this.#enqueue(bytes);
    this.#judge();
  }

  stats() {
    return {
      kind: "tcp",
      isConnected: this.#redial.socket !== undefined,
      trouble: this.#trouble,
      connections: this.#redial.connections,
      bytes: this.#bytes,
      waitingBytes: this.#queuedBytes + this.#heldBytes,
    };
  }

  async close(): Promise<void> {
    this.#redial.end();
  }
}
