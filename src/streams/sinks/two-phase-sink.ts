/**
 * Output to a sink process that commits in two phases (wire/two-phase.ts): every record exactly once there, whoever dies.
 *
 * Records are sent as they come. At a barrier the sink is asked to promise them (phase 1), and the checkpoint waits for its
 * vote; with the commit it is told to keep them (phase 2). Between the two nothing further is sent. What is not committed
 * is kept here, so a sink that was away is sent it again without the cluster going back.
 *
 * Invariant: the sink is told to commit checkpoint n only after n was committed, and a worker that comes back settles what
 * the sink still holds by that same rule, before it sends anything. A worker that joins a cluster goes on behind what the sink
 * has of an earlier member of its name: that one left with a committed checkpoint.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { checkpointOf } from "../receiver/transaction-log.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { copyOf, WireError } from "../wire/bytes.ts";
import { CONNECTOR_VERSION, type ConnectorFrame } from "../wire/connector.ts";
import {
  CONTROL_STREAM,
  OUTPUT_BYTES_MAX,
  OUTPUT_STREAM,
  readTwoPhase,
  twoPhasePayload,
  type TwoPhaseMessage,
} from "../wire/two-phase.ts";
import { SinkLink } from "./sink-link.ts";
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
  /** The sink has answered. */
  isVoted: boolean;
  vote(isCommit: boolean): void;
}

/** A worker that has just joined, and does not know yet what the sink has of its name. */
interface Joining {
  /** The cluster's. */
  checkpoint: number;
  known(): void;
}

/** Uncommitted output that is kept; more rests the sources until the next commit. */
const HIGH_BYTES = 16 << 20;
const NO_KEY = new Uint8Array(0);

export class TwoPhaseSink implements Sink {
  readonly name: string;
  readonly writer = new RecordWriter(1 << 16);
  readonly #options: TwoPhaseSinkOptions;
  readonly #events: SinkEvents;
  readonly #link: SinkLink;
  /** Uncommitted output, in order. */
  #runs: Run[] = [];
  #offset = 0;
  #committedOffset = 0;
  /** The newest committed checkpoint that had output. */
  #committedCheckpoint = 0;
  #barrier: Barrier | undefined;
  /** Output up to here was handed to the present connection. */
  #sentOffset = 0;
  #joining: Joining | undefined;
  #isReady = false;
  #isCongested = false;

  constructor(name: string, events: SinkEvents, options: TwoPhaseSinkOptions) {
    this.name = name;
    this.#events = events;
    this.#options = options;
    const { world, log, host, port, cookie, app, instance } = options;
    this.#link = new SinkLink({
      ...{ world, log, name, host, port },
      hello: { type: "hello", version: CONNECTOR_VERSION, cookie, program: app, instance },
      onFrame: (frame) => this.#hear(frame),
      onDown: () => {
        this.#isReady = false;
      },
      onRoom: () => this.#pump(),
      isOwed: () => !this.#isReady || this.#barrier?.isVoted === false,
    });
  }

  /** The first connection comes with the first `rollBack`, which says where the output stands. */
  async open(): Promise<void> {}

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
    const barrier: Barrier = {
      ...{ checkpoint, end, isVoted: false },
      vote: (isCommit) => {
        barrier.isVoted = true;
        vote(isCommit);
      },
    };
    this.#barrier = barrier;
    this.#pump();
    if (this.#isReady) this.#askForPromise(barrier);
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

  async rollBack(clusterCheckpoint: number, position: unknown): Promise<void> {
    const { bytes, checkpoint } = (position as Position | undefined) ?? { bytes: 0, checkpoint: 0 };
    this.writer.clear();
    this.#runs = [];
    this.#barrier = undefined;
    this.#committedCheckpoint = checkpoint;
    this.#offset = this.#committedOffset = bytes;
    this.#judge();
    this.#joining = undefined;
    let known: Promise<void> | undefined;
    if (position === undefined && clusterCheckpoint > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#joining = { checkpoint: clusterCheckpoint, known: resolve };
      known = promise;
    }
    // A new connection makes the sink forget what it has not promised.
    this.#link.dial();
    // The first checkpoint says where the output began.
    await known;
  }

  // --- conversation --------------------------------------------------------------------------------------------------

  #hear(frame: ConnectorFrame): void {
    switch (frame.type) {
      case "ok":
        this.#link.send({
          type: "notify",
          streamId: OUTPUT_STREAM,
          name: this.name,
          position: this.#committedOffset,
        });
        return;
      case "notifyAck":
        if (!frame.isAccepted) throw new WireError("the sink does not take the output");
        this.#sentOffset = frame.position ?? 0;
        this.#control({ type: "listUncommitted", request: BigInt(this.#link.connections) });
        return;
      case "message":
        return this.#hearTwoPhase(readTwoPhase(frame.payload));
      case "ack":
        return;
      case "restart":
        return this.#link.dial();
      case "error":
        throw new WireError(`the sink says: ${frame.text}`);
      default:
        throw new WireError(`a sink does not send ${frame.type}`);
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
        throw new WireError(`a sink does not send ${message.type}`);
    }
  }

  /** Commits what an earlier member had no time to, and begins behind it. */
  #join({ checkpoint, known }: Joining, transactions: readonly string[]): void {
    for (const transaction of transactions) {
      if (!((checkpointOf(transaction) ?? Number.POSITIVE_INFINITY) <= checkpoint))
        return this.#refuse(`holds ${transaction}, and the cluster is at checkpoint ${checkpoint}`);
      this.#control({ type: "phase2", transaction, isCommit: true });
    }
    this.#offset = this.#committedOffset = this.#sentOffset;
    this.#joining = undefined;
    known();
  }

  #refuse(why: string): void {
    const hint =
      "it lost its files, or they belong to another stream: begin both anew, or bring its files back";
    this.#events.onFatal(new NxError("NX_STREAM_REFUSED", `the sink ${this.name} ${why}`, { hint }));
  }

  /** Decides what the sink had promised and not heard of, then goes on where it stands. */
  #settle(transactions: readonly string[]): void {
    if (this.#joining !== undefined) {
      this.#join(this.#joining, transactions);
      if (this.#joining !== undefined) return;
      transactions = [];
    }
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
      this.#refuse(`has ${this.#sentOffset} bytes of this worker's output, ${standsAt} are committed`);
      return;
    }
    this.#link.trouble = "";
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
      const end = offset + bytes.byteLength;
      // A barrier comes between two runs.
      if (offset >= until) return;
      while (this.#sentOffset < end) {
        // Before a barrier everything goes, so that its question stands behind it.
        if (this.#barrier === undefined && !this.#link.hasRoom) return;
        const start = this.#sentOffset - offset;
        const piece = bytes.subarray(start, start + OUTPUT_BYTES_MAX);
        this.#message(OUTPUT_STREAM, this.#sentOffset, piece);
        this.#sentOffset += piece.byteLength;
      }
    }
  }

  #control(message: TwoPhaseMessage): void {
    this.#message(CONTROL_STREAM, 0, twoPhasePayload(message));
  }

  #message(streamId: bigint, messageId: number, payload: Uint8Array): void {
    this.#link.send({ type: "message", streamId, messageId, eventTimeNs: 0n, key: NO_KEY, payload });
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  stats() {
    return {
      kind: "2pc",
      isConnected: this.#isReady,
      connections: this.#link.connections,
      bytes: this.#offset,
      committedBytes: this.#committedOffset,
      waitingBytes: this.#offset - this.#committedOffset,
      trouble: this.#link.trouble,
    };
  }

  async close(): Promise<void> {
    this.#link.close();
  }
}
