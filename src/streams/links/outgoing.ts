/**
 * The sending end of a link to one other worker, for one epoch.
 *
 * Invariant: messages reach the other worker in order and once, however often the connection breaks: each has a number
 * and is kept until the other end has processed it; after a new connection the other end says what it has. A new epoch
 * begins with a new link and forgets this one.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { Redial } from "../../core/sockets/redial.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { ByteWriter, copyOf } from "../wire/bytes.ts";
import { FrameReader } from "../wire/frame.ts";
import { assertItemFits, LinkType, readLinkMessage, writeItem } from "./frames.ts";
import { proofOf } from "./secret.ts";

export interface OutgoingOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  from: string;
  to: string;
  host: string;
  port: number;
  epoch: number;
  secret: string;
  /** The bytes that wait have passed the limit, or have fallen below half of it. */
  onPressure(): void;
}

const RETRY_MS = 50;
const RETRY_MS_MAX = 1000;
/** More unprocessed bytes than this ask sources to rest. */
const HIGH_BYTES = 4 << 20;
const BATCH_BYTES = 64 << 10;
const OUTBOX_BYTES_MAX = 1 << 30;

interface Kept {
  number: number;
  bytes: Uint8Array;
}

export class OutgoingLink {
  readonly #options: OutgoingOptions;
  readonly #batch = new RecordWriter(BATCH_BYTES);
  #batchAt = -1;
  readonly #frame = new ByteWriter(256);
  #number = 0;
  /** Small messages that go out together: of those that are kept, the last ones. */
  readonly #unsent = new ByteWriter(BATCH_BYTES);
  #kept: Kept[] = [];
  #keptBytes = 0;
  readonly #redial: Redial;
  #reader = new FrameReader();
  /** Sent up to here on the present connection; undefined until it is welcome. */
  #sentNumber: number | undefined;
  #isCongested = false;

  constructor(options: OutgoingOptions) {
    this.#options = options;
    const { world, host, port } = options;
    this.#redial = new Redial({
      world,
      address: () => ({ host, port }),
      ...{ retryMs: RETRY_MS, retryMsMax: RETRY_MS_MAX, outbox: { bytesMax: OUTBOX_BYTES_MAX } },
      onOpen: () => this.#opened(),
      onData: (chunk) => void this.#reader.feed(chunk, (bytes, start, end) => this.#hear(bytes, start, end)),
      onDown: () => {
        this.#sentNumber = undefined;
      },
    });
    this.#redial.dial();
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  get isConnected(): boolean {
    return this.#sentNumber !== undefined;
  }

  get waitingBytes(): number {
    return this.#keptBytes;
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  /** A record; leaves with `flush`, or when enough are gathered. */
  record(exchange: number, key: string, timeMs: number, write: (out: RecordWriter) => void): void {
    if (this.#batchAt < 0) {
      this.#batch.u32(0).u8(LinkType.batch).u64(0);
      this.#batchAt = 0;
    }
    const start = this.#batch.length;
    try {
      writeItem(this.#batch, { exchange, timeMs, key }, () => write(this.#batch));
      assertItemFits("a record", this.#batch.length - start);
    } catch (error) {
      // Half a record, or one too large, must not stand in front of the next one.
      this.#batch.cutTo(start);
      throw error;
    }
    if (this.#batch.length >= BATCH_BYTES) this.flush();
  }

  /** Sends the records that were gathered. */
  flush(): void {
    if (this.#batchAt < 0) return;
    const bytes = copyOf(this.#batch.done());
    this.#batch.clear();
    this.#batchAt = -1;
    this.#keep(bytes);
  }

  barrier(exchange: number, checkpoint: number): void {
    this.#message(LinkType.barrier, (writer) => void writer.u16(exchange).u64(checkpoint));
  }

  watermark(exchange: number, timeMs: number): void {
    this.#message(LinkType.watermark, (writer) => void writer.u16(exchange).f64(timeMs));
  }

  congested(isCongested: boolean): void {
    this.#message(LinkType.congested, (writer) => void writer.u8(isCongested ? 1 : 0));
  }

  /** Leaves with the next message of another kind, or when enough are gathered. */
  keyState(step: number, key: string, image: Uint8Array): void {
    assertItemFits("the state of a key", key.length + image.byteLength);
    this.#message(LinkType.keyState, (writer) => void writer.u16(step).text(key).bytes(image), true);
  }

  keyEnd(watermarks: Record<string, number>): void {
    this.#message(LinkType.keyEnd, (writer) => void writer.text(JSON.stringify(watermarks)));
  }

  #message(type: number, write: (writer: ByteWriter) => void, mayWait = false): void {
    this.flush();
    this.#frame.clear();
    this.#frame.u32(0).u8(type).u64(0);
    write(this.#frame);
    this.#keep(copyOf(this.#frame.done()), mayWait);
  }

  /** Gives the frame its length and number, keeps it, and sends it when it may. */
  #keep(bytes: Uint8Array, mayWait = false): void {
    this.#number += 1;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(0, bytes.byteLength - 4);
    view.setBigUint64(5, BigInt(this.#number));
    this.#kept.push({ number: this.#number, bytes });
    this.#keptBytes += bytes.byteLength;
    if (this.#sentNumber !== undefined) {
      this.#sentNumber = this.#number;
      if (mayWait || this.#unsent.length > 0) this.#unsent.raw(bytes);
      else this.#redial.outbox?.send(bytes);
      if (!mayWait || this.#unsent.length >= BATCH_BYTES) this.#sendUnsent();
    }
    this.#judge();
  }

  #sendUnsent(): void {
    this.#redial.outbox?.send(this.#unsent.done());
    this.#unsent.clear();
  }

  #judge(): void {
    const isCongested = this.#keptBytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#options.onPressure();
  }

  // --- connection --------------------------------------------------------------------------------------------------

  #opened(): void {
    const { from, to, epoch, secret } = this.#options;
    this.#reader = new FrameReader();
    const proof = proofOf(secret, ["link", from, to, epoch]);
    const hello = new ByteWriter().frame((writer) =>
      writer.u8(LinkType.hello).text(JSON.stringify({ from, to, epoch, proof })),
    );
    this.#redial.outbox?.send(hello.done());
  }

  #hear(bytes: Uint8Array, start: number, end: number): void {
    const message = readLinkMessage(bytes, start, end);
    if (message.type === "ack") this.#forget(message.number);
    if (message.type !== "welcome") return;
    this.#forget(message.number);
    this.#sentNumber = this.#number;
    this.#redial.proven();
    this.#unsent.clear();
    for (const kept of this.#kept) this.#redial.outbox?.send(kept.bytes);
  }

  /** The other end has processed everything up to `number`. */
  #forget(number: number): void {
    let count = 0;
    for (const { number: kept, bytes } of this.#kept) {
      if (kept > number) break;
      count += 1;
      this.#keptBytes -= bytes.byteLength;
    }
    if (count > 0) this.#kept.splice(0, count);
    this.#judge();
  }

  close(): void {
    this.#redial.close();
  }
}
