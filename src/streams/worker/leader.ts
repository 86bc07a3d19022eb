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
import { reshape, ringOf } from "../state/ring.ts";
import type { LeaderOptions, LeaderPhase, Member, Running, Session } from "./leader-types.ts";
import type { Hello, Layout, Place, ToLeader } from "./messages.ts";

export class Leader {
  readonly #options: LeaderOptions;
  readonly #members = new Map<string, Member>();
  readonly #joiners = new Map<string, Member>();
  #joinersWanted = 0;
  #leavers: readonly string[] = [];
  #layout: Layout | undefined;
  /** The layout that the next checkpoint makes valid. */
  #target: Layout | undefined;
  #epoch: number;
  #committed: number;
  #nextCheckpoint: number;
  #phase: LeaderPhase = "forming";
  #running: Running | undefined;
  #timer: Timer | undefined;
  #isBeginning = false;
  #mustBegin = false;
  #isClosed = false;
  #isStopping = false;
  #isAnotherWanted = false;
  #lastDurationMs = 0;
  #committedAtMs: number;
  #knownPlaces: readonly Place[];

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
    this.#layout = known.layout;
    this.#knownPlaces = known.places;
    this.#committedAtMs = options.clock.monotonicMs();
  }

  /** Where members were that are not connected: the leader tells them where it is. */
  get missingPlaces(): readonly Place[] {
    const wanted = this.#layout?.members ?? [];
    return this.#knownPlaces.filter(
      ({ name }) =>
        wanted.includes(name) &&
        this.#members.get(name)?.session === undefined &&
        name !== this.#options.selfName,
    );
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
      members: [...this.#members.values()].map(({ name, session, place }) => ({
        name,
        isConnected: session !== undefined,
        data: place.data,
      })),
      joining: [...this.#joiners.keys()],
      leaving: [...this.#leavers],
      missing: this.#missing(),
    };
  }

  get layout(): Layout | undefined {
    return this.#layout;
  }

  #missing(): string[] {
    if (this.#layout === undefined) {
      const count = this.#options.size - this.#members.size;
      return count > 0 ? [`${count} of ${this.#options.size} workers`] : [];
    }
    return this.#layout.members.filter((name) => this.#members.get(name)?.session === undefined);
  }

  // --- members come and go -----------------------------------------------------------------------------------------

  hear(session: Session, name: string, message: ToLeader): void {
    const member = this.#members.get(name) ?? this.#joiners.get(name);
    if (member?.session !== session || this.#isClosed) return;
    switch (message.type) {
      case "ready":
        if (message.epoch === this.#epoch) member.readyEpoch = message.epoch;
        this.#goWhenReady();
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
      case "hello":
      case "ping":
        break;
    }
  }

  /** Takes a worker in, or returns why not. */
  greet(session: Session, hello: Hello): string | undefined {
    if (this.#isClosed) return "the cluster is being shut down";
    if (hello.plan !== this.#options.plan) return "it runs another application, or another version of it";
    if (hello.joining > 0 && this.#members.get(hello.name) === undefined)
      return this.#greetJoiner(session, hello);
    const reason = this.#refusal(hello);
    if (reason !== undefined) return reason;
    this.#epoch = Math.max(this.#epoch, hello.epoch);
    this.#nextCheckpoint = Math.max(this.#nextCheckpoint, hello.committed + 1, hello.prepared + 1);
    const before = this.#members.get(hello.name);
    const isSame = before?.incarnation === hello.incarnation && before.life === hello.life;
    if (before?.session !== undefined && before.session !== session) {
      if (!isSame) before.session.send({ type: "fenced" });
      before.session.close();
    }
    this.#members.set(hello.name, {
      name: hello.name,
      incarnation: hello.incarnation,
      life: hello.life,
      place: hello.place,
      session,
      readyEpoch: isSame ? before.readyEpoch : 0,
    });
    if (isSame && hello.epoch === this.#epoch && this.#phase === "running") this.#remind(session, hello);
    else this.#begin();
    return undefined;
  }

  #refusal({ name, incarnation, life, committed, prepared }: Hello): string | undefined {
    const before = this.#members.get(name);
    const isNewer = before === undefined || incarnation > before.incarnation || life === before.life;
    if (before?.session !== undefined && !isNewer) return `there is another worker "${name}"`;
    if (this.#layout === undefined) {
      const isFull = before === undefined && this.#members.size >= this.#options.size;
      return isFull ? `the cluster has its ${this.#options.size} workers: join it instead` : undefined;
    }
    if (!this.#layout.members.includes(name)) return `the cluster has no worker "${name}": join it instead`;
    if (committed !== this.#committed && prepared !== this.#committed) {
      return `its directory has checkpoint ${committed}, the cluster is at ${this.#committed}: restore it from a replica`;
    }
    return undefined;
  }

  #greetJoiner(session: Session, hello: Hello): string | undefined {
    if (this.#phase !== "running" && this.#phase !== "waiting") return "the cluster is not running yet";
    if (this.#target !== undefined || this.#leavers.length > 0)
      return "another change of the cluster is under way";
    if (hello.committed > 0) return "its directory belongs to another cluster, or to an earlier life";
    this.#joiners.get(hello.name)?.session?.close();
    this.#joiners.set(hello.name, {
      name: hello.name,
      incarnation: hello.incarnation,
      life: hello.life,
      place: hello.place,
      session,
      readyEpoch: 0,
    });
    this.#joinersWanted = Math.max(1, hello.joining);
    this.#options.log.info("a worker wants to join", { name: hello.name, wanted: this.#joinersWanted });
    this.#changeWhenReady();
    return undefined;
  }

  /** After a short loss of the connection: says again what the member may not have heard. */
  #remind(session: Session, hello: Hello): void {
    session.send({ type: "go", epoch: this.#epoch });
    if (hello.committed < this.#committed && this.#layout !== undefined) {
      session.send({
        type: "committed",
        epoch: this.#epoch,
        checkpoint: this.#committed,
        layout: this.#layout,
      });
    }
    if (this.#running !== undefined) {
      const { checkpoint, hold } = this.#running;
      session.send({ type: "checkpoint", epoch: this.#epoch, checkpoint, hold });
    }
  }

  lost(session: Session, name: string): void {
    const joiner = this.#joiners.get(name);
    if (joiner?.session === session) {
      this.#joiners.delete(name);
      if (this.#target !== undefined) this.#begin();
      return;
    }
    const member = this.#members.get(name);
    if (member?.session !== session) return;
    member.session = undefined;
    if (this.#isClosed) return;
    this.#options.log.warn("a worker is gone", { name });
    if (this.#layout === undefined && this.#phase === "forming") this.#members.delete(name);
  }

  /** Whether every member is connected, and of a new cluster as many as it wants. */
  #allHere(): boolean {
    const names = this.#layout?.members ?? [...this.#members.keys()];
    if (this.#layout === undefined && names.length < this.#options.size) return false;
    return names.every((name) => this.#members.get(name)?.session !== undefined);
  }

  // --- epochs ------------------------------------------------------------------------------------------------------

  /** Begins a new epoch as soon as everybody is here. */
  #begin(): void {
    this.#timer?.cancel();
    this.#running = undefined;
    this.#dropTarget();
    if (!this.#allHere()) {
      if (this.#phase !== "forming") this.#phase = "waiting";
      return;
    }
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

  /** What was to change with the next checkpoint did not come to be: newcomers have to ask again. */
  #dropTarget(): void {
    if (this.#target === undefined) return;
    this.#target = undefined;
    this.#leavers = [];
    for (const { session } of this.#joiners.values()) {
      session?.send({
        type: "refused",
        reason: "the cluster went back to a checkpoint: join again",
        isFinal: false,
      });
      session?.close();
    }
    this.#joiners.clear();
  }

  async #work(): Promise<void> {
    while (this.#mustBegin && !this.#isClosed) {
      this.#mustBegin = false;
      this.#phase = "beginning";
      this.#epoch += 1;
      await this.#options.remember(this.#epoch, this.#places());
      if (this.#mustBegin || !this.#allHere()) continue;
      const layout = this.#target ?? this.#layout ?? { members: this.#names(), ring: ringOf(this.#names()) };
      this.#layout ??= layout;
      const participants = [
        ...this.#members.values(),
        ...(this.#target === undefined ? [] : this.#joiners.values()),
      ];
      for (const { session } of participants) {
        session?.send({
          type: "begin",
          epoch: this.#epoch,
          checkpoint: this.#committed,
          places: participants.map(({ place }) => place),
          ring: layout.ring,
          move: this.#target !== undefined,
          leaving: this.#leavers,
          newcomers: this.#target === undefined ? [] : [...this.#joiners.keys()],
        });
      }
    }
  }

  #names(): string[] {
    return [...this.#members.keys()].sort(
      (a, b) =>
        Number(b === this.#options.selfName) - Number(a === this.#options.selfName) || (a < b ? -1 : 1),
    );
  }

  #places(): Place[] {
    return [...this.#members.values(), ...this.#joiners.values()].map(({ place }) => place);
  }

  #goWhenReady(): void {
    if (this.#phase !== "beginning" || this.#isBeginning) return;
    const participants = [
      ...this.#members.values(),
      ...(this.#target === undefined ? [] : this.#joiners.values()),
    ];
    if (!this.#allHere() || !participants.every(({ readyEpoch }) => readyEpoch === this.#epoch)) return;
    this.#phase = "running";
    this.#knownPlaces = this.#places();
    for (const { session } of participants) session?.send({ type: "go", epoch: this.#epoch });
    this.#options.log.info("the cluster runs", {
      epoch: this.#epoch,
      checkpoint: this.#committed,
      members: this.#names(),
    });
    // What moved is not in any checkpoint yet.
    this.#schedule(this.#target === undefined ? this.#options.checkpointMs : 0);
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
    if (!this.#options.canCheckpoint() || !this.#allHere()) {
      this.#schedule(this.#options.checkpointMs);
      return;
    }
    this.#isAnotherWanted = false;
    const checkpoint = this.#nextCheckpoint++;
    const startedMs = this.#options.clock.monotonicMs();
    this.#running = { checkpoint, prepared: new Set(), startedMs, hold, isDeciding: false };
    for (const session of this.#sessions())
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

  #sessions(): Session[] {
    const joiners = this.#target === undefined ? [] : [...this.#joiners.values()];
    return [...this.#members.values(), ...joiners].flatMap(({ session }) =>
      session === undefined ? [] : [session],
    );
  }

  #prepared(name: string, checkpoint: number): void {
    const running = this.#running;
    if (running?.checkpoint !== checkpoint) return;
    running.prepared.add(name);
    const wanted = [...this.#members.keys(), ...(this.#target === undefined ? [] : this.#joiners.keys())];
    if (running.isDeciding || !wanted.every((member) => running.prepared.has(member))) return;
    running.isDeciding = true;
    this.#decide(running).catch((error: unknown) => this.#options.onFatal(error as Error));
  }

  async #decide(running: Running): Promise<void> {
    const epoch = this.#epoch;
    const layout = this.#target ?? (this.#layout as Layout);
    await this.#options.decide(running.checkpoint, layout);
    // Durable: from here on it counts, whatever happened meanwhile.
    this.#committed = running.checkpoint;
    this.#committedAtMs = this.#options.clock.monotonicMs();
    this.#lastDurationMs = this.#committedAtMs - running.startedMs;
    const isNewLayout = this.#target !== undefined && this.#target === layout;
    if (isNewLayout) this.#layout = layout;
    if (this.#running !== running || this.#epoch !== epoch) {
      // Somebody died meanwhile: the next epoch begins from here.
      if (isNewLayout) this.#settleMembers();
      return;
    }
    this.#running = undefined;
    for (const session of this.#sessions()) {
      session.send({ type: "committed", epoch, checkpoint: running.checkpoint, layout });
    }
    if (isNewLayout) this.#settleMembers();
    if (this.#isStopping) this.#stopOrHold(running.hold);
    else if (running.hold) this.#change();
    else if (this.#isAnotherWanted) this.checkpoint();
    else if (this.#isChangeDue()) this.checkpoint(true);
    else this.#schedule(this.#options.checkpointMs);
  }

  #stopOrHold(isHeld: boolean): void {
    if (!isHeld) {
      this.checkpoint(true);
      return;
    }
    // The leader's own worker is told last: it takes the leader along.
    for (const [name, { session }] of this.#members)
      if (name !== this.#options.selfName) session?.send({ type: "stop" });
    this.#members.get(this.#options.selfName)?.session?.send({ type: "stop" });
  }

  // --- growing and shrinking ---------------------------------------------------------------------------------------

  #isChangeDue(): boolean {
    const isJoinDue = this.#joiners.size > 0 && this.#joiners.size >= this.#joinersWanted;
    return this.#target === undefined && (isJoinDue || this.#leavers.length > 0);
  }

  #changeWhenReady(): void {
    if (this.#isChangeDue() && this.#running === undefined) this.checkpoint(true);
  }

  /** Asks these members to leave. Returns why that cannot be. */
  shrink(names: readonly string[]): string | undefined {
    const { selfName } = this.#options;
    if (this.#phase !== "running") return `the cluster is ${this.#phase}`;
    if (this.#target !== undefined || this.#leavers.length > 0 || this.#joiners.size > 0)
      return "another change of the cluster is under way";
    const unknown = names.filter((name) => !this.#members.has(name) || name === selfName);
    if (names.length === 0 || unknown.length > 0)
      return `these cannot leave: ${unknown.join(", ") || "nobody was named"}`;
    this.#leavers = [...names];
    this.#changeWhenReady();
    return undefined;
  }

  /** Members that may be asked to leave. */
  get eligible(): string[] {
    return this.#names().filter((name) => name !== this.#options.selfName);
  }

  /** Sources rest behind a committed checkpoint: the keys move in a new epoch. */
  #change(): void {
    const staying = this.#names().filter((name) => !this.#leavers.includes(name));
    const members = [...staying, ...[...this.#joiners.keys()].sort()];
    const target = { members, ring: reshape((this.#layout as Layout).ring, members) };
    this.#begin();
    this.#target = target;
  }

  /** The new layout counts: newcomers are members, leavers are not. */
  #settleMembers(): void {
    for (const [name, joiner] of this.#joiners) this.#members.set(name, joiner);
    for (const name of this.#leavers) {
      this.#members.get(name)?.session?.send({ type: "goodbye" });
      this.#members.delete(name);
    }
    this.#joiners.clear();
    this.#leavers = [];
    this.#target = undefined;
    this.#options.log.info("the cluster changed", { members: this.#names() });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }
}
