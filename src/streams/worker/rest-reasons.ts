/**
 * Why sources rest.
 *
 * Invariant: sources go exactly while there is no reason to rest. A source that goes may, by what it feeds, bring up a
 * reason at once: the last word counts.
 */
import type { Source } from "../sources/source.ts";

export type RestReason = "epoch" | "checkpoint" | "hold" | "congested" | "leaving" | "finishing" | "closed";

export class RestReasons {
  readonly #sources: readonly Source[];
  readonly #reasons = new Set<RestReason>(["epoch"]);

  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  get reasons(): RestReason[] {
    return [...this.#reasons];
  }

  has(reason: RestReason): boolean {
    return this.#reasons.has(reason);
  }

  set(reason: RestReason, isGiven: boolean): void {
    if (this.#reasons.has(reason) === isGiven) return;
    if (isGiven) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    for (const source of this.#sources) {
      if (this.#reasons.size > 0) source.rest();
      else source.go();
    }
  }
}
