/**
 * Tells the other workers how far the event time of this worker's own input to each exchange has come.
 *
 * Invariant: a mark travels behind the records that it speaks of, and only when it is another one than before.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { OutgoingLinks } from "../links/outgoing-links.ts";
import type { Engine } from "../runtime/engine.ts";

export class MarkSender {
  readonly #engine: Engine;
  readonly #links: OutgoingLinks;
  readonly #clock: Pick<Clock, "nowMs">;
  /** By exchange. */
  readonly #sent = new Map<number, number>();

  constructor(engine: Engine, links: OutgoingLinks, clock: Pick<Clock, "nowMs">) {
    this.#engine = engine;
    this.#links = links;
    this.#clock = clock;
  }

  /** A new epoch: nobody was told anything. */
  reset(): void {
    this.#sent.clear();
  }

  send(): void {
    const { windows, watermarks, plan } = this.#engine;
    if (windows.size === 0) return;
    watermarks.update(this.#clock.nowMs());
    for (const [index, exchange] of plan.exchanges.entries()) {
      const markMs = watermarks.local(exchange);
      if (exchange.isLocal || this.#sent.get(index) === markMs) continue;
      this.#sent.set(index, markMs);
      this.#links.each((link) => link.watermark(index, markMs));
    }
  }
}
