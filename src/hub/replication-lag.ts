/**
 * Which replicas lag so that somebody should look: by how much, or for how long.
 *
 * Replicas are not asked in the same instant, and a busy one has what its group had a moment ago. So a replica is measured
 * against what its group had a round before; it lags when that is many entries, or when it has not caught up for some
 * rounds: one entry that never comes is as bad as a thousand.
 */
import type { Watched } from "../core/watch/watched.ts";
import { furthestOfGroups, limits, replicationLag } from "./concerns.ts";

export class ReplicationWatch {
  /** Committed entries of each group, as of the latest round. */
  #furthest: ReadonlyMap<string, number> = new Map();
  #lagging: ReadonlyMap<string, { entries: number; rounds: number }> = new Map();

  /** To be called with each round of answers. */
  round(watched: readonly Watched[]): void {
    const before = this.#lagging;
    this.#lagging = new Map(
      watched.flatMap((each) => {
        const entries = replicationLag(each, this.#furthest) ?? 0;
        if (entries <= 0) return [];
        const { name } = each.identity;
        return [[name, { entries, rounds: (before.get(name)?.rounds ?? 0) + 1 }]];
      }),
    );
    this.#furthest = furthestOfGroups(watched);
  }

  /** How far the instance is behind its group; undefined while that is nothing to look at. */
  textOf(instance: string): string | undefined {
    const lag = this.#lagging.get(instance);
    if (lag === undefined) return undefined;
    const { replicationLagShownEntries, replicationLagShownRounds } = limits;
    const isShown = lag.entries >= replicationLagShownEntries || lag.rounds >= replicationLagShownRounds;
    return isShown ? `${lag.entries.toLocaleString("en")} entries behind` : undefined;
  }
}
