/**
 * What comes over links: processed at once, unless it came behind the barrier of a checkpoint that is not aligned yet. That
 * is kept as bytes until it is.
 *
 * Invariant: what is released is what was held, in that order, and nothing stays. Past a few megabytes the worker counts as
 * congested (runtime.ts), so the sources of all workers rest until it is aligned.
 */
import type { NumberedMessage } from "../links/frames.ts";
import type { Engine } from "../runtime/engine.ts";
import { copyOf } from "../wire/bytes.ts";

type Held = { exchange: number; timeMs: number; key: string; bytes: Uint8Array } | HeldWatermark;

interface HeldWatermark {
  exchange: number;
  timeMs: number;
  peer: number;
}

export class LinkRecords {
  readonly #engine: Engine;
  readonly #isBehind: (exchange: number, peer: number) => boolean;
  #held: Held[] = [];
  #heldBytes = 0;

  /** `isBehind`: whether what this worker sends through this exchange has to wait. */
  constructor(engine: Engine, isBehind: (exchange: number, peer: number) => boolean) {
    this.#engine = engine;
    this.#isBehind = isBehind;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  batch(peer: number, items: Extract<NumberedMessage, { type: "batch" }>["items"]): void {
    while (items.remaining > 0) {
      const exchange = items.u16();
      const timeMs = items.f64();
      const key = items.text();
      const bytes = items.bytes();
      if (this.#isBehind(exchange, peer)) {
        this.#held.push({ exchange, timeMs, key, bytes: copyOf(bytes) });
        this.#heldBytes += bytes.byteLength;
      } else this.#engine.receive(exchange, key, timeMs, bytes, 0, bytes.byteLength);
    }
  }

  watermark(peer: number, exchange: number, timeMs: number): void {
    if (this.#isBehind(exchange, peer)) this.#held.push({ exchange, timeMs, peer });
    else this.#hear({ exchange, timeMs, peer });
  }

  #hear({ exchange, peer, timeMs }: HeldWatermark): void {
    this.#engine.watermarks.hear(exchange, peer, timeMs);
  }

  /** The checkpoint is aligned: what was held comes. */
  release(): void {
    const held = this.#held;
    this.clear();
    for (const each of held) {
      if ("peer" in each) this.#hear(each);
      else this.#engine.receive(each.exchange, each.key, each.timeMs, each.bytes, 0, each.bytes.byteLength);
    }
  }

  clear(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }
}
