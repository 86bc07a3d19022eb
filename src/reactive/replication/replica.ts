/**
 * One replica of a group as a pure state machine: `step(moment, event)` returns actions, and nothing else happens.
 *
 * The protocol is Viewstamped Replication Revisited with these differences, each for a reason:
 *  - Logs, views and promises are on disk before they are spoken of, so a restart is only a long pause. A primary that
 *    restarts never goes on in its view, because it may have sent entries that it did not write down: it asks for another.
 *  - A view change is proposed before it is entered (view-change.ts): a replica with a bad link disturbs nobody.
 *  - Backups give leases (lease.ts), so the primary answers reads alone.
 *  - Messages carry no logs but their ends; who misses entries asks for them (catch-up.ts) and installs them in one step.
 *  - A replica that lost its disk comes back as another incarnation (membership.ts).
 *
 * Parts: normal.ts (ordering and committing), view-change.ts, catch-up.ts, membership.ts, lease.ts; they share state.ts.
 * `driver.ts` carries the actions out. The same seed, settings and events give the same actions.
 *
 * Invariant: no acknowledged request is lost or changes its place as long as a quorum of replicas keeps its disks. What a
 * crash does: see `Restored` in types.ts; the driver hands in what the disk kept.
 */
import { assert } from "../../core/errors.ts";
import type { Random } from "../../core/seams/random.ts";
import { CatchUp, type Target } from "./catch-up.ts";
import { Membership } from "./membership.ts";
import { Normal } from "./normal.ts";
import { ReplicaState } from "./state.ts";
import type {
  Envelope,
  Moment,
  PeerMessage,
  ReplicaAction,
  ReplicaEvent,
  ReplicaSettings,
  ReplicaStatus,
  Request,
  Restored,
} from "./types.ts";
import { ViewChange } from "./view-change.ts";

export class Replica {
  readonly #state: ReplicaState;
  readonly #normal: Normal;
  readonly #catchUp: CatchUp;
  readonly #viewChange: ViewChange;
  readonly #membership: Membership;

  constructor(settings: ReplicaSettings, restored: Restored, random: Random) {
    assert(settings.leaseMs < settings.electionMinMs, "a lease is shorter than the wait for another primary");
    this.#state = new ReplicaState(settings, restored, random);
    this.#normal = new Normal(this.#state);
    this.#catchUp = new CatchUp(this.#state, (target) => this.#onInstalled(target));
    this.#viewChange = new ViewChange(this.#state, this.#catchUp, () => this.#normal.onDeposed());
    this.#membership = new Membership(this.#state, () => this.#begin());
  }

  /** To be called once, before the first step. */
  start(moment: Moment): ReplicaAction[] {
    const state = this.#state;
    return this.#acting(moment, () => {
      // What this process promised before it stopped is not known: the longest promise is assumed.
      state.promisedUntilMs = moment.monotonicMs + state.settings.leaseMs;
      state.heardAtMs = moment.monotonicMs;
      if (state.phase === "blank") {
        state.promisedUntilMs = 0;
        this.#membership.start();
        return;
      }
      state.resetElection();
      if (state.logView === state.view && state.primary !== state.self) {
        state.phase = "normal";
        return;
      }
      if (state.primary === state.self && state.logView === state.view) {
        this.#viewChange.resign();
        this.#viewChange.propose(state.view + 1);
      } else this.#viewChange.sendLog();
    });
  }

  /**
   * Takes a client's request, if it is a primary (`takesRequests`). Nothing follows from it before the next `turnEnd`, so it is no step: there is
   * one for each command.
   */
  take(request: Request): void {
    this.#normal.request(request);
  }

  step(moment: Moment, event: ReplicaEvent): ReplicaAction[] {
    return this.#acting(moment, () => this.#handle(event));
  }

  /** The next `wake` is due then, on the monotonic clock. */
  get deadlineMs(): number {
    return Math.min(
      this.#normal.deadlineMs,
      this.#state.isMember ? this.#viewChange.deadlineMs : Number.POSITIVE_INFINITY,
      this.#catchUp.deadlineMs,
      this.#membership.deadlineMs,
      this.#state.lookAtMs,
    );
  }

  /** Another replica fetches the service's state at this op, and will want what follows; infinity: none does. */
  hold(op: number): void {
    this.#state.heldOp = op;
  }

  get takesRequests(): boolean {
    return this.#normal.takesRequests;
  }

  get isOverloaded(): boolean {
    return this.#normal.isOverloaded;
  }

  /** Of the status, for those who ask with each request. */
  get view(): number {
    return this.#state.view;
  }

  get isPrimary(): boolean {
    return this.#state.isPrimary;
  }

  get status(): ReplicaStatus {
    const { phase, view, primary, isPrimary, log, commit, durableOp } = this.#state;
    return { phase, view, primary, isPrimary, op: log.op, commit, durableOp, trouble: this.#trouble };
  }

  /** Whether the primary may answer reads without asking anybody. */
  get hasLease(): boolean {
    return this.#state.isPrimary && this.#normal.lease.isHeld;
  }

  /** What has to be kept on disk beside the service's state: for the journal's snapshot. */
  get durableLog() {
    const { logView, commit, log } = this.#state;
    return { logView, snapshotOp: commit, entries: log.slice(commit + 1, log.op) };
  }

  get incarnation(): number {
    return this.#state.incarnation;
  }

  envelope(message: PeerMessage): Envelope {
    const { group, self, incarnation, view, phase } = this.#state;
    const isBlank = phase === "blank" && message.type !== "form";
    return { group: isBlank ? 0 : group, from: self, incarnation: isBlank ? 0 : incarnation, view, message };
  }

  get #trouble(): string | undefined {
    const { phase, isWritable, isPrimary, hasHeardPrimary } = this.#state;
    if (!isWritable) return "the disk is full";
    if (isPrimary) return this.#normal.isIsolated ? "it is primary, but no quorum answers" : undefined;
    if (phase === "normal") return hasHeardPrimary ? undefined : "it has not heard its primary yet";
    return this.#membership.trouble ?? this.#catchUp.trouble ?? "no primary is known";
  }

  #acting(moment: Moment, act: () => void): ReplicaAction[] {
    const state = this.#state;
    const jumpMs = moment.wallMs - state.wallMs - (moment.monotonicMs - state.nowMs);
    if (state.wallMs > 0 && jumpMs > state.settings.heartbeatMs) this.#normal.lease.distrust();
    state.excuse(moment.monotonicMs);
    state.nowMs = Math.max(state.nowMs, moment.monotonicMs);
    state.wallMs = moment.wallMs;
    state.groupMs = moment.groupMs;
    act();
    const { actions } = state;
    state.actions = [];
    return actions;
  }

  #handle(event: ReplicaEvent): void {
    switch (event.kind) {
      case "message":
        return this.#receive(event.envelope);
      case "turnEnd":
        this.#normal.flush();
        return this.#normal.lease.serve();
      case "read":
        return this.#normal.lease.read(event.id);
      case "durable":
        return this.#state.onDurable(event.write);
      case "wake":
        return this.#wake();
      case "snapshotReady":
        return this.#catchUp.onSnapshotReady(event.op);
      case "snapshotFailed":
        return this.#catchUp.onSnapshotFailed();
      case "disk":
        this.#state.isWritable = event.isWritable;
        if (!event.isWritable) this.#resign();
        return;
      case "resign":
        return this.#resign();
    }
  }

  #wake(): void {
    this.#membership.onWake();
    this.#normal.onWake();
    this.#catchUp.onWake();
    this.#viewChange.onWake();
  }

  /** Makes room for another primary; nothing to do alone. */
  #resign(): void {
    const { isPrimary, quorum, view } = this.#state;
    if (isPrimary && quorum > 1) this.#viewChange.propose(view + 1);
  }

  // --- becoming --------------------------------------------------------------------------------------------------

  /** The log of the present view is durable here. */
  #onInstalled(target: Target): void {
    const state = this.#state;
    state.sourceView = target.sourceView;
    state.base = target.base;
    if (state.view !== target.view) {
      // Another view began meanwhile; it may want to know about this log.
      this.#viewChange.sendLog();
      return;
    }
    if (state.phase === "recovering") {
      this.#membership.finish();
      return;
    }
    state.phase = "normal";
    this.#begin(target.commit);
  }

  /** Takes up the work of the present view. */
  #begin(commit = 0): void {
    const state = this.#state;
    this.#viewChange.withdraw();
    if (state.primary === state.self) {
      this.#announceView();
      this.#normal.beginAsPrimary();
      state.note(`primary of view ${state.view}, with ${state.log.op} entries`);
    } else this.#normal.beginAsBackup();
    state.commitTo(commit);
  }

  #announceView(): void {
    for (const to of this.#state.others) this.#startView(to, 0);
  }

  #startView(to: number, nonce: number): void {
    const { sourceView, base, log, commit, incarnations } = this.#state;
    this.#state.send(to, { type: "startView", nonce, sourceView, base, op: log.op, commit, incarnations });
  }

  // --- messages --------------------------------------------------------------------------------------------------

  #receive(envelope: Envelope): void {
    const { from, message } = envelope;
    const state = this.#state;
    if (from >= state.settings.replicas || from === state.self) return;
    if (message.type === "hello") return this.#membership.onHello(envelope, message);
    if (message.type === "helloReply") return this.#membership.onHelloReply(envelope, message);
    if (message.type === "form") return this.#membership.onForm(envelope, message);
    if (state.phase === "blank" || !this.#isOfThisGroup(envelope)) return;
    if (message.type === "recover") return this.#membership.onRecover(envelope, message);
    if (message.type === "recoverOk") return this.#membership.onRecoverOk(envelope, message);
    if (state.phase === "recovering") this.#receiveRecovering(envelope);
    else this.#receiveMember(envelope);
  }

  #isOfThisGroup({ group, from, incarnation }: Envelope): boolean {
    const state = this.#state;
    if (group !== state.group) {
      if (group !== 0) state.note(`replica ${from} belongs to another group: it is not heard`, "warn");
      return false;
    }
    const known = state.incarnations[from] as number;
    if (incarnation < known) return false;
    if (incarnation > known) {
      state.incarnations[from] = incarnation;
      this.#viewChange.forget(from);
      this.#normal.forget(from);
    }
    return true;
  }

  /** A recovering replica says nothing to others about itself: it only fetches. */
  #receiveRecovering({ from, view, message }: Envelope): void {
    const isView = message.type === "startView";
    if (isView && this.#membership.mayJoin(view, message.nonce))
      this.#viewChange.onStartView(from, view, message);
    else if (message.type === "entries") this.#catchUp.onEntries(from, view, message);
  }

  #receiveMember(envelope: Envelope): void {
    const { from, view, message } = envelope;
    const state = this.#state;
    switch (message.type) {
      case "prepare":
        this.#normal.onPrepare(envelope, message);
        if (state.phase === "normal" && view === state.view) this.#viewChange.withdraw();
        return;
      case "prepareOk":
        if (state.isPrimary && view === state.view)
          this.#normal.onPrepareOk(from, message.op, message.sentAtMs);
        return;
      case "startViewChange":
        return this.#viewChange.onStartViewChange(from, view, message);
      case "doViewChange":
        if (state.isPrimary && view === state.view) this.#startView(from, 0);
        else this.#viewChange.onDoViewChange(from, view, message);
        return;
      case "startView":
        return this.#viewChange.onStartView(from, view, message);
      case "getView":
        if (state.isPrimary) this.#startView(from, message.nonce);
        return;
      case "getEntries":
        return this.#sendEntries(from, view, message.first, message.last);
      case "entries":
        this.#catchUp.onEntries(from, view, message);
        this.#normal.onEntries(from, view, message);
        return;
      default:
        return;
    }
  }

  /** Of the primary's log, or, while the view begins, of the log that the new primary may have chosen. */
  #sendEntries(to: number, view: number, first: number, last: number): void {
    const { log, phase, isInstalling, settings } = this.#state;
    const isSettled = this.#state.isPrimary || (phase === "viewChange" && !isInstalling);
    if (view !== this.#state.view || !isSettled || first > log.op) return;
    const entries = first < log.start ? [] : log.slice(first, last, settings.transferBytesMax);
    this.#state.send(to, { type: "entries", first, start: log.start, entries });
  }
}
