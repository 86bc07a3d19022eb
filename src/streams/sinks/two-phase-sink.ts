/**
 * A sink that commits in two phases (wire/two-phase.ts): it has every record exactly once, whatever dies when.
 *
 * Output of one interval is a transaction. At the barrier the sink is asked whether it can keep it (phase 1), and behind
 * that nothing is sent until the checkpoint is committed (phase 2). A vote against it, or a connection that is lost before
 * the vote, makes the whole cluster go back.
 *
 * Invariant: what the sink has not promised is kept here and sent again after a break, so the sink's bytes are always
 * those of one unbroken output. Offsets are those of the sink's file: a worker that begins anew goes on where it ends.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { copyOf, WireError } from "../wire/bytes.ts";
import {
  CONNECTOR_VERSION,
  type ConnectorFrame,
  connectorFrame,
  readConnectorFrame,
} from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";
import {
  CONTROL_STREAM,
  OUTPUT_STREAM,
  readTwoPhase,
  type TwoPhaseMessage,
  twoPhasePayload,
} from "../wire/two-phase.ts";
import type { Sink, SinkEvents } from "./sink.ts";

export interface TwoPhaseSinkOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  host: string;
  port: number;
  cookie: string;
  worker: string;
  app: string;
}

const RETRY_MS = 250;
const BODY_BYTES_MAX = 1 << 20;
const OUTBOX_BYTES_MAX = 256 << 20;
/** What may wait for its checkpoint. */
const HIGH_BYTES = 64 << 20;

interface Chunk {
  offset: number;
  bytes: Uint8Array;
}

/** A transaction under way. */
interface Phase {
  checkpoint: number;
  end: number;
  isAsked: boolean;
  vote(isCommit: boolean): void;
  hasVote: boolean;
}

export class TwoPhaseSink implements Sink {
  readonly name: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #options: TwoPhaseSinkOptions;
  readonly #events: SinkEvents;
  /** Output that the sink has not promised; the first `#sent` of them are on their way. */
  #chunks: Chunk[] = [];
  #sent = 0;
  #keptBytes = 0;
  /** Behind the last record, from where this life of the output begins. */
  #end = 0;
  /** Up to here the sink has promised. */
  #promised = 0;
  /** Where the output begins in the sink's file; undefined until the sink has said it. */
  #base: number | undefined;
  #phase: Phase | undefined;
  #committed = 0;
  #outbox: Outbox | undefined;
  #socket: Socket | undefined;
  #isStreaming = false;
  #isCongested = false;
  #isClosed = false;
  #messages = 0;
  #timer: Timer | undefined;
  #votesAgainst = 0;

  constructor(name: string, events: SinkEvents, options: TwoPhaseSinkOptions) {
    this.name = name;
    this.#events = events;
    this.#options = options;
  }

  async open(): Promise<void> {
    void this.#connect();
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  flush(): void {
    if (this.writer.length === 0) return;
    const bytes = copyOf(this.writer.done());
    this.writer.clear();
    this.#chunks.push({ offset: this.#end, bytes });
    this.#end += bytes.byteLength;
    this.#keptBytes += bytes.byteLength;
    this.#pump();
    this.#judge();
  }

  #judge(): void {
    const isCongested = this.#keptBytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  // --- transactions ------------------------------------------------------------------------------------------------

  #transactionOf(checkpoint: number): string {
    return `${this.#options.worker}:c_id=${checkpoint}`;
  }

  prepare(checkpoint: number) {
    this.flush();
    const end = this.#end;
    const safe = new Promise<boolean>((resolve) => {
      // Without knowing where the output begins, no position of it could be kept.
      if (this.#base === undefined && end > 0) resolve(false);
      else this.#phase = { checkpoint, end, isAsked: false, vote: resolve, hasVote: false };
    });
    this.#pump();
    return { position: this.#base === undefined ? undefined : this.#base + end, outputs: [], safe };
  }

  commit(checkpoint: number): void {
    this.#committed = checkpoint;
    if (this.#phase?.checkpoint !== checkpoint) return;
    this.#phase = undefined;
    if (this.#isStreaming) this.#settle(this.#transactionOf(checkpoint), true);
    this.#pump();
  }

  async rollBack(checkpoint: number, position: unknown): Promise<void> {
    this.writer.clear();
    this.#committed = checkpoint;
    this.#phase = undefined;
    this.#chunks = [];
    this.#sent = this.#keptBytes = this.#end = this.#promised = 0;
    this.#base = position as number | undefined;
    this.#judge();
    // A new connection makes the sink forget what it has not promised, and asks about the rest.
    this.#socket?.terminate();
  }

  /** Sends what is to be sent before the present transaction's end, then asks for the vote. */
  #pump(): void {
    if (!this.#isStreaming || this.#base === undefined) return;
    const limit = this.#phase?.end ?? Number.POSITIVE_INFINITY;
    for (let next = this.#chunks[this.#sent]; next !== undefined; next = this.#chunks[this.#sent]) {
      if (next.offset >= limit) break;
      this.#message(OUTPUT_STREAM, this.#base + next.offset, next.bytes);
      this.#sent += 1;
    }
    const phase = this.#phase;
    if (phase === undefined || phase.isAsked) return;
    phase.isAsked = true;
    const range = {
      streamId: OUTPUT_STREAM,
      start: this.#base + this.#promised,
      end: this.#base + phase.end,
    };
    this.#control({ type: "phase1", transaction: this.#transactionOf(phase.checkpoint), ranges: [range] });
  }

  #voted(transaction: string, isCommit: boolean): void {
    const phase = this.#phase;
    if (phase === undefined || phase.hasVote || transaction !== this.#transactionOf(phase.checkpoint)) return;
    if (isCommit) {
      phase.hasVote = true;
      this.#promised = phase.end;
      const kept = this.#chunks.filter(({ offset }) => offset >= phase.end);
      this.#sent -= this.#chunks.length - kept.length;
      this.#chunks = kept;
      this.#keptBytes = kept.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
      this.#judge();
    } else this.#votesAgainst += 1;
    phase.vote(isCommit);
  }

  #settle(transaction: string, isCommit: boolean): void {
    this.#control({ type: "phase2", transaction, isCommit });
  }

  // --- connection --------------------------------------------------------------------------------------------------

  #send(frame: ConnectorFrame): void {
    this.#outbox?.send(connectorFrame(frame));
  }

  #message(streamId: bigint, messageId: number, payload: Uint8Array): void {
    this.#send({ type: "message", streamId, messageId, eventTimeNs: 0n, key: new Uint8Array(0), payload });
  }

  #control(message: TwoPhaseMessage): void {
    this.#message(CONTROL_STREAM, ++this.#messages, twoPhasePayload(message));
  }

  async #connect(): Promise<void> {
    const { world, host, port, cookie, worker, app, log } = this.#options;
    const frames = new FrameReader(() => BODY_BYTES_MAX);
    try {
      await world.net.connect<undefined>({
        host,
        port,
        handlers: {
          open: (socket) => {
            if (this.#isClosed) {
              socket.terminate();
              return;
            }
            this.#socket = socket;
            this.#outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX });
            this.#send({ type: "hello", version: CONNECTOR_VERSION, cookie, program: app, instance: worker });
          },
          data: (socket, _state, chunk) => {
            try {
              frames.feed(chunk, (bytes, start, end) => this.#hear(readConnectorFrame(bytes, start, end)));
            } catch (error) {
              log.warn(`the sink ${this.name} was disconnected: ${(error as Error).message}`);
              socket.terminate();
            }
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
    this.#socket = this.#outbox = undefined;
    this.#isStreaming = false;
    this.#sent = 0;
    // Whether the sink has promised is not known: the cluster goes back.
    if (this.#phase?.isAsked === true && !this.#phase.hasVote) this.#phase.vote(false);
    if (this.#isClosed) return;
    this.#timer = this.#options.world.clock.after(RETRY_MS, () => void this.#connect());
  }

  #hear(frame: ConnectorFrame): void {
    switch (frame.type) {
      case "ok":
        this.#control({ type: "listUncommitted", request: 1n });
        break;
      case "notifyAck":
        this.#begin(frame.position ?? 0);
        break;
      case "message": {
        const message = readTwoPhase(frame.payload);
        if (message.type === "replyUncommitted") this.#settleOld(message.transactions);
        else if (message.type === "phase1Reply") this.#voted(message.transaction, message.isCommit);
        break;
      }
      case "error":
        throw new WireError(frame.text);
      default:
        break;
    }
  }

  /** Transactions that the sink promised in an earlier life: the one of the cluster's checkpoint counts, others do not. */
  #settleOld(transactions: readonly string[]): void {
    const undecided = this.#phase?.hasVote === true ? this.#transactionOf(this.#phase.checkpoint) : undefined;
    for (const transaction of transactions) {
      if (transaction !== undecided)
        this.#settle(transaction, transaction === this.#transactionOf(this.#committed));
    }
    this.#send({
      type: "notify",
      streamId: OUTPUT_STREAM,
      name: this.name,
      position: (this.#base ?? 0) + this.#promised,
    });
  }

  #begin(position: number): void {
    this.#base ??= position;
    if (position < this.#base + this.#promised) {
      throw new WireError(`it has ${position} bytes and had promised ${this.#base + this.#promised}`);
    }
    this.#isStreaming = true;
    this.#sent = 0;
    this.#pump();
  }

  stats() {
    return {
      kind: "2pc",
      isConnected: this.#isStreaming,
      bytes: (this.#base ?? 0) + this.#end,
      waitingBytes: this.#keptBytes,
      votesAgainst: this.#votesAgainst,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#socket?.end();
  }
}
