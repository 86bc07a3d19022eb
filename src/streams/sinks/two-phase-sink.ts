/**
 * Output to a sink process that commits in two phases (wire/two-phase.ts): every record exactly once there, whoever dies.
 *
 * Records are sent as they come. At a barrier the sink is asked to promise them (phase 1), and the checkpoint waits for its
 * vote; with the commit it is told to keep them (phase 2). Between the two nothing further is sent. What is not committed
 * is kept here, so a sink that was away is sent it again without the cluster going back.
 *
 * Invariant: the sink is told to commit checkpoint n only after n was committed, and a worker that comes back settles what
 * the sink still holds by that same rule, before it sends anything.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { checkpointOf } from "../receiver/transaction-log.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { ByteWriter, copyOf } from "../wire/bytes.ts";
import {
  CONNECTOR_VERSION,
  readConnectorFrame,
  writeConnectorFrame,
  type ConnectorFrame,
} from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";
import {
  CONTROL_STREAM,
  OUTPUT_STREAM,
  readTwoPhase,
  twoPhasePayload,
  type TwoPhaseMessage,
} from "../wire/two-phase.ts";
import type { Sink, SinkEvents } from "./sink.ts";

export interface TwoPhaseSinkOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  host: string;
  port: number;
  cookie: string;
  app: string;
  /** What the sink knows this output by: unique among all that write to it. */
  instance: string;
}

interface Run {
  offset: number;
  bytes: Uint8Array;
}

/** What a checkpoint keeps of the sink. */
interface Position {
  bytes: number;
  /** The newest checkpoint up to this one that had output: the one that the sink may still wait to hear of. */
  checkpoint: number;
}

interface Barrier {
  checkpoint: number;
  end: number;
  vote(isCommit: boolean): void;
}

const RETRY_MS = 250;
const WATCH_MS = 1000;
/** A host that lost its power never says so: a sink that owes an answer for so long is called anew. */
const SILENCE_MS = 5000;
/** Uncommitted output that is kept; more rests the sources until the next commit. */
const HIGH_BYTES = 16 << 20;
const UNSENT_BYTES_MAX = 1 << 20;
const REPLY_BYTES_MAX = 1 << 20;
const NO_KEY = new Uint8Array(0);

export class TwoPhaseSink implements Sink {
  readonly name: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #options: TwoPhaseSinkOptions;
  readonly #events: SinkEvents;
  readonly #frames = new ByteWriter(1 << 16);
  /** Uncommitted output, in order. */
  #runs: Run[] = [];
  #offset = 0;
  #committedOffset = 0;
  /** The newest committed checkpoint that had output. */
  #committedCheckpoint = 0;
  #barrier: Barrier | undefined;
  /** Output up to here was handed to the present connection. */
  #sentOffset = 0;
  #socket: Socket | undefined;
  #outbox: Outbox | undefined;
  #isReady = false;
  #timer: Timer | undefined;
  #watchdog: Timer | undefined;
  #heardAtMs = 0;
  #attempt = 0;
  #isClosed = false;
  #isCongested = false;
  #connections = 0;
  #trouble: string | undefined = "not connected yet";

  constructor(name: string, events: SinkEvents, options: TwoPhaseSinkOptions) {
    this.name = name;
    this.#events = events;
    this.#options = options;
  }

  /** The first connection comes with the first `rollBack`, which says where the output stands. */
  async open(): Promise<void> {
    this.#watchdog = this.#options.world.clock.every(WATCH_MS, () => this.#watch());
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  flush(): void {
    if (this.writer.length === 0) return;
    const bytes = copyOf(this.writer.done());
    this.writer.clear();
    this.#runs.push({ offset: this.#offset, bytes });
    this.#offset += bytes.byteLength;
    this.#pump();
    this.#judge();
  }

  #judge(): void {
    const bytes = this.#offset - this.#committedOffset;
    const isCongested = bytes > (this.#isCongested ? HIGH_BYTES / 2 : HIGH_BYTES);
    if (isCongested === this.#isCongested) return;
    this.#isCongested = isCongested;
    this.#events.onPressure();
  }

  // --- checkpoints ---------------------------------------------------------------------------------------------------

  prepare(checkpoint: number) {
    this.flush();
    const end = this.#offset;
    // Nothing came out: the sink need not be asked, and not even be there.
    if (end === this.#committedOffset) {
      const position: Position = { bytes: end, checkpoint: this.#committedCheckpoint };
      return { position, outputs: [], safe: Promise.resolve(true) };
    }
    const { promise: safe, resolve: vote } = Promise.withResolvers<boolean>();
    this.#barrier = { checkpoint, end, vote };
    this.#pump();
    if (this.#isReady) this.#askForPromise(this.#barrier);
    const position: Position = { bytes: end, checkpoint };
    return { position, outputs: [], safe };
  }

  #askForPromise({ checkpoint, end }: Barrier): void {
    this.#control({
      type: "phase1",
      transaction: this.#transaction(checkpoint),
      ranges: [{ streamId: OUTPUT_STREAM, start: this.#committedOffset, end }],
    });
  }

  #transaction(checkpoint: number): string {
    return `${this.#options.instance}:c_id=${checkpoint}`;
  }

  commit(checkpoint: number): void {
    const barrier = this.#barrier;
    if (barrier?.checkpoint !== checkpoint) return;
    this.#barrier = undefined;
    this.#committedCheckpoint = checkpoint;
    this.#committedOffset = barrier.end;
    this.#runs = this.#runs.filter(({ offset, bytes }) => offset + bytes.byteLength > barrier.end);
    if (this.#isReady)
      this.#control({ type: "phase2", transaction: this.#transaction(checkpoint), isCommit: true });
    this.#pump();
    this.#judge();
  }

  async rollBack(_checkpoint: number, position: unknown): Promise<void> {
    const { bytes, checkpoint } = (position as Position | undefined) ?? { bytes: 0, checkpoint: 0 };
    this.writer.clear();
    this.#runs = [];
    this.#barrier = undefined;
    this.#committedCheckpoint = checkpoint;
    this.#offset = this.#committedOffset = bytes;
    this.#judge();
    this.#redial();
  }

  // --- connection ----------------------------------------------------------------------------------------------------

  /** A new connection makes the sink forget what it has not promised. */
  #redial(): void {
    this.#drop();
    if (!this.#isClosed) void this.#connect();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#attempt++;
    this.#socket = undefined;
    this.#outbox?.close();
    this.#outbox = undefined;
    this.#isReady = false;
    socket?.terminate();
    this.#timer?.cancel();
  }

  #watch(): void {
    const isOwed = !this.#isReady || this.#barrier !== undefined;
    if (!isOwed) this.#heardAtMs = this.#nowMs;
    else if (this.#attempt > 0 && this.#nowMs - this.#heardAtMs > SILENCE_MS)
      this.#lost("it does not answer");
  }

  get #nowMs(): number {
    return this.#options.world.clock.monotonicMs();
  }

  async #connect(): Promise<void> {
    const { world, host, port } = this.#options;
    const attempt = ++this.#attempt;
    this.#heardAtMs = this.#nowMs;
    const reader = new FrameReader(() => REPLY_BYTES_MAX);
    try {
      await world.net.connect<undefined>({
        host,
        port,
        handlers: {
          open: (socket) => this.#opened(socket, attempt),
          data: (socket, _state, chunk) => {
            if (socket !== this.#socket) return;
            this.#heardAtMs = this.#nowMs;
            this.#receive(socket, reader, chunk);
          },
          drain: (socket) => {
            if (socket === this.#socket) this.#outbox?.drain();
          },
          close: (socket, _state, error) => {
            if (socket === this.#socket) this.#lost(error?.message ?? "the sink closed the connection");
          },
        },
      });
    } catch (error) {
      if (attempt === this.#attempt) this.#lost((error as Error).message);
    }
  }

  #opened(socket: Socket, attempt: number): undefined {
    if (this.#isClosed || attempt !== this.#attempt) {
      socket.terminate();
      return;
    }
    this.#connections += 1;
    this.#socket = socket;
    this.#outbox = new Outbox(socket, {
      bytesMax: Number.POSITIVE_INFINITY,
      highBytes: UNSENT_BYTES_MAX,
      onLow: () => this.#pump(),
    });
    const { cookie, app, instance } = this.#options;
    this.#send({ type: "hello", version: CONNECTOR_VERSION, cookie, program: app, instance });
  }

  #receive(socket: Socket, reader: FrameReader, chunk: Uint8Array): void {
    try {
      reader.feed(chunk, (bytes, start, end) => {
        this.#hear(readConnectorFrame(bytes, start, end));
        return socket === this.#socket;
      });
    } catch (error) {
      this.#lost((error as Error).message);
    }
  }

  #lost(reason: string): void {
    if (this.#isClosed) return;
    if (reason !== this.#trouble)
      this.#options.log.warn(`the sink ${this.name} cannot be reached: ${reason}`, {
        host: this.#options.host,
        port: this.#options.port,
      });
    this.#trouble = reason;
    this.#drop();
    this.#timer = this.#options.world.clock.after(RETRY_MS, () => void this.#connect());
  }

  // --- conversation --------------------------------------------------------------------------------------------------

  #hear(frame: ConnectorFrame): void {
    switch (frame.type) {
      case "ok":
        this.#send({
          type: "notify",
          streamId: OUTPUT_STREAM,
          name: this.name,
          position: this.#committedOffset,
        });
        return;
      case "notifyAck":
        if (!frame.isAccepted) return this.#lost("the sink does not take the output");
        this.#sentOffset = frame.position ?? 0;
        this.#control({ type: "listUncommitted", request: BigInt(this.#connections) });
        return;
      case "message":
        return this.#hearTwoPhase(readTwoPhase(frame.payload));
      case "ack":
        return;
      case "restart":
        return this.#redial();
      case "error":
        return this.#lost(`the sink says: ${frame.text}`);
      default:
        return this.#lost(`a sink does not send ${frame.type}`);
    }
  }

  #hearTwoPhase(message: TwoPhaseMessage): void {
    const barrier = this.#barrier;
    switch (message.type) {
      case "replyUncommitted":
        return this.#settle(message.transactions);
      case "phase1Reply":
        if (barrier !== undefined && message.transaction === this.#transaction(barrier.checkpoint))
          barrier.vote(message.isCommit);
        return;
      default:
        return this.#lost(`a sink does not send ${message.type}`);
    }
  }

  /** Decides what the sink had promised and not heard of, then goes on where it stands. */
  #settle(transactions: readonly string[]): void {
    let isPromised = false;
    for (const transaction of transactions) {
      const checkpoint = checkpointOf(transaction);
      if (this.#barrier !== undefined && checkpoint === this.#barrier.checkpoint) {
        isPromised = true;
        continue;
      }
      const isCommit = checkpoint === this.#committedCheckpoint;
      this.#control({ type: "phase2", transaction, isCommit });
      if (!isCommit) this.#sentOffset = this.#committedOffset;
    }
    const standsAt = isPromised ? (this.#barrier as Barrier).end : this.#committedOffset;
    if (this.#sentOffset !== standsAt) {
      this.#events.onFatal(
        new NxError(
          "NX_STREAM_REFUSED",
          `the sink ${this.name} has ${this.#sentOffset} bytes of this worker's output, ${standsAt} are committed`,
          {
            hint: "it lost its files, or they belong to another stream: begin both anew, or bring its files back",
          },
        ),
      );
      return;
    }
    this.#trouble = undefined;
    this.#isReady = true;
    this.#pump();
    if (this.#barrier === undefined) return;
    if (isPromised) this.#barrier.vote(true);
    else this.#askForPromise(this.#barrier);
  }

  /** Sends what may be sent: nothing behind a barrier that is not settled. */
  #pump(): void {
    if (!this.#isReady) return;
    const until = this.#barrier?.end ?? this.#offset;
    for (const { offset, bytes } of this.#runs) {
      const start = this.#sentOffset - offset;
      if (start >= bytes.byteLength) continue;
      if (offset >= until) return;
      // A barrier comes between two runs; before it everything goes, so that its question stands behind it.
      if (this.#barrier === undefined && (this.#outbox?.length ?? 0) > UNSENT_BYTES_MAX) return;
      this.#message(OUTPUT_STREAM, this.#sentOffset, bytes.subarray(start));
      this.#sentOffset = offset + bytes.byteLength;
    }
  }

  #control(message: TwoPhaseMessage): void {
    this.#message(CONTROL_STREAM, 0, twoPhasePayload(message));
  }

  #message(streamId: bigint, messageId: number, payload: Uint8Array): void {
    this.#send({ type: "message", streamId, messageId, eventTimeNs: 0n, key: NO_KEY, payload });
  }

  #send(frame: ConnectorFrame): void {
    this.#frames.clear();
    writeConnectorFrame(this.#frames, frame);
    this.#outbox?.send(this.#frames.done());
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  stats() {
    return {
      kind: "2pc",
      isConnected: this.#isReady,
      connections: this.#connections,
      bytes: this.#offset,
      committedBytes: this.#committedOffset,
      waitingBytes: this.#offset - this.#committedOffset,
      trouble: this.#trouble ?? "",
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#watchdog?.cancel();
    this.#outbox?.end();
  }
}
