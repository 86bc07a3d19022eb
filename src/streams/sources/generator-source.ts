/**
 * A made-up input: each value follows from the one before, so going back is nothing special.
 *
 * Invariant: the position is the last value that was fed; the values behind it are the same ones every time.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { GeneratorNode } from "../plan/nodes.ts";
import type { Source, SourceHost } from "./source.ts";

/** Values between two turns of the event loop. */
const BURST = 256;

interface Position {
  count: number;
  last: unknown;
}

export class GeneratorSource implements Source {
  readonly name: string;
  readonly node: GeneratorNode;
  readonly #host: SourceHost;
  readonly #clock: Clock;
  #position: Position = { count: 0, last: undefined };
  #rests = true;
  #timer: Timer | undefined;
  #isScheduled = false;
  #isClosed = false;
  /** Pause between two bursts. */
  readonly #pauseMs: number;

  constructor(node: GeneratorNode, host: SourceHost, clock: Clock, pauseMs: number) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#clock = clock;
    this.#pauseMs = pauseMs;
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
    this.#timer = this.#clock.after(this.#pauseMs, () => {
      this.#isScheduled = false;
      this.#burst();
    });
  }

  #burst(): void {
    if (this.#rests || this.#isClosed) return;
    const startedMs = this.#clock.monotonicMs();
    const { first, next } = this.node.options;
    let fed = 0;
    for (; fed < BURST; fed++) {
      const { count, last } = this.#position;
      const value = count === 0 ? first : next(last);
      if (value === undefined) break;
      this.#position = { count: count + 1, last: value };
      this.#host.feedValue(this.node, value);
    }
    this.#host.onBatchEnd(fed, startedMs);
    if (fed === BURST) this.#schedule();
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
