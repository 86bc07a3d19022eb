/**
 * Following a channel: records as they are written, filtered, as a stream of lines.
 *
 * Invariant: a follower is shown every record written since it began, once, in the order of writing but that records taken
 * together come by bucket; none before it is durable. What it has not read yet stays in memory, counted; a follower that
 * falls too far behind is cut off with a last line that says so.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { Channel } from "../store/channels.ts";
import type { LogStore } from "../store/log-store.ts";
import type { SourceSpec } from "../scan/request.ts";
import { readPieces } from "../scan/scan.ts";
import type { Query } from "./query.ts";
import { LineLimit } from "./search.ts";

const LOOK_MS = 50;
/** A blank line is sent at the beginning and after so long without another: it shows both ends that the other lives. */
const SILENCE_MS_MAX = 15_000;
const BLANK_LINE = Buffer.from("\n");
/** Memory of records that one follower has not read yet. */
const BEHIND_BYTES_MAX = 256 * 1024 * 1024;

interface Taken {
  specs: SourceSpec[];
  bytes: number;
  release(): void;
}

export interface FollowPlace {
  store: LogStore;
  clock: Clock;
}

export class Follower {
  readonly #place: FollowPlace;
  readonly #channel: Channel;
  readonly #query: Query;
  #nextNumber: number;
  #taken: Taken[] = [];
  #isEnded = false;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  readonly #onFreeze = () => this.#take();

  constructor(place: FollowPlace, channel: Channel, query: Query) {
    this.#place = place;
    this.#channel = channel;
    this.#query = query;
    this.#nextNumber = channel.figures.nextNumber;
    channel.onFreeze.add(this.#onFreeze);
  }

  /** Holds what was written since the last time. */
  #take(): void {
    const { nextNumber } = this.#channel.figures;
    if (nextNumber === this.#nextNumber) return;
    const held = this.#channel.holdMemtables(this.#nextNumber);
    const bytes = held.memtables.reduce((sum, memtable) => sum + memtable.figures.memoryBytes, 0);
    this.#taken.push({ specs: held.specs, bytes, release: held.release });
    this.#nextNumber = nextNumber;
  }

  get #behindBytes(): number {
    return this.#taken.slice(0, -1).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  stream(): ReadableStream<Uint8Array> {
    const limit = new LineLimit(this.#query.limit);
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            while (!this.#isEnded && !limit.isReached) {
              if ((await this.#sendNext(controller, limit)) || this.#breakSilence(controller)) break;
              await this.#pause();
            }
            if (limit.isReached) this.end();
            if (this.#isEnded) controller.close();
          } catch (error) {
            this.end();
            controller.enqueue(Buffer.from(`${JSON.stringify({ error: (error as Error).message })}\n`));
            controller.error(error);
          }
        },
        cancel: () => this.end(),
      },
      { highWaterMark: 0 },
    );
  }

  #breakSilence(controller: ReadableStreamDefaultController<Uint8Array>): boolean {
    const nowMs = this.#place.clock.monotonicMs();
    if (this.#isEnded || nowMs - this.#lastSentMs < SILENCE_MS_MAX) return false;
    this.#lastSentMs = nowMs;
    controller.enqueue(BLANK_LINE);
    return true;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#place.clock.after(LOOK_MS, resolve);
    });
  }

  /** Sends what was taken first; false when there was nothing to send. */
  async #sendNext(
    controller: ReadableStreamDefaultController<Uint8Array>,
    limit: LineLimit,
  ): Promise<boolean> {
    this.#take();
    if (this.#behindBytes > BEHIND_BYTES_MAX) throw new Error("too far behind: what is written is not read");
    const next = this.#taken.shift();
    if (next === undefined) return false;
    let hasSent = false;
    try {
      await this.#place.store.whenDurable();
      const { low, high, filter } = this.#query;
      const request = { low, high, filter, output: "lines" as const, batchBytes: 0, sources: next.specs };
      await readPieces(this.#place.store.scanSources(request), (piece) => {
        const lines = limit.take(piece);
        if (lines.byteLength === 0 || this.#isEnded) return;
        controller.enqueue(lines);
        this.#lastSentMs = this.#place.clock.monotonicMs();
        hasSent = true;
      });
    } finally {
      next.release();
    }
    return hasSent;
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#channel.onFreeze.delete(this.#onFreeze);
    for (const { release } of this.#taken.splice(0)) release();
  }
}
