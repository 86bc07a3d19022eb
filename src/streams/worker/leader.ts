/**
 * The leader: counts members, begins epochs and decides checkpoints. One worker, the initializer, has it.
 *
 * An epoch is a life of the cluster between two failures. When a member came back after it died, all go back to the last
 * committed checkpoint under a new epoch; what still is on its way from the one before is dropped by its number.
 *
 * A checkpoint is committed when every member has prepared it and the leader has written that down: this one write
 * decides. Members come and go with a checkpoint too: sources rest after one, the keys move in a new epoch, and the next
 * checkpoint makes the new layout the valid one. Whatever fails in between goes back to the old layout.
 *
 * Invariant: at most one checkpoint is under way; an epoch is written down before anyone hears of it; nobody hears that
 * a checkpoint is committed before that is durable. A crash of the leader leaves a cluster that stands still until it is
 * back, and loses nothing.
 */
import type { Timer } from "../../core/seams/clock.ts";
import type { LeaderOptions, LeaderPhase, Member, Running, Session } from "./leader-types.ts";
import type { Hello, Layout, Place, ToLeader } from "./messages.ts";
import { memberOf, Roster } from "./roster.ts";
import { StreamRegistry, type StreamReport } from "./stream-registry.ts";

export class Leader {
  readonly #options: LeaderOptions;
  readonly #roster: Roster;
  readonly #streams = new StreamRegistry();
  #epoch: number;
  #committed: number;
  #nextCheckpoint: number;
  #phase: LeaderPhase = "forming";
  #running: Running | undefined;
  #timer: Timer | undefined;
  #deciding: Promise<void> | undefined;
  #isBeginning = false;
  #mustBegin = false;
  #isClosed = false;
  #isStopping = false;
  #isAnotherWanted = false;
  #lastDurationMs = 0;
  #committedAtMs: number;

  constructor(
    options: LeaderOptions,
    known: {
      epoch: number;
      committed: number;
      prepared: number;
      layout: Layout | undefined;
      places: readonly Place[];
    },
  ) {
    this.#options = options;
    this.#epoch = known.epoch;
    this.#committed = known.committed;
    this.#nextCheckpoint = Math.max(known.committed, known.prepared) + 1;
    this.#roster = new Roster(options.selfName, options.size, known.layout, known.places);
    this.#committedAtMs = options.clock.monotonicMs();
  }

  /** Where members were that are not connected: the leader tells them where it is. */
  get missingPlaces(): readonly Place[] {
    return this.#roster.missingPlaces;
  }

  /** Members that may be asked to leave. */
  get eligible(): string[] {
    return this.#roster.eligible;
  }

  get status() {
    const { clock } = this.#options;
    return {
      phase: this.#phase,
      epoch: this.#epoch,
      checkpoint: this.#committed,
      checkpointAgeMs: Math.round(clock.monotonicMs() - this.#committedAtMs),
      checkpointDurationMs: Math.round(this.#lastDurationMs),
      isCheckpointRunning: this.#running !== undefined,
      ...this.#roster.status,
    };
  }

  get layout(): Layout | undefined {
    return this.#roster.layout;
  }

  // --- members come and go -----------------------------------------------------------------------------------------

  hear(session: Session, name: string, message: ToLeader): void {
    const member = this.#roster.find(name);
    if (member?.session !== session || this.#isClosed) return;
    switch (message.type) {
      case "ready":
        if (message.epoch === this.#epoch) this.#ready(member, message.streams);
        break;
      case "streams":
      case "streamWanted":
        if (message.epoch !== this.#epoch) break;
        if (this.#streams.hear(session, name, message, this.#nextCheckpoint)) this.checkpointSoon();
        break;
      case "prepared":
        if (message.epoch === this.#epoch) this.#prepared(name, message.checkpoint);
        break;
      case "aborted":
        if (message.epoch !== this.#epoch || this.#running?.checkpoint !== message.checkpoint) break;
        this.#options.log.warn("a checkpoint was aborted", {
          checkpoint: message.checkpoint,
          by: name,
          reason: message.reason,
        });
        this.#begin();
        break;
      case "shrink": {
        const reason = this.shrink(message.names);
        if (reason !== undefined) session.send({ type: "refused", reason, isFinal: false });
        break;
      }
      case "checkpointWanted":
        this.checkpointSoon();
        break;
      case "stopWanted":
        this.stopCluster();
        break;
      case "ping":
        member.keys = message.keys;
        break;
      case "hello":
        break;
    }
  }

  /** Takes a worker in, or returns why not. */
  greet(session: Session, hello: Hello): string | undefined {
    if (this.#isClosed) return "the cluster is being shut down";
    if (hello.plan !== this.#options.plan) return "it runs another application, or another version of it";
    if (hello.joining > 0 && !this.#roster.isMember(hello.name)) return this.#greetJoiner(session, hello);
    const reason = this.#refusal(hello);
    if (reason !== undefined) return reason;
    const { members } = this.#roster;
    this.#epoch = Math.max(this.#epoch, hello.epoch);
    this.#nextCheckpoint = Math.max(this.#nextCheckpoint, hello.committed + 1, hello.prepared + 1);
    const before = members.get(hello.name);
    const isSame = before?.incarnation === hello.incarnation && before.life === hello.life;
    if (before?.session !== undefined && before.session !== session) {
      if (!isSame) before.session.send({ type: "fenced" });
      before.session.close();
    }
    members.set(hello.name, memberOf(session, hello, isSame ? before.readyEpoch : 0));
    if (isSame && hello.epoch === this.#epoch && this.#phase === "running") this.#remind(session, hello);
    else this.#begin();
    return undefined;
  }

  #refusal(hello: Hello): string | undefined {
    const { name, incarnation, life, committed, prepared } = hello;
    const { members, layout } = this.#roster;
    const before = members.get(name);
    const isNewer = before === undefined || incarnation > before.incarnation || life === before.life;
    if (before?.session !== undefined && !isNewer) return `there is another worker "${name}"`;
    if (layout === undefined) return this.#roster.refusal(hello);
    if (!layout.members.includes(name)) return `the cluster has no worker "${name}": join it instead`;
    if (committed === this.#committed || prepared === this.#committed) return undefined;
    return `its directory has checkpoint ${committed}, the cluster is at ${this.#committed}: restore it from a replica`;
  }

  #greetJoiner(session: Session, hello: Hello): string | undefined {
    if (this.#phase !== "running" && this.#phase !== "waiting") return "the cluster is not running yet";
    if (this.#roster.isChanging) return "another change of the cluster is under way";
    if (hello.committed > 0) return "its directory belongs to another cluster, or to an earlier life";
    this.#roster.join(session, hello);
    this.#options.log.info("a worker wants to join", { name: hello.name, wanted: hello.joining });
    this.#changeWhenReady();
    return undefined;
  }

  /** After a short loss of the connection: says again what the member may not have heard. */
  #remind(session: Session, hello: Hello): void {
    const epoch = this.#epoch;
    const { layout } = this.#roster;
    session.send({ type: "go", epoch });
    if (hello.committed < this.#committed && layout !== undefined) {
      session.send({ type: "committed", epoch, checkpoint: this.#committed, layout });
    }
    if (this.#running !== undefined) {
      const { checkpoint, hold } = this.#running;
      session.send({ type: "checkpoint", epoch, checkpoint, hold });
    }
  }

  lost(session: Session, name: string): void {
    const { members, joiners } = this.#roster;
    if (joiners.get(name)?.session === session) {
      joiners.delete(name);
      if (this.#roster.target !== undefined) this.#begin();
      return;
    }
    const member = members.get(name);
    if (member?.session !== session) return;
    member.session = undefined;
    if (this.#isClosed) return;
    this.#options.log.warn("a worker is gone", { name });
    if (this.#roster.layout === undefined && this.#phase === "forming") members.delete(name);
  }

  // --- epochs ------------------------------------------------------------------------------------------------------

  /** Begins a new epoch as soon as everybody is here; `target` is the layout that its first checkpoint makes valid. */
  #begin(target?: Layout): void {
    this.#timer?.cancel();
    this.#running = undefined;
    this.#roster.drop();
    if (!this.#roster.isComplete) {
      if (this.#phase !== "forming") this.#phase = "waiting";
      return;
    }
    this.#roster.target = target;
    this.#mustBegin = true;
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    this.#work()
      .catch((error: unknown) => this.#options.onFatal(error as Error))
      .finally(() => {
        this.#isBeginning = false;
        if (this.#mustBegin) this.#begin();
      });
  }

  async #work(): Promise<void> {
    const roster = this.#roster;
    while (this.#mustBegin && !this.#isClosed) {
      this.#mustBegin = false;
      this.#phase = "beginning";
      this.#epoch += 1;
      this.#streams.reset();
      await this.#options.remember(this.#epoch, roster.places);
      // A decision that is being written counts: nobody may be told to go back behind it.
      await this.#deciding;
      if (this.#mustBegin || !roster.isComplete) continue;
      const { participants, target, leavers, joiners } = roster;
      for (const { session } of participants) {
        session?.send({
          type: "begin",
          epoch: this.#epoch,
          checkpoint: this.#committed,
          places: participants.map(({ place }) => place),
          ring: (target ?? roster.settled()).ring,
          move: target !== undefined,
          leaving: leavers,
          newcomers: target === undefined ? [] : [...joiners.keys()],
        });
      }
    }
  }

  #ready(member: Member, streams: readonly StreamReport[]): void {
    member.readyEpoch = this.#epoch;
    const { leavers, target } = this.#roster;
    this.#streams.ready(member.name, streams, target !== undefined && leavers.includes(member.name));
    this.#goWhenReady();
  }

  #goWhenReady(): void {
    const { participants, isComplete, target, names } = this.#roster;
    if (this.#phase !== "beginning" || this.#isBeginning) return;
    if (!isComplete || !participants.every(({ readyEpoch }) => readyEpoch === this.#epoch)) return;
    this.#phase = "running";
    this.#roster.remember();
    const [epoch, checkpoint] = [this.#epoch, this.#committed];
    this.#streams.complete();
    const { inherited } = this.#streams;
    for (const { name, session } of participants)
      session?.send({ type: "go", epoch, ...(name === this.#options.selfName && { inherited }) });
    this.#options.log.info("the cluster runs", { epoch, checkpoint, members: names });
    // What moved is not in any checkpoint yet.
    this.#schedule(target === undefined ? this.#options.checkpointMs : 0);
  }

  // --- checkpoints -------------------------------------------------------------------------------------------------

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => this.checkpoint());
  }

  /** Begins a checkpoint now, unless one is under way. */
  checkpoint(hold = false): void {
    if (this.#isClosed || this.#phase !== "running" || this.#running !== undefined) return;
    this.#timer?.cancel();
    if (!this.#options.canCheckpoint() || !this.#roster.isComplete) {
      this.#schedule(this.#options.checkpointMs);
      return;
    }
    this.#isAnotherWanted = false;
    const checkpoint = this.#nextCheckpoint++;
    const startedMs = this.#options.clock.monotonicMs();
    this.#running = { checkpoint, prepared: new Set(), startedMs, hold, isDeciding: false };
    for (const session of this.#roster.sessions)
      session.send({ type: "checkpoint", epoch: this.#epoch, checkpoint, hold });
  }

  /** Begins a checkpoint as soon as none is under way. */
  checkpointSoon(): void {
    if (this.#running === undefined) this.checkpoint();
    else this.#isAnotherWanted = true;
  }

  /** Stops every worker behind a checkpoint in which no source feeds any more. */
  stopCluster(): void {
    this.#isStopping = true;
    if (this.#running === undefined) this.checkpoint(true);
  }

  #prepared(name: string, checkpoint: number): void {
    const running = this.#running;
    if (running?.checkpoint !== checkpoint) return;
    running.prepared.add(name);
    const isPrepared = this.#roster.participants.every((member) => running.prepared.has(member.name));
    if (running.isDeciding || !isPrepared) return;
    running.isDeciding = true;
    this.#deciding = this.#decide(running)
      .catch((error: unknown) => this.#options.onFatal(error as Error))
      .finally(() => {
        this.#deciding = undefined;
      });
  }

  async #decide(running: Running): Promise<void> {
    const epoch = this.#epoch;
    const roster = this.#roster;
    const layout = roster.target ?? roster.settled();
    await this.#options.decide(running.checkpoint, layout);
    // Durable: from here on it counts, whatever happened meanwhile.
    this.#committed = running.checkpoint;
    this.#streams.committed(running.checkpoint);
    this.#committedAtMs = this.#options.clock.monotonicMs();
    this.#lastDurationMs = this.#committedAtMs - running.startedMs;
    const isCurrent = this.#running === running && this.#epoch === epoch;
    if (isCurrent) {
      this.#running = undefined;
      for (const session of roster.sessions)
        session.send({ type: "committed", epoch, checkpoint: running.checkpoint, layout });
    }
    if (layout !== roster.layout) {
      roster.adopt(layout);
      this.#options.log.info("the cluster changed", { members: roster.names });
    }
    if (isCurrent) this.#goOn(running.hold);
  }

  /** What comes behind a committed checkpoint. */
  #goOn(isHeld: boolean): void {
    if (this.#isStopping) this.#stopOrHold(isHeld);
    else if (isHeld) this.#begin(this.#roster.changed());
    else if (this.#isAnotherWanted) this.checkpoint();
    else if (this.#roster.isChangeDue) this.checkpoint(true);
    else this.#schedule(this.#options.checkpointMs);
  }

  #stopOrHold(isHeld: boolean): void {
    if (!isHeld) {
      this.checkpoint(true);
      return;
    }
    // The leader's own worker is told last: it takes the leader along.
    for (const name of this.#roster.names.reverse())
      this.#roster.members.get(name)?.session?.send({ type: "stop" });
  }

  // --- growing and shrinking ---------------------------------------------------------------------------------------

  #changeWhenReady(): void {
    if (this.#roster.isChangeDue && this.#running === undefined) this.checkpoint(true);
  }

  /** Asks these members to leave. Returns why that cannot be. */
  shrink(names: readonly string[]): string | undefined {
    const { isChanging, joiners, eligible } = this.#roster;
    if (this.#phase !== "running") return `the cluster is ${this.#phase}`;
    if (isChanging || joiners.size > 0) return "another change of the cluster is under way";
    const unknown = names.filter((name) => !eligible.includes(name));
    if (names.length === 0 || unknown.length > 0)
      return `these cannot leave: ${unknown.join(", ") || "nobody was named"}`;
    if (!this.#roster.canLeave(names))
      return "together they would leave a source with nobody who listens for it";
    this.#roster.leavers = [...names];
    this.#changeWhenReady();
    return undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }
}
