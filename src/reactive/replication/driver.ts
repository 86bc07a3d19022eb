/**
 * Carries out what the pure state machine decides: messages, disk writes, timers, the service and its clients.
 *
 * Invariant: actions are carried out in order, before the next event is looked at, so the service is always at the op
 * that the replica calls committed, or on its way there (apply-queue.ts), and nobody reads it on the way. A client hears of a request only when the group has committed it. A crash takes
 * everything but superblocks and journal, and these hold all that was ever spoken of.
 */
import type { Crc32c } from "../../core/crc32c.ts";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { oncePerTurn, type Timer } from "../../core/seams/clock.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { ByteWriter, WireError } from "../wire/bytes.ts";
import { ApplyQueue } from "./apply-queue.ts";
import { readEnvelope, writeEnvelope } from "./codec.ts";
import { GroupClock } from "./group-clock.ts";
import { eraseJournal, Journal, type JournalOptions } from "./journal.ts";
import { Replica } from "./replica.ts";
import { ResultStatus } from "./client-codec.ts";
import { Service } from "./service.ts";
import type { Outcome } from "./sessions.ts";
import { SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";
import { Superblock } from "./superblock.ts";
import type { Envelope, PeerMessage, ReplicaAction, ReplicaEvent, ReplicaSettings, ReplicaStatus, Request, StateMachine } from "./types.ts"; // prettier-ignore

export interface DriverOptions {
  world: Pick<World, "clock" | "random" | "disk">;
  crc32c: Crc32c;
  log: Log;
  /** Absolute; holds `superblock` and `journal/`. */
  directory: string;
  settings: ReplicaSettings;
  machine: StateMachine;
  /** Takes an encoded message; may lose it. `headerBytes` are free in front, for a frame's header. */
  send(to: number, bytes: Uint8Array): void;
  headerBytes?: number;
  /** The journal becomes a snapshot when it has outgrown this and the last snapshot. */
  journalBytesMin: number;
  /** Of the journal's files; the log's own defaults when absent. */
  files?: Pick<JournalOptions, "segmentBytesMin" | "readChunkBytes">;
  /** The process must stop: a failed disk, or a defect. */
  onFatal(error: Error): void;
  onGroup?(durationMs: number): void;
}

/** Hears what became of a request; undefined: unknown, ask the primary of the present view. */
export type OnOutcome = (outcome: Outcome | undefined) => void;

interface Read {
  body: Uint8Array;
  answer: PromiseWithResolvers<Uint8Array | undefined>;
}

const COMPACTION_CHECK_MS = 1000;

export class ReplicaDriver {
  readonly service: Service;
  readonly #options: DriverOptions;
  readonly #superblock: Superblock;
  readonly #journal: Journal;
  readonly #replica: Replica;
  readonly #groupClock: GroupClock;
  readonly #unapplied: ApplyQueue;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  /** Requests of clients of this replica, by session and number. */
  readonly #pending = new Map<number, Map<number, OnOutcome>>();
  /** Reads that came in one turn of the event loop have one question to the replica, at its end. */
  readonly #reads = new Map<number, Read[]>();
  #readsOfTurn: Read[] = [];
  #lastRead = 0;
  #events: ReplicaEvent[] = [];
  #isStepping = false;
  /** Everything that is readable in this turn of the event loop becomes one batch. */
  readonly #endTurnLater: () => void;
  #isStopped = false;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #compactionTimer: Timer;
  #committed = 0;
  #figures = { snapshotsFetched: 0, compactions: 0 };

  /** Reads what the disk holds and begins. Throws NX_DATA_CORRUPT, NX_DISK_FAILED, NX_CONFIG_INVALID. */
  static async open(options: DriverOptions): Promise<ReplicaDriver> {
    const { world, crc32c, directory, settings } = options;
    await makeDurableDirectory(world.disk, directory);
    const path = `${directory}/superblock`;
    const { superblock, promises } = await Superblock.open(world.disk, path, crc32c);
    const { replica, replicas } = settings;
    if (promises !== undefined && (promises.replica !== replica || promises.replicas !== replicas)) {
      const found = `replica ${promises.replica} of ${promises.replicas}`;
      throw new NxError(
        "NX_CONFIG_INVALID",
        `${directory} holds the data of ${found}, not ${replica} of ${replicas}`,
        { hint: "give each replica its own data directory; the size of a group cannot be changed" },
      );
    }
    if (promises === undefined) await eraseJournal(world.disk, `${directory}/journal`);
    const service = new Service(options.machine);
    let driver: ReplicaDriver | undefined;
    const opening = Journal.open({
      world,
      crc32c,
      directory: `${directory}/journal`,
      service,
      ...options.files,
      onState: (state, error) => driver?.onDiskState(state, error),
      onGroup: (durationMs) => options.onGroup?.(durationMs),
    });
    const { journal, found } = await opening.catch((error: unknown) => {
      throw replicas > 1 ? withAdvice(error) : error;
    });
    const restored = { promises, ...found };
    const member = new Replica(settings, restored, world.random);
    const knownMs = Math.max(service.sessions.timeMs, found.entries.at(-1)?.timeMs ?? 0);
    driver = new ReplicaDriver(options, superblock, journal, service, member, knownMs);
    if (!journal.isOpen) driver.onDiskState("full", undefined);
    driver.#run(() => member.start(driver?.moment as ReplicaDriver["moment"]));
    return driver;
  }

  private constructor(
    options: DriverOptions,
    superblock: Superblock,
    journal: Journal,
    service: Service,
    replica: Replica,
    knownMs: number,
  ) {
    const { clock, random } = options.world;
    this.#groupClock = new GroupClock(clock, knownMs);
    this.#options = options;
    this.#superblock = superblock;
    this.#journal = journal;
    this.#replica = replica;
    this.service = service;
    this.#endTurnLater = oncePerTurn(clock, () => this.#endTurn());
    this.#unapplied = new ApplyQueue({
      service,
      clock,
      onApplied: (outcomes, isPrimary) => this.#onApplied(outcomes, isPrimary),
      onIdle: () => this.#compactIfDue(),
      onFailed: (error) => this.#fail(error),
    });
    const send = (to: number, message: PeerMessage) => this.#send(to, message);
    this.#sender = new SnapshotSender(service, clock, send, (op) => replica.hold(op));
    this.#receiver = new SnapshotReceiver({
      service,
      clock,
      random,
      retryMs: options.settings.retryMs,
      send,
      onReady: (op) => this.#step({ kind: "snapshotReady", op }),
      onFailed: (reason) => {
        options.log.warn(`fetching a snapshot failed: ${reason}`);
        this.#step({ kind: "snapshotFailed" });
      },
    });
    this.#compactionTimer = clock.every(COMPACTION_CHECK_MS, () => this.#compactIfDue());
  }

  get status(): ReplicaStatus {
    return this.#replica.status;
  }

  get view(): number {
    return this.#replica.view;
  }

  get takesRequests(): boolean {
    return this.#replica.takesRequests;
  }

  get isOverloaded(): boolean {
    return this.#replica.isOverloaded;
  }

  get hasLease(): boolean {
    return this.#replica.hasLease;
  }

  /** Nothing is committed that the service does not have. */
  get hasApplied(): boolean {
    return this.#unapplied.isIdle;
  }

  /** Requests committed and answered here as primary, for figures. */
  get committed(): number {
    return this.#committed;
  }

  /** What happened since the start. */
  get figures(): { snapshotsFetched: number; compactions: number } {
    return this.#figures;
  }

  get journalStats() {
    return this.#journal.stats;
  }

  get incarnation(): number {
    return this.#replica.incarnation;
  }

  get moment() {
    const { clock } = this.#options.world;
    const { nowMs: groupMs } = this.#groupClock;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs(), groupMs };
  }

  // --- for clients -----------------------------------------------------------------------------------------------

  /** Hands a request to the group. False: this replica is not the primary, nothing was done. */
  submit(request: Request, onOutcome: OnOutcome): boolean {
    if (!this.#replica.takesRequests || this.#isStopped) return false;
    const known = this.service.sessions.lookUp(request);
    if (known !== undefined) {
      onOutcome(known);
      return true;
    }
    const { session, number } = request;
    const ofSession = this.#pending.get(session) ?? new Map<number, OnOutcome>();
    if (ofSession.has(number)) {
      ofSession.set(number, onOutcome);
      return true;
    }
    const answer = session === 0 ? undefined : this.service.machine.admit?.(request, this.view);
    if (answer !== undefined) {
      onOutcome({ session, number, status: ResultStatus.ok, body: answer });
      return true;
    }
    this.#pending.set(session, ofSession.set(number, onOutcome));
    this.#replica.take(request);
    this.#endTurnLater();
    return true;
  }

  /**
   * A linearizable read. Resolves with the service's answer, or undefined when this replica is not the primary (any more).
   */
  query(body: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.#isStopped) return Promise.resolve(undefined);
    const answer = Promise.withResolvers<Uint8Array | undefined>();
    this.#readsOfTurn.push({ body, answer });
    this.#endTurnLater();
    return answer.promise;
  }

  #endTurn(): void {
    if (this.#readsOfTurn.length > 0) {
      const id = ++this.#lastRead;
      this.#reads.set(id, this.#readsOfTurn);
      this.#readsOfTurn = [];
      this.#step({ kind: "read", id });
    }
    this.#step({ kind: "turnEnd" });
  }

  /** To be called when no entry is half applied. Mostly the machine knows at once, and nothing is waited for. */
  #answerRead({ body, answer }: Read): void {
    const { machine } = this.service;
    const { view } = this;
    if (machine.query === undefined || !this.#replica.isPrimary) return answer.resolve(undefined);
    try {
      const found = machine.query(body, view);
      // An answer says of this view that it has begun: only its primary may say so.
      const isStill = () => this.#replica.isPrimary && this.view === view;
      if (!(found instanceof Promise)) answer.resolve(found);
      else answer.resolve(found.then((bytes) => (isStill() ? bytes : undefined)));
    } catch (error) {
      answer.reject(error);
    }
  }

  // --- for the other replicas ------------------------------------------------------------------------------------

  /** Takes the payload of a peer frame from replica `sender`. Throws WireError for bytes that are none of its. */
  receive(bytes: Uint8Array, sender: number): void {
    if (this.#isStopped) return;
    const envelope = readEnvelope(bytes);
    if (envelope.from !== sender) throw new WireError(`replica ${sender} speaks as replica ${envelope.from}`);
    const { from, message } = envelope;
    if (message.type === "getSnapshot") this.#onGetSnapshot(envelope);
    else if (message.type === "snapshotChunk") this.#receiver.onChunk(from, message);
    else this.#step({ kind: "message", envelope });
  }

  #onGetSnapshot({ from, group, message }: Envelope): void {
    const { phase } = this.status;
    const isOurs = group === this.#replica.envelope(message).group;
    if (message.type !== "getSnapshot" || !isOurs || (phase !== "normal" && phase !== "viewChange")) return;
    this.#sender.onRequest(from, message).catch((error: unknown) => this.#fail(error));
  }

  #send(to: number, message: PeerMessage): void {
    const writer = new ByteWriter(128, this.#options.headerBytes ?? 0);
    writeEnvelope(writer, this.#replica.envelope(message));
    this.#options.send(to, writer.done());
  }

  // --- the machine -----------------------------------------------------------------------------------------------

  #step(event: ReplicaEvent): void {
    if (this.#isStopped) return;
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#run(() => []);
  }

  /** Carries out `first` and everything that events have brought. */
  #run(first: () => ReplicaAction[]): void {
    this.#isStepping = true;
    try {
      for (const action of first()) this.#act(action);
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        for (const action of this.#replica.step(this.moment, event)) this.#act(action);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isStepping = false;
    }
    this.#arm();
  }

  #act(action: ReplicaAction): void {
    switch (action.kind) {
      case "send":
        return this.#send(action.to, action.message);
      case "journal":
        return this.#journal.write(action.record, () => this.#step({ kind: "durable", write: action.write }));
      case "promise":
        this.#superblock.write(action.promises).then(
          () => this.#step({ kind: "durable", write: action.write }),
          (error: unknown) => this.#fail(error),
        );
        return;
      case "adopt":
        this.#adopt(action).catch((error: unknown) => this.#fail(error));
        return;
      case "apply":
        return this.#apply(action);
      case "readReady":
        return this.#unapplied.behind(() => this.#settleReads(action.id, true));
      case "readRefused":
        return this.#settleReads(action.id, false);
      case "dropRequests":
        return this.#dropRequests();
      case "fetchSnapshot":
        return this.#receiver.begin(action.from);
      case "abandonSnapshot":
        return this.#receiver.abandon();
      case "note":
        return this.#options.log[action.level](action.text);
    }
  }

  #apply({ entries, isPrimary }: Extract<ReplicaAction, { kind: "apply" }>): void {
    for (const entry of entries) this.#unapplied.add(entry, isPrimary);
  }

  #onApplied(outcomes: Outcome[], isPrimary: boolean): void {
    this.#groupClock.follow(this.service.sessions.timeMs, isPrimary);
    if (!isPrimary) return;
    this.#committed += outcomes.length;
    for (const outcome of outcomes) this.#answer(outcome);
  }

  #answer(outcome: Outcome): void {
    const ofSession = this.#pending.get(outcome.session);
    const onOutcome = ofSession?.get(outcome.number);
    if (ofSession === undefined || onOutcome === undefined) return;
    ofSession.delete(outcome.number);
    if (ofSession.size === 0) this.#pending.delete(outcome.session);
    onOutcome(outcome);
  }

  #dropRequests(): void {
    const pending = [...this.#pending.values()].flatMap((ofSession) => [...ofSession.values()]);
    this.#pending.clear();
    this.service.machine.dropped?.(this.status.op);
    for (const onOutcome of pending) onOutcome(undefined);
  }

  #settleReads(id: number, isReady: boolean): void {
    const reads = this.#reads.get(id) ?? [];
    this.#reads.delete(id);
    for (const read of reads)
      if (isReady) this.#answerRead(read);
      else read.answer.resolve(undefined);
  }

  /** The state of another replica becomes this one's: first in memory, then, in one step, on the disk. */
  async #adopt({
    write,
    snapshotOp,
    logView,
    entries,
  }: Extract<ReplicaAction, { kind: "adopt" }>): Promise<void> {
    // Who reads the state that goes has to begin again.
    this.#sender.close();
    this.#unapplied.clear();
    this.#receiver.take();
    this.#groupClock.follow(this.service.sessions.timeMs, false);
    await this.#journal.settled();
    if (this.#isStopped) return;
    this.#sender.close();
    await this.#journal.compact({ logView, snapshotOp, entries }, this.service);
    this.#figures.snapshotsFetched++;
    this.#step({ kind: "durable", write });
  }

  #arm(): void {
    if (this.#isStopped) return;
    const dueMs = this.#replica.deadlineMs;
    // A timer that comes too early finds nothing to do and is set again: cheaper than moving it with every message.
    if (this.#timer !== undefined && this.#timerAtMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options.world;
    this.#timerAtMs = dueMs;
    this.#timer = clock.after(Math.max(0, dueMs - clock.monotonicMs()), () => {
      this.#timer = undefined;
      this.#step({ kind: "wake" });
    });
  }

  #compactIfDue(): void {
    const isDue = this.#journal.isCompactionDue(this.#options.journalBytesMin);
    if (!isDue || !this.service.canBeRead || this.#isStopped) return;
    this.#journal.compact(this.#replica.durableLog, this.service).then(
      () => void this.#figures.compactions++,
      (error: NxError) => {
        // The journal stays as it was; if the disk is the reason, the journal says so itself.
        if (!this.#isStopped) this.#options.log.error(`the journal could not be compacted: ${error.message}`);
      },
    );
  }

  // --- trouble and the end ---------------------------------------------------------------------------------------

  private onDiskState(state: string, error: NxError | undefined): void {
    if (state === "failed") this.#fail(error ?? new NxError("NX_DISK_FAILED", "the journal failed"));
    else if (state === "full" || state === "open") this.#step({ kind: "disk", isWritable: state === "open" });
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#halt();
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  #halt(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#compactionTimer.cancel();
    this.#sender.close();
    this.#receiver.abandon();
    this.#dropRequests();
    for (const id of [...this.#reads.keys()]) this.#settleReads(id, false);
    for (const { answer } of this.#readsOfTurn.splice(0)) answer.resolve(undefined);
    this.#unapplied.clear();
  }

  /** Makes room for another primary, before a planned stop. */
  resign(): void {
    this.#step({ kind: "resign" });
  }

  /** Stops and closes the files. */
  async close(): Promise<void> {
    if (!this.#isStopped) this.#halt();
    await this.#superblock.close();
    await this.#journal.close();
  }
}

/** What an older copy of this replica has forgotten was acknowledged: others would rest on it. */
function withAdvice(error: unknown): unknown {
  if (!(error instanceof NxError) || error.code !== "NX_DATA_CORRUPT") return error;
  const hint =
    "move this replica's data away: it recovers from the others; an older copy of it may not be used";
  return new NxError(error.code, error.message, { hint, cause: error });
}
