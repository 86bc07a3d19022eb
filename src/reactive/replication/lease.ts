/**
 * Reads at the primary without a log entry: by a lease while one is held, else after a round of messages.
 *
 * Invariant: a read is answered only when no other replica can have become primary before the read arrived, and when
 * everything that was acknowledged before has been applied. A backup that received a heartbeat helps nobody else to
 * become primary for `leaseMs` on its own clock; so from a quorum's answers the primary knows until when it is alone,
 * counted from when the heartbeat was *sent*, less a margin for clocks that run differently. A host that was suspended has
 * a monotonic clock that stood still; its wall clock then jumps, and the lease is given up. Without a lease the read
 * waits for a quorum's answers to a heartbeat that was sent after it arrived.
 */
import type { ReplicaState } from "./state.ts";

interface WaitingRead {
  id: number;
  arrivedAtMs: number;
  /** What has to be committed before. */
  op: number;
}

export class Lease {
  readonly #state: ReplicaState;
  /** For each replica when the newest heartbeat that it answered was sent. */
  #answeredMs: number[] = [];
  #reads: WaitingRead[] = [];

  constructor(state: ReplicaState) {
    this.#state = state;
  }

  get waiting(): number {
    return this.#reads.length;
  }

  begin(): void {
    this.#answeredMs = Array.from({ length: this.#state.settings.replicas }, () => Number.NEGATIVE_INFINITY);
    this.#reads = [];
  }

  /** When the newest heartbeat was sent that a quorum (with this replica) has answered. */
  get #quorumAnsweredMs(): number {
    const { self, nowMs, quorum } = this.#state;
    this.#answeredMs[self] = nowMs;
    return [...this.#answeredMs].sort((a, b) => b - a)[quorum - 1] as number;
  }

  get isHeld(): boolean {
    const { leaseMs, leaseMargin } = this.#state.settings;
    return this.#state.nowMs < this.#quorumAnsweredMs + leaseMs * (1 - leaseMargin);
  }

  renew(from: number, sentAtMs: number): void {
    if (sentAtMs > (this.#answeredMs[from] as number)) this.#answeredMs[from] = sentAtMs;
  }

  forget(replica: number): void {
    this.#answeredMs[replica] = Number.NEGATIVE_INFINITY;
  }

  /** This host stood still, its clock with it: what others promised meanwhile may be over. */
  distrust(): void {
    this.#answeredMs.fill(Number.NEGATIVE_INFINITY);
  }

  read(id: number): void {
    const state = this.#state;
    // Entries of earlier views may have been acknowledged by their primaries: all of them count.
    const op = Math.max(state.commit, state.base);
    if (state.isPrimary) this.#reads.push({ id, arrivedAtMs: state.nowMs, op });
    else state.actions.push({ kind: "readRefused", id });
  }

  /** Lets go of the reads that are certain. */
  serve(): void {
    if (this.#reads.length === 0) return;
    const { commit } = this.#state;
    const answeredMs = this.#quorumAnsweredMs;
    const { isHeld } = this;
    this.#reads = this.#reads.filter(({ id, arrivedAtMs, op }) => {
      const isCertain = commit >= op && (isHeld || answeredMs >= arrivedAtMs);
      if (isCertain) this.#state.actions.push({ kind: "readReady", id });
      return !isCertain;
    });
  }

  refuseAll(): void {
    for (const { id } of this.#reads) this.#state.actions.push({ kind: "readRefused", id });
    this.#reads = [];
  }
}
