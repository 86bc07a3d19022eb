/**
 * Makes this replica's log that of a view: finds out what is missing, fetches it, and installs all of it in one step.
 *
 * Invariant: the log, and the log view that judges it in view changes, change together and only when everything up to
 * the target is at hand. A log that claimed a view while it still missed entries of it could win a view change and lose
 * what others had committed. A crash, or a newer view, drops what was fetched; the old log is still whole then.
 */
import { assert } from "../../core/errors.ts";
import type { ReplicaState } from "./state.ts";
import type { Entry, PeerMessage } from "./types.ts";

export interface Target {
  view: number;
  /** Who has the log. */
  source: number;
  /** The log view of the log that was chosen for this view, and where what comes from it ends. */
  sourceView: number;
  base: number;
  op: number;
  commit: number;
}

interface Fetch {
  target: Target;
  /** Own entries up to here stay; with a snapshot, its last op. */
  keep: number;
  staged: Entry[];
  isAwaitingSnapshot: boolean;
  hasSnapshot: boolean;
}

export class CatchUp {
  readonly #state: ReplicaState;
  readonly #onInstalled: (target: Target) => void;
  #fetch: Fetch | undefined;
  #retryAtMs = Number.POSITIVE_INFINITY;

  constructor(state: ReplicaState, onInstalled: (target: Target) => void) {
    this.#state = state;
    this.#onInstalled = onInstalled;
  }

  get target(): Target | undefined {
    return this.#fetch?.target;
  }

  get deadlineMs(): number {
    return this.#retryAtMs;
  }

  get trouble(): string | undefined {
    const fetch = this.#fetch;
    if (fetch === undefined) return undefined;
    if (fetch.isAwaitingSnapshot) return `fetching a snapshot from replica ${fetch.target.source}`;
    return `fetching entries up to ${fetch.target.op} from replica ${fetch.target.source}`;
  }

  begin(target: Target): void {
    this.abandon();
    const { log, logView, commit } = this.#state;
    let keep = commit;
    // Logs of one view are beginnings of its primary's log, so where they overlap they agree.
    if (logView === target.sourceView) keep = Math.max(keep, Math.min(log.op, target.base));
    if (logView === target.view) keep = log.op;
    const op = Math.max(target.op, keep);
    this.#fetch = {
      target: { ...target, op },
      keep,
      staged: [],
      isAwaitingSnapshot: false,
      hasSnapshot: false,
    };
    this.#proceed();
  }

  abandon(): void {
    const fetch = this.#fetch;
    if (fetch?.isAwaitingSnapshot === true || fetch?.hasSnapshot === true) {
      this.#state.actions.push({ kind: "abandonSnapshot" });
    }
    this.#fetch = undefined;
    this.#retryAtMs = Number.POSITIVE_INFINITY;
  }

  onWake(): void {
    if (this.#state.nowMs >= this.#retryAtMs) this.#proceed();
  }

  onEntries(from: number, view: number, message: Extract<PeerMessage, { type: "entries" }>): void {
    const fetch = this.#fetch;
    const isExpected = fetch?.target.source === from && fetch.target.view === view;
    if (!isExpected || fetch.isAwaitingSnapshot) return;
    const next = this.#next(fetch);
    if (message.start > next) {
      this.#fetchSnapshot(fetch);
      return;
    }
    for (const entry of message.entries) {
      if (entry.op === this.#next(fetch) && entry.op <= fetch.target.op) fetch.staged.push(entry);
    }
    if (this.#next(fetch) > next) this.#proceed();
  }

  onSnapshotReady(op: number): void {
    const fetch = this.#fetch;
    if (fetch?.isAwaitingSnapshot !== true) return;
    fetch.isAwaitingSnapshot = false;
    if (op <= fetch.keep) {
      // Of an earlier attempt, or from a source that is behind: it would lead back.
      this.#state.actions.push({ kind: "abandonSnapshot" });
    } else {
      fetch.hasSnapshot = true;
      fetch.keep = op;
      fetch.staged = [];
    }
    this.#proceed();
  }

  onSnapshotFailed(): void {
    if (this.#fetch === undefined) return;
    this.#fetch.isAwaitingSnapshot = false;
    this.#retryAtMs = this.#state.nowMs + this.#state.settings.retryMs;
  }

  #next(fetch: Fetch): number {
    return fetch.keep + fetch.staged.length + 1;
  }

  #proceed(): void {
    const fetch = this.#fetch as Fetch;
    this.#retryAtMs = this.#state.nowMs + this.#state.settings.retryMs;
    if (fetch.isAwaitingSnapshot) return;
    const first = this.#next(fetch);
    if (first <= fetch.target.op) {
      this.#state.send(fetch.target.source, { type: "getEntries", first, last: fetch.target.op });
    } else if (this.#state.isWritable && !this.#state.isInstalling) this.#install(fetch);
  }

  #fetchSnapshot(fetch: Fetch): void {
    if (fetch.hasSnapshot) this.#state.actions.push({ kind: "abandonSnapshot" });
    fetch.hasSnapshot = false;
    fetch.isAwaitingSnapshot = true;
    this.#state.actions.push({ kind: "fetchSnapshot", from: fetch.target.source });
  }

  #install(fetch: Fetch): void {
    const { keep, staged, target } = fetch;
    const state = this.#state;
    assert(target.view === state.view, "only the log of the present view is installed");
    this.#fetch = undefined;
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    const installed = () => this.#onInstalled(target);
    if (fetch.hasSnapshot) state.adopt(keep, staged, installed);
    else state.install(keep, staged, installed);
  }
}
