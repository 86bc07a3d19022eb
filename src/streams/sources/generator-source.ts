/**
 * A made-up input: each value follows from the one before, so going back is nothing special.
 *
 * Invariant: the position is the last value that was fed; the values behind it are the same ones every time.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import { isJson } from "../api/codecs.ts";
import type { GeneratorNode } from "../plan/nodes.ts";
import { messageOf } from "../thrown.ts";
import type { Source, SourceHost } from "./source.ts";

/** Values between two turns of the event loop. */
const BURST = 256;

export interface GeneratorSourceOptions {
  clock: Clock;
  /** Pause between two bursts. */
  pauseMs: number;
  onFatal(error: Error): void;
}

interface Position {
  count: number;
  last: unknown;
}

export class GeneratorSource implements Source {
  readonly name: string;
  readonly node: GeneratorNode;
  readonly #host: SourceHost;
  readonly #options: GeneratorSourceOptions;
  #position: Position = { count: 0, last: undefined };
  #rests = true;
  #timer: Timer | undefined;
  #isScheduled = false;
  #isClosed = false;

  constructor(node: GeneratorNode, host: SourceHost, options: GeneratorSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
  }

  async open(): Promise<undefined> {
    return undefined;
  }

  go(): void {
    this.#rests = false;
    this.#schedule();
  }

  rest(): void {
    this.#rests = true;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    const { clock, pauseMs } = this.#options;
    this.#timer = clock.after(pauseMs, () => {
      this.#isScheduled = false;
      this.#burst();
    });
  }

  #burst(): void {
    if (this.#rests || this.#isClosed) return;
    const startedMs = this.#options.clock.monotonicMs();
    let fed = 0;
    for (; fed < BURST; fed++) {
      const value = this.#next();
      if (value === undefined) break;
      this.#position = { count: this.#position.count + 1, last: value };
      this.#host.feedValue(this.node, value);
    }
    this.#host.onBatchEnd(fed, startedMs);
    if (fed === BURST) this.#schedule();
  }

  /** Undefined at the end, and when the application throws: nobody knows what would come behind that. */
  #next(): unknown {
    const { count, last } = this.#position;
    const { first, next } = this.node.options;
    try {
      const value = count === 0 ? first : next(last);
      if (value !== undefined && !isJson(value)) throw new TypeError("a value that JSON cannot hold");
      return value;
    } catch (error) {
      this.#isClosed = true;
      this.#options.onFatal(
        new NxError(
          "NX_STREAM_APP_FAILED",
          `the generator "${this.name}" threw behind its value number ${count}: ${messageOf(error)}`,
          { hint: "correct the application; it goes on from the last checkpoint", cause: error },
        ),
      );
      return undefined;
    }
  }

  position(): Position {
    return this.#position;
  }

  committed(): void {}

  async rollBack(position: unknown): Promise<void> {
    this.#position = (position as Position | undefined) ?? { count: 0, last: undefined };
  }

  stats() {
    return { kind: "generator", records: this.#position.count };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
  }
}
