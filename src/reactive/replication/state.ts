/**
 * What all parts of a replica's state machine share: its view, its log, and the ways to act on the world.
 *
 * Invariant: nothing here touches the world. Messages and writes become actions, and what is to happen once a write is
 * durable waits here for the event that says so.
 */
import { assert } from "../../core/errors.ts";
import type { Random } from "../../core/seams/random.ts";
import { EntryLog } from "./entry-log.ts";
import {
  quorumOf,
  type Entry,
  type JournalRecord,
  type PeerMessage,
  type Promises,
  type ReplicaAction,
  type ReplicaSettings,
  type ReplicaStatus,
  type Restored,
} from "./types.ts";

interface AwaitedWrite {
  write: number;
  then: () => void;
}

/** So often at least a backup looks, and finds nothing of the primary, before it asks for another one. */
const LOOKS_MIN = 3;
/** A silence up to so many heartbeats is nothing unusual. */
const LATE_HEARTBEATS = 2;
const SILENCE_HALF_LIFE_MS = 10_000;

export class ReplicaState {
  readonly settings: ReplicaSettings;
  readonly random: Random;
  /** Names this life of the process: answers to questions of an earlier one are told apart by it. */
  readonly life: number;
  readonly quorum: number;
  phase: ReplicaStatus["phase"];
  nowMs = 0;
  wallMs = 0;
  groupMs = 0;
  group: number;
  incarnations: number[];
  founders: number[];
  view: number;
  /** The view that a promise on disk names. */
  durableView: number;
  /** The last view in which the log was normal. */
  logView: number;
  log: EntryLog;
  /** Entries up to here are in the journal, synced. */
  durableOp: number;
  /** Committed and handed to the service. */
  commit: number;
  /** The log of this view began with these: everything up to `base` comes from earlier views. */
  sourceView = 0;
  base = 0;
  /** A new log is on its way to the disk: neither the old nor the new one may be shown to others meanwhile. */
  isInstalling = false;
  isWritable = true;
  /** Another replica fetches a snapshot of this op: what is behind is kept for it. */
  heldOp = Number.POSITIVE_INFINITY;
  /** No other replica gets this one's help to become primary before this time. */
  promisedUntilMs = 0;
  electionAtMs = Number.POSITIVE_INFINITY;
  /** When the primary of the present view was last heard; at first when this replica started. Less the time in which it did not run itself. */
  heardAtMs = 0;
  /** In this life, in whatever view: before that it may be behind without knowing it. */
  hasHeardPrimary = false;
  /** The longest silence of a primary that ended by itself, less and less of it as time goes on. */
  #longestSilenceMs = 0;
  actions: ReplicaAction[] = [];
  #lastWrite = 0;
  #journalWrites: AwaitedWrite[] = [];
  #promiseWrites: AwaitedWrite[] = [];
  /** Grows when the log is cut: what was appended before does not count any more. */
  #logEpoch = 0;

  constructor(settings: ReplicaSettings, restored: Restored, random: Random) {
    const { promises } = restored;
    this.settings = settings;
    this.random = random;
    this.life = 1 + random.integer(2 ** 48 - 1);
    this.quorum = quorumOf(settings.replicas);
    this.phase = promises === undefined ? "blank" : "viewChange";
    this.group = promises?.group ?? 0;
    this.incarnations = promises?.incarnations.slice() ?? Array.from({ length: settings.replicas }, () => 0);
    this.founders = promises?.founders.slice() ?? [];
    this.logView = restored.logView;
    this.view = Math.max(promises?.view ?? 0, restored.logView);
    this.durableView = this.view;
    this.log = new EntryLog(restored.snapshotOp + 1);
    for (const entry of restored.entries) this.log.append(entry);
    this.durableOp = this.log.op;
    this.commit = restored.snapshotOp;
  }

  get self(): number {
    return this.settings.replica;
  }

  get incarnation(): number {
    return this.incarnations[this.self] as number;
  }

  primaryOf(view: number): number {
    return view % this.settings.replicas;
  }

  get primary(): number {
    return this.primaryOf(this.view);
  }

  /** The primary of its view, and at work. */
  get isPrimary(): boolean {
    return this.phase === "normal" && this.primary === this.self;
  }

  get isMember(): boolean {
    return this.phase === "normal" || this.phase === "viewChange";
  }

  /** Indexes of all other replicas. */
  get others(): number[] {
    return Array.from({ length: this.settings.replicas }, (_, index) => index).filter(
      (index) => index !== this.self,
    );
  }

  // --- acting ----------------------------------------------------------------------------------------------------

  send(to: number, message: PeerMessage): void {
    this.actions.push({ kind: "send", to, message });
  }

  broadcast(message: PeerMessage): void {
    for (const to of this.others) this.send(to, message);
  }

  note(text: string, level: "info" | "warn" = "info"): void {
    this.actions.push({ kind: "note", level, text });
  }

  resetElection(): void {
    const { electionMinMs, electionMaxMs } = this.settings;
    const waitMs = electionMinMs + this.random.float() * (electionMaxMs - electionMinMs);
    this.electionAtMs = this.nowMs + waitMs + this.#patienceMs;
  }

  /**
   * Where primaries are late now and then (a busy host, a bad network), a silence says less: the wait is longer by twice as
   * much as they were late, at most by electionMinMs. Where they are punctual nothing is added.
   */
  get #patienceMs(): number {
    const { heartbeatMs, electionMinMs } = this.settings;
    const lateMs = this.#longestSilenceMs - LATE_HEARTBEATS * heartbeatMs;
    return Math.min(Math.max(0, 2 * lateMs), electionMinMs);
  }

  /** The primary of the present view is at work. */
  hearPrimary(): void {
    const silenceMs = this.nowMs - this.heardAtMs;
    const faded = this.#longestSilenceMs * 0.5 ** (silenceMs / SILENCE_HALF_LIFE_MS);
    this.#longestSilenceMs = Math.max(silenceMs, faded);
    this.heardAtMs = this.nowMs;
    this.hasHeardPrimary = true;
    this.resetElection();
  }

  /** When a backup looks at its clock again, to find out whether it runs at all. */
  get lookAtMs(): number {
    return this.isMember && !this.isPrimary
      ? this.nowMs + this.settings.heartbeatMs
      : Number.POSITIVE_INFINITY;
  }

  /**
   * To be called first, with the time of a step. A backup that was suspended or too busy to look at its clock has not read what
   * the primary sent meanwhile: most of that time is not the primary's silence. Not all of it, so that backups that are late
   * each time notice a dead primary too, after some looks with nothing to read between them.
   */
  excuse(nowMs: number): void {
    const lostMs = nowMs - this.nowMs - this.settings.electionMinMs / LOOKS_MIN;
    if (lostMs <= 0) return;
    this.electionAtMs += lostMs;
    this.heardAtMs += lostMs;
    if (this.promisedUntilMs > this.nowMs) this.promisedUntilMs += lostMs;
  }

  // --- writing ---------------------------------------------------------------------------------------------------

  /** Appends entries to the log; `then` is called when they are durable, unless the log was cut meanwhile. */
  append(entries: Entry[], then: () => void): void {
    for (const entry of entries) this.log.append(entry);
    const epoch = this.#logEpoch;
    const { op } = this.log;
    this.#journal({ kind: "append", entries }, () => {
      if (epoch !== this.#logEpoch) return;
      this.durableOp = op;
      then();
    });
  }

  /** Makes the log that of the present view: `keep` entries of it stay, then come `entries`. */
  install(keep: number, entries: Entry[], then: () => void): void {
    assert(keep >= this.commit, "what is committed is never cut off");
    this.log.truncate(keep);
    for (const entry of entries) this.log.append(entry);
    const record = { kind: "install", logView: this.view, keep, entries } as const;
    this.#beginInstall(keep);
    this.#journal(record, () => this.#endInstall(then));
  }

  /** As `install`, on top of a snapshot that was fetched. */
  adopt(snapshotOp: number, entries: Entry[], then: () => void): void {
    assert(snapshotOp >= this.commit, "a snapshot never leads back");
    this.log = new EntryLog(snapshotOp + 1);
    for (const entry of entries) this.log.append(entry);
    this.commit = snapshotOp;
    this.#beginInstall(snapshotOp);
    const write = this.#await(this.#journalWrites, () => this.#endInstall(then));
    this.actions.push({ kind: "adopt", write, snapshotOp, logView: this.view, entries });
  }

  #beginInstall(keep: number): void {
    this.#logEpoch++;
    this.logView = this.view;
    this.durableOp = Math.min(this.durableOp, keep);
    this.isInstalling = true;
  }

  #endInstall(then: () => void): void {
    this.isInstalling = false;
    this.durableOp = this.log.op;
    then();
  }

  /** Writes down what this replica now promises. */
  promise(then: () => void): void {
    const { view, group, incarnations, founders } = this;
    const { replica, replicas } = this.settings;
    const write = this.#await(this.#promiseWrites, () => {
      this.durableView = Math.max(this.durableView, view);
      then();
    });
    const promises: Promises = {
      group,
      replica,
      replicas,
      view,
      incarnations: [...incarnations],
      founders: [...founders],
    };
    this.actions.push({ kind: "promise", write, promises });
  }

  #journal(record: JournalRecord, then: () => void): void {
    this.actions.push({ kind: "journal", write: this.#await(this.#journalWrites, then), record });
  }

  #await(list: AwaitedWrite[], then: () => void): number {
    const write = ++this.#lastWrite;
    list.push({ write, then });
    return write;
  }

  /** A write is durable, and so are those of its kind before it. */
  onDurable(write: number): void {
    const isPromise = this.#promiseWrites.some((awaited) => awaited.write === write);
    const list = isPromise ? this.#promiseWrites : this.#journalWrites;
    while (list[0] !== undefined && list[0].write <= write) list.shift()?.then();
  }

  // --- committing ------------------------------------------------------------------------------------------------

  /** Hands entries up to `op` to the service. */
  commitTo(op: number): void {
    const last = Math.min(op, this.log.op);
    if (last <= this.commit) return;
    const entries = this.log.slice(this.commit + 1, last);
    this.commit = last;
    this.actions.push({ kind: "apply", entries, isPrimary: this.isPrimary });
    this.log.release(last + 1, this.settings, this.heldOp);
  }

  /** What others know of incarnations, taken over. */
  learnIncarnations(incarnations: readonly number[]): void {
    this.incarnations = this.incarnations.map((own, index) => Math.max(own, incarnations[index] ?? 0));
  }
}
