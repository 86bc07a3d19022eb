/**
 * View changes: how a group gets another primary.
 *
 * A replica that hears no primary proposes the next view (startViewChange). That alone changes nothing, so a replica with
 * a bad link cannot disturb the others. When a quorum proposes, each of it writes the new view down, takes no part in
 * older ones from then on, and tells the new primary about its log (doViewChange). The new primary takes, out of a
 * quorum of logs, the one with the highest *log view*, the longest of these: the last view in which the sender's log was
 * that of a normal view, not the view of its last entry. It fetches what it lacks, installs it, and announces the view.
 *
 * Invariant: what a quorum had durably in its logs when it was committed is in the log of every later view, because two
 * quorums share a replica. A crash at any moment leaves a replica that knows its view and its log.
 */
import { assert } from "../../core/errors.ts";
import type { CatchUp, Target } from "./catch-up.ts";
import type { ReplicaState } from "./state.ts";
import type { PeerMessage } from "./types.ts";

type Of<Type extends PeerMessage["type"]> = Extract<PeerMessage, { type: Type }>;
type DoViewChange = Of<"doViewChange">;
type StartView = Of<"startView">;

/** A proposal counts for so many times the time after which it is repeated. */
const VOTE_RETRIES = 5;

export class ViewChange {
  readonly #state: ReplicaState;
  readonly #catchUp: CatchUp;
  /** Called when this replica stops being the primary. */
  readonly #onDeposed: () => void;
  /** The view that this replica has proposed; 0 when it has proposed none above its own. */
  #proposed = 0;
  /** The view in which this replica gave up its place as primary: it never takes it again there. */
  #resigned = -1;
  /** For each view who proposes it, and when that was last heard. */
  readonly #votes = new Map<number, Map<number, number>>();
  readonly #logs = new Map<number, DoViewChange>();
  #retryAtMs = Number.POSITIVE_INFINITY;

  constructor(state: ReplicaState, catchUp: CatchUp, onDeposed: () => void) {
    this.#state = state;
    this.#catchUp = catchUp;
    this.#onDeposed = onDeposed;
  }

  get deadlineMs(): number {
    return Math.min(this.#retryAtMs, this.#state.electionAtMs);
  }

  onWake(): void {
    const state = this.#state;
    if (!state.isMember) return;
    if (state.nowMs >= state.electionAtMs) {
      state.resetElection();
      if (!state.isPrimary) this.#blame();
    }
    if (state.nowMs >= this.#retryAtMs) this.#retry();
  }

  /** The primary was silent for too long. */
  #blame(): void {
    const state = this.#state;
    const { view, primary, nowMs, heardAtMs } = state;
    if (state.phase === "normal" && this.#proposed <= view)
      state.note(
        `replica ${primary} was not heard for ${Math.round(nowMs - heardAtMs)} ms: view ${view + 1} is asked for`,
      );
    this.propose(view + 1);
  }

  #retry(): void {
    const state = this.#state;
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    if (this.#proposed > state.view) {
      this.#ask();
      this.#retryLater();
    }
    if (state.phase === "viewChange") this.sendLog();
  }

  #retryLater(): void {
    this.#retryAtMs = this.#state.nowMs + this.#state.settings.retryMs;
  }

  // --- proposing -------------------------------------------------------------------------------------------------

  /** Asks for `view`. A primary that does so gives up its place at once. */
  propose(view: number): void {
    const state = this.#state;
    if (view <= state.view) return;
    if (state.isPrimary) this.resign();
    if (view > this.#proposed) {
      this.#proposed = view;
      this.#ask();
      this.#retryLater();
    }
    this.#vote(view, state.self);
  }

  /** Gives up the primary's place in the present view, for good. */
  resign(): void {
    const state = this.#state;
    this.#resigned = state.view;
    state.phase = "viewChange";
    state.resetElection();
    this.#onDeposed();
  }

  #ask(): void {
    const isResigning = this.#resigned === this.#state.view;
    this.#state.broadcast({ type: "startViewChange", proposed: this.#proposed, isResigning });
  }

  /** The primary is there after all. */
  withdraw(): void {
    if (this.#proposed === 0) return;
    this.#proposed = 0;
    this.forget(this.#state.self);
  }

  #vote(view: number, from: number): void {
    const { nowMs, self, settings, quorum } = this.#state;
    const votes = this.#votes.get(view) ?? new Map<number, number>();
    this.#votes.set(view, votes.set(from, nowMs));
    if (!votes.has(self)) return;
    // Who does not ask again has found a primary meanwhile.
    const oldestMs = nowMs - VOTE_RETRIES * settings.retryMs;
    const fresh = [...votes].filter(([voter, atMs]) => voter === self || atMs >= oldestMs);
    if (fresh.length >= quorum) this.#enter(view);
  }

  onStartViewChange(from: number, fromView: number, message: Of<"startViewChange">): void {
    const state = this.#state;
    const { proposed, isResigning } = message;
    if (proposed <= state.view) return;
    // The primary itself asks: it does not serve in this view any more, so nothing is owed to it.
    if (isResigning && from === state.primary && fromView === state.view) state.promisedUntilMs = 0;
    this.#vote(proposed, from);
    if (proposed <= state.view || this.#proposed >= proposed) return;
    if (this.#mayHelp(fromView)) this.propose(proposed);
  }

  /** Whether this replica may take part in a change of the primary. */
  #mayHelp(fromView: number): boolean {
    const state = this.#state;
    // A replica that is ahead can only come back through a higher view; the primary makes way for it.
    if (state.isPrimary) return fromView > state.view;
    return state.nowMs >= state.promisedUntilMs;
  }

  /** A replica with a new disk: what its earlier self said does not count. */
  forget(replica: number): void {
    for (const votes of this.#votes.values()) votes.delete(replica);
    this.#logs.delete(replica);
  }

  // --- the new view ----------------------------------------------------------------------------------------------

  /** A quorum asked for it. */
  #enter(view: number): void {
    this.#moveTo(view);
    const state = this.#state;
    state.note(`view ${view} begins, its primary is replica ${state.primary}`);
    state.promise(() => this.sendLog());
  }

  #moveTo(view: number): void {
    const state = this.#state;
    const wasPrimary = state.isPrimary;
    state.view = view;
    if (state.phase === "normal") state.phase = "viewChange";
    this.#proposed = 0;
    for (const voted of this.#votes.keys()) if (voted <= view) this.#votes.delete(voted);
    this.#logs.clear();
    this.#catchUp.abandon();
    state.resetElection();
    if (wasPrimary) this.#onDeposed();
  }

  /** Tells the new primary about the log, again until the view has begun. */
  sendLog(): void {
    const state = this.#state;
    if (state.phase !== "viewChange") return;
    this.#retryLater();
    // While the log is being replaced on disk, it is neither the old nor the new one.
    if (state.isInstalling || state.durableView < state.view || this.#resigned === state.view) return;
    const message: DoViewChange = {
      type: "doViewChange",
      logView: state.logView,
      op: state.log.op,
      commit: state.commit,
      incarnations: state.incarnations,
    };
    if (state.primary !== state.self) state.send(state.primary, message);
    else if (this.#catchUp.target === undefined) {
      this.#logs.set(state.self, message);
      this.#chooseLog();
    }
  }

  onDoViewChange(from: number, view: number, message: DoViewChange): void {
    const state = this.#state;
    state.learnIncarnations(message.incarnations);
    if (state.primaryOf(view) !== state.self || view < state.view) return;
    if (view > state.view) {
      // The sender saw a quorum; but a promise of our own comes first. The sender will ask again.
      if (state.isPrimary || state.nowMs < state.promisedUntilMs) return;
      this.#enter(view);
    }
    if (state.phase !== "viewChange" || this.#resigned === state.view) return;
    this.#logs.set(from, message);
    this.#chooseLog();
  }

  #chooseLog(): void {
    const state = this.#state;
    if (this.#catchUp.target !== undefined || !this.#logs.has(state.self) || state.isInstalling) return;
    const logs = [...this.#logs].filter(([from]) => !this.#isGhost(from));
    if (logs.length < state.quorum) return;
    const [source, chosen] = logs.reduce((best, next) => (isBetter(next[1], best[1]) ? next : best));
    const commit = Math.max(...logs.map(([, log]) => log.commit));
    assert(commit <= chosen.op, `the log of view ${state.view} holds everything that is committed`);
    this.#catchUp.begin({
      view: state.view,
      source,
      sourceView: chosen.logView,
      base: chosen.op,
      op: chosen.op,
      commit,
    });
  }

  /** Whether another log knows that `replica` lost its disk since it sent its own. */
  #isGhost(replica: number): boolean {
    const said = this.#logs.get(replica)?.incarnations[replica] ?? 0;
    return said < (this.#state.incarnations[replica] ?? 0);
  }

  // --- joining a view that has begun ------------------------------------------------------------------------------

  onStartView(from: number, view: number, message: StartView): void {
    const state = this.#state;
    if (view < state.view || state.primaryOf(view) !== from) return;
    if (view === state.view) {
      if (state.phase === "normal" || state.primary === state.self) return;
      if (this.#catchUp.target !== undefined || state.isInstalling) return;
    } else {
      // While a log of another view is on its way to the disk, it is finished first; the primary will be heard again.
      if (state.isInstalling) return;
      this.#moveTo(view);
      if (state.phase !== "recovering") state.promise(() => this.sendLog());
    }
    state.learnIncarnations(message.incarnations);
    state.resetElection();
    const { sourceView, base, op, commit } = message;
    this.#catchUp.begin({ view, source: from, sourceView, base, op, commit } satisfies Target);
  }
}

function isBetter(one: DoViewChange, other: DoViewChange): boolean {
  if (one.logView !== other.logView) return one.logView > other.logView;
  return one.op > other.op;
}
