/**
 * Normal work: the primary orders requests and waits for a quorum, backups write down and acknowledge.
 *
 * Invariant: an entry is committed when a quorum has it durably in logs of the same view. The primary writes its own copy
 * while the messages travel, and counts itself only when that write is durable: it may be the last one of the quorum.
 */
import { assert } from "../../core/errors.ts";
import { encodeRequests, entryBytes, requestBytes } from "./codec.ts";
import { Lease } from "./lease.ts";
import type { ReplicaState } from "./state.ts";
import type { Entry, Envelope, PeerMessage, Request } from "./types.ts";

type Prepare = Extract<PeerMessage, { type: "prepare" }>;

export class Normal {
  readonly #state: ReplicaState;
  readonly lease: Lease;
  /** Requests that no entry holds yet. */
  #waiting: Request[] = [];
  #waitingBytes = 0;
  /** What each replica has durably in this view, as far as it said. */
  #acknowledged: number[] = [];
  #heartbeatAtMs = Number.POSITIVE_INFINITY;
  /** As backup: of the newest `prepare`. */
  #sentAtMs = Number.NEGATIVE_INFINITY;
  /** As backup: how long the primary's log is, as far as known. */
  #primaryOp = 0;
  /** As backup: when missing entries, or the present view, may be asked for again. */
  #askAtMs = 0;
  /** When a quorum of backups was last heard. */
  #quorumHeardMs = 0;
  #heardMs: number[] = [];

  constructor(state: ReplicaState) {
    this.#state = state;
    this.lease = new Lease(state);
  }

  get deadlineMs(): number {
    return this.#state.isPrimary ? this.#heartbeatAtMs : Number.POSITIVE_INFINITY;
  }

  /** No quorum answers: the others may have another primary by now. */
  get isIsolated(): boolean {
    const { nowMs, settings, quorum } = this.#state;
    return quorum > 1 && nowMs - this.#quorumHeardMs > settings.electionMaxMs;
  }

  /** So much waits already that no more is taken. */
  get isOverloaded(): boolean {
    return this.#waitingBytes > this.#state.settings.waitingBytesMax;
  }

  get takesRequests(): boolean {
    return this.#state.isPrimary && this.#state.isWritable && !this.isIsolated;
  }

  // --- as primary ------------------------------------------------------------------------------------------------

  beginAsPrimary(): void {
    const { settings, nowMs } = this.#state;
    this.#clear();
    this.#acknowledged = Array.from({ length: settings.replicas }, () => 0);
    this.#heardMs = Array.from({ length: settings.replicas }, () => nowMs);
    this.#quorumHeardMs = nowMs;
    this.lease.begin();
    this.#heartbeat();
    this.#countDurable();
  }

  #clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  onDeposed(): void {
    this.#clear();
    this.#state.actions.push({ kind: "dropRequests" });
    this.lease.refuseAll();
  }

  request(request: Request): void {
    this.#waiting.push(request);
    this.#waitingBytes += requestBytes(request);
  }

  /** Makes entries of what waits, as far as the pipeline has room. */
  flush(): void {
    const state = this.#state;
    if (this.#waiting.length === 0 || !this.takesRequests) return;
    const entries: Entry[] = [];
    while (this.#waiting.length > 0) {
      if (state.log.op + entries.length - state.commit >= state.settings.pipelineMax) break;
      entries.push(this.#nextEntry(state.log.op + entries.length + 1));
    }
    if (entries.length === 0) return;
    state.append(entries, () => this.#onOwnDurable());
    for (const message of this.#inMessages(entries)) this.#prepare(message);
  }

  /** Long entries do not travel together: a message has its limit. */
  #inMessages(entries: readonly Entry[]): Entry[][] {
    const messages: Entry[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const entry of entries) {
      bytes += entryBytes(entry);
      if (bytes > this.#state.settings.transferBytesMax) {
        messages.push([]);
        bytes = entryBytes(entry);
      }
      messages.at(-1)?.push(entry);
    }
    return messages;
  }

  #nextEntry(op: number): Entry {
    const { settings, view, groupMs } = this.#state;
    let bytes = 0;
    let count = 0;
    for (const request of this.#waiting) {
      const isFull = bytes + requestBytes(request) > settings.entryBytesMax;
      if (count > 0 && (isFull || count >= settings.entryRequestsMax)) break;
      bytes += requestBytes(request);
      count++;
    }
    this.#waitingBytes -= bytes;
    const requests = this.#waiting.splice(0, count);
    return {
      op,
      view,
      timeMs: Math.max(0, Math.floor(groupMs)),
      payload: encodeRequests(requests),
      requests,
    };
  }

  #heartbeat(): void {
    this.#prepare([]);
  }

  #prepare(entries: Entry[]): void {
    const { nowMs, log, commit, settings } = this.#state;
    this.#heartbeatAtMs = nowMs + settings.heartbeatMs;
    // What the next message brings is not missing.
    const op = entries.at(-1)?.op ?? log.op;
    this.#state.broadcast({ type: "prepare", sentAtMs: nowMs, op, commit, entries });
  }

  onWake(): void {
    const state = this.#state;
    if (!state.isPrimary) return;
    if (this.isIsolated && this.#waiting.length + this.lease.waiting > 0) this.onDeposed();
    if (state.nowMs >= this.#heartbeatAtMs) this.#heartbeat();
  }

  #onOwnDurable(): void {
    if (this.#state.isPrimary) this.#countDurable();
    else this.acknowledge();
  }

  onPrepareOk(from: number, op: number, sentAtMs: number): void {
    const state = this.#state;
    assert(
      op <= state.log.op,
      `replica ${from} acknowledges entry ${op} of a log that ends at ${state.log.op}`,
    );
    this.#acknowledged[from] = Math.max(this.#acknowledged[from] ?? 0, op);
    this.#hear(from);
    this.lease.renew(from, sentAtMs);
    this.#countDurable();
  }

  #hear(from: number): void {
    const { self, nowMs, quorum } = this.#state;
    this.#heardMs[from] = nowMs;
    this.#heardMs[self] = nowMs;
    this.#quorumHeardMs = [...this.#heardMs].sort((a, b) => b - a)[quorum - 1] as number;
  }

  /** Its disk was lost: what it acknowledged is not there any more. */
  forget(replica: number): void {
    this.#acknowledged[replica] = 0;
    this.lease.forget(replica);
  }

  #countDurable(): void {
    const state = this.#state;
    this.#acknowledged[state.self] = state.durableOp;
    const ops = [...this.#acknowledged].sort((a, b) => b - a);
    state.commitTo(ops[state.quorum - 1] as number);
    this.lease.serve();
    this.flush();
  }

  // --- as backup -------------------------------------------------------------------------------------------------

  onPrepare(envelope: Envelope, message: Prepare): void {
    const state = this.#state;
    const { from, view } = envelope;
    if (view < state.view || from !== state.primaryOf(view) || from === state.self) return;
    if (view > state.view || state.phase !== "normal") {
      // A view has begun without this replica.
      state.resetElection();
      if (state.isMember) this.#askLater(() => state.send(from, { type: "getView", nonce: 0 }));
      return;
    }
    state.promisedUntilMs = state.nowMs + state.settings.leaseMs;
    this.#sentAtMs = Math.max(this.#sentAtMs, message.sentAtMs);
    state.hearPrimary();
    const isLonger = this.#take(message.entries);
    this.#primaryOp = Math.max(this.#primaryOp, message.op);
    this.#askForMissing();
    state.commitTo(message.commit);
    if (!isLonger) this.acknowledge();
  }

  beginAsBackup(): void {
    this.#sentAtMs = Number.NEGATIVE_INFINITY;
    this.#primaryOp = 0;
    this.#askAtMs = 0;
    this.#state.heardAtMs = this.#state.nowMs;
    this.#state.resetElection();
    this.acknowledge();
  }

  acknowledge(): void {
    const { phase, primary, self, durableOp } = this.#state;
    if (phase !== "normal" || primary === self) return;
    this.#state.send(primary, { type: "prepareOk", sentAtMs: this.#sentAtMs, op: durableOp });
  }

  /** Entries of the primary's log; true when some were new. */
  #take(entries: readonly Entry[]): boolean {
    const state = this.#state;
    if (!state.isWritable) return false;
    const fresh = entries.filter((entry) => entry.op > state.log.op);
    if (fresh[0]?.op !== state.log.op + 1) return false;
    state.append(fresh, () => this.#onOwnDurable());
    return true;
  }

  onEntries(from: number, view: number, message: Extract<PeerMessage, { type: "entries" }>): void {
    const state = this.#state;
    if (state.phase !== "normal" || view !== state.view || from !== state.primary) return;
    if (message.start > state.log.op + 1) {
      // The primary has let go of what is missing here: only a snapshot helps.
      state.phase = "viewChange";
      state.send(from, { type: "getView", nonce: 0 });
      return;
    }
    this.#askAtMs = 0;
    if (this.#take(message.entries)) this.#askForMissing();
  }

  #askForMissing(): void {
    const { log, primary, isWritable } = this.#state;
    const last = this.#primaryOp;
    if (last <= log.op || !isWritable) return;
    this.#askLater(() => this.#state.send(primary, { type: "getEntries", first: log.op + 1, last }));
  }

  #askLater(ask: () => void): void {
    const { nowMs, settings } = this.#state;
    if (nowMs < this.#askAtMs) return;
    this.#askAtMs = nowMs + settings.retryMs;
    ask();
  }
}
