/**
 * Counts the faults that a simulation really injected.
 *
 * Invariant: a simulation that claims to survive a kind of fault must have met it. `requireAll` fails a run
 * in which an expected kind never happened, so a switch that silently stopped working is noticed.
 */
import { SimulationError } from "./scheduler.ts";

export class FaultCounts {
  #counts = new Map<string, number>();

  count(kind: string, by = 1): void {
    this.#counts.set(kind, this.of(kind) + by);
  }

  of(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }

  add(other: FaultCounts): void {
    for (const [kind, count] of other.#counts) this.count(kind, count);
  }

  /** Throws with the names of the kinds that never happened. */
  requireAll(kinds: readonly string[]): void {
    const missing = kinds.filter((kind) => this.of(kind) === 0);
    if (missing.length > 0) {
      throw new SimulationError(`the simulation never injected: ${missing.join(", ")} (it injected ${this})`);
    }
  }

  toString(): string {
    const sorted = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.length === 0 ? "nothing" : sorted.map(([kind, count]) => `${kind} ${count}`).join(", ");
  }
}
