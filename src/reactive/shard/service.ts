/**
 * A shard as a replicated service: versions, the transactions it voted for, what became of them, and the feed of changes.
 *
 * Two-phase commit with the timestamp after the votes (diamond.md 3.5). A transaction is prepared on every shard that it
 * touches; then its frontend takes a timestamp; then the home shard records the decision, and the first record wins; then the
 * others carry it out. So a timestamp is larger than everything that was committed or read at a timestamp before the vote, and a
 * read at an issued timestamp waits only for what is prepared on its keys right now.
 *
 * Invariant: `apply` is a function of the state and the batch alone. Replicas collect old versions at their own pace (a snapshot
 * under way holds one up), so nothing here looks at what was collected, only at `horizon`, which all share. A crash
 * takes everything; the group's journal and snapshot bring it back.
 */
import { assert } from "../../core/errors.ts";
import { Versions } from "../../native/versions.ts";
import type { Batch, Command, StateMachine, StateRestorer, StateStream } from "../replication/types.ts";
import { finish, type Steps } from "../replication/steps.ts";
import { WireError } from "../wire/bytes.ts";
import {
  type AtOnceCommand,
  decodeCommand,
  encodeOutcome,
  encodeOutcomes,
  encodeVote,
  type FinalOutcome,
  isAtOnce,
  isPrepare,
  outcomesIn,
  type OutcomeCommand,
  type Refusal,
  type ShardCommand,
  UNREADABLE,
  type Vote,
} from "./commands.ts";
import { Feed } from "./feed.ts";
import type { Outcome } from "./outcomes.ts";
import { AtOnce, attemptOf } from "./at-once.ts";
import { isLate, refusalOf } from "./checks.ts";
import { inParts, isLongerThan, outcomesOf, readPrepareInSteps, STEP_ACCESSES } from "./long-transactions.ts"; // prettier-ignore
import { PRELOAD_TIMESTAMP, PRELOADED } from "./preload.ts";
import type { Retention } from "./retention.ts";
import { answerQuery } from "./queries.ts";
import { idText, Level, type Transaction, type TransactionId } from "./transaction.ts";
import { decodeState, emptyState, encodeState, isOutcomesChunk, loadOutcomes, outcomesChunk, type ShardState } from "./state.ts"; // prettier-ignore
import { Waiting } from "./waiting.ts";

/** Its retention holds until the group is told another one, or begins from a snapshot. */
export interface ShardSettings extends Retention {
  /** Changed keys kept for followers. */
  feedKeysMax: number;
  /** What has more keys is done step by step, so many at a time. */
  stepAccesses: number;
}

export const shardDefaults: ShardSettings = {
  retentionMs: 30_000,
  outcomeRetentionMs: 10 * 60_000,
  keptOutcomeRetentionMs: 30 * 86_400_000,
  feedKeysMax: 50_000,
  stepAccesses: STEP_ACCESSES,
};

/** Keys that are looked at for old versions with each entry. */
const COLLECT_KEYS = 64;
const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
const NOTHING = new Uint8Array(0);
/** A count of none. */
const NO_OUTCOMES = new Uint8Array(4);
/** How close the samples are that tell which timestamp was current when. */
const SAMPLE_MS = 1000;

export interface ShardFigures {
  commits: number;
  /** Of these, in one entry. */
  atOnce: number;
  /** Those that could not be, and were prepared instead. */
  late: number;
  aborts: Record<Refusal | "decided", number>;
}

export class ShardService implements StateMachine {
  readonly settings: ShardSettings;
  readonly waiting = new Waiting();
  /** A primary's own. */
  readonly atOnce = new AtOnce();
  readonly figures: ShardFigures = {
    commits: 0,
    atOnce: 0,
    late: 0,
    aborts: { prepared: 0, stale: 0, overwritten: 0, tooOld: 0, invalid: 0, decided: 0 },
  };
  #state: ShardState;
  #versions = new Versions();
  #feed: Feed;
  /** Of what is prepared, with so many keys that it is committed and aborted in steps. */
  #longPrepared = 0;

  constructor(settings: ShardSettings = shardDefaults) {
    this.settings = settings;
    this.#state = emptyState(settings);
    this.#feed = new Feed(0, settings.feedKeysMax);
  }

  get state(): Readonly<ShardState> {
    return this.#state;
  }

  get versions(): Versions {
    return this.#versions;
  }

  get feed(): Feed {
    return this.#feed;
  }

  close(): void {
    this.waiting.loseAll();
    this.#versions.close();
  }

  apply(batch: Batch): Uint8Array[] | Steps<Uint8Array[]> {
    if (batch.commands.some((command) => this.#isLong(command))) return this.#applyInSteps(batch);
    this.#begin(batch);
    const replies = batch.commands.map((command) => this.#applyOne(command));
    this.#end(batch);
    return replies;
  }

  /** Reads come behind the last step, those that wait here already too. */
  *#applyInSteps(batch: Batch): Steps<Uint8Array[]> {
    this.waiting.hold();
    this.#begin(batch);
    const replies: Uint8Array[] = [];
    for (const command of batch.commands) {
      replies.push(this.#isLong(command) ? yield* this.#applyLong(command) : this.#applyOne(command));
    }
    this.waiting.release();
    this.#end(batch);
    return replies;
  }

  #begin({ op, timeMs }: Batch): void {
    this.#state.position = op;
    this.#state.timeMs = timeMs;
  }

  #end({ op, skipped = [] }: Batch): void {
    for (const command of skipped) this.#skip(command);
    this.#age();
    for (const attempt of this.atOnce.reached(op)) this.waiting.settled(attempt);
    this.waiting.applied();
  }

  query(body: Uint8Array, view: number): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    return answerQuery(this, body, view);
  }

  admit(ordered: Command, view: number): Uint8Array | undefined {
    if (!isAtOnce(ordered.body)) return undefined;
    // In one entry it would have to be checked and written without a pause: it votes first.
    if (isLongerThan(this.settings.stepAccesses, ordered.body)) return this.#late();
    try {
      const command = decodeCommand(ordered.body);
      ordered.decoded = command;
      if (command.kind !== "atOnce") return undefined;
      this.atOnce.enter(view);
      return this.atOnce.admit(command) ? undefined : this.#late();
    } catch (error) {
      if (error instanceof WireError) return UNREADABLE;
      throw error;
    }
  }

  dropped(op: number): void {
    for (const attempt of this.atOnce.dropped(op)) this.waiting.lost(attempt);
  }

  // --- commands --------------------------------------------------------------------------------------------------

  #applyOne({ body, decoded }: Command): Uint8Array {
    try {
      return this.#run((decoded as ShardCommand | undefined) ?? decodeCommand(body));
    } catch (error) {
      if (error instanceof WireError) return UNREADABLE;
      throw error;
    }
  }

  #run(command: ShardCommand): Uint8Array {
    switch (command.kind) {
      case "prepare":
        return encodeVote(finish(this.#prepare(command.transaction)));
      case "atOnce":
        return this.#runAtOnce(command);
      case "preload":
        return this.#preload(command.keys);
      case "retain":
        this.#state.retention = command.retention;
        return NOTHING;
      case "several":
        return encodeOutcomes(command.commands.map((each) => finish(this.#settle(each))));
      default:
        return encodeOutcome(finish(this.#settle(command)));
    }
  }

  /** Whether a command is about a transaction with so many keys that it is done in steps. */
  #isLong({ body, decoded }: Command): boolean {
    if (isPrepare(body)) return isLongerThan(this.settings.stepAccesses, body);
    if (this.#longPrepared === 0 || isAtOnce(body)) return false;
    const outcomes = decoded === undefined ? outcomesOf(body) : outcomesIn(decoded as ShardCommand);
    return outcomes.some(({ id }) => this.#isLongTransaction(this.#state.prepared.get(id)?.transaction));
  }

  #isLongTransaction(transaction: Transaction | undefined): boolean {
    return transaction !== undefined && transaction.accesses.length > this.settings.stepAccesses;
  }

  *#applyLong({ body }: Command): Steps<Uint8Array> {
    try {
      if (isPrepare(body))
        return encodeVote(yield* this.#prepare(yield* readPrepareInSteps(body, this.settings.stepAccesses)));
      const command = decodeCommand(body);
      const outcomes: FinalOutcome[] = [];
      for (const each of outcomesIn(command)) outcomes.push(yield* this.#settle(each));
      return command.kind === "several"
        ? encodeOutcomes(outcomes)
        : encodeOutcome(outcomes[0] as FinalOutcome);
    } catch (error) {
      if (error instanceof WireError) return UNREADABLE;
      throw error;
    }
  }

  *#settle(command: OutcomeCommand): Steps<FinalOutcome> {
    switch (command.kind) {
      case "decide":
      case "commit":
        return yield* this.#commit(command.id, command.timestamp, command.kind === "decide");
      case "abort":
      case "resolve":
        return yield* this.#abort(command.id);
      case "finish":
        this.#state.outcomes.finish(command.id);
        return this.#known(command.id) ?? { kind: "forgotten" };
    }
  }

  /** What is settled already. A client may have moved its floor past a transaction that is not carried out here yet. */
  #known(id: TransactionId): FinalOutcome | undefined {
    if (this.#state.prepared.get(id) !== undefined) return undefined;
    const known = this.#state.outcomes.get(id);
    if (known === undefined) return undefined;
    if (known === "forgotten") return { kind: "forgotten" };
    return known.timestamp === 0 ? { kind: "aborted" } : { kind: "committed", timestamp: known.timestamp };
  }

  /** Of a shard to which nothing was committed: as if the first timestamp had been that of a transaction with all of them. */
  #preload(keys: readonly Uint8Array[]): Uint8Array {
    const state = this.#state;
    if (state.largest <= PRELOAD_TIMESTAMP && state.prepared.size === 0) {
      for (const key of keys)
        if (this.#versions.newest(key) === 0) this.#put(key, PRELOAD_TIMESTAMP, PRELOADED);
      state.largest = PRELOAD_TIMESTAMP;
    }
    return NOTHING;
  }

  *#prepare(transaction: Transaction): Steps<Vote> {
    const { stepAccesses } = this.settings;
    const { prepared, largest, timeMs } = this.#state;
    const known = this.#meet(transaction);
    if (known !== undefined) return known;
    if (prepared.get(transaction.id) !== undefined) return { kind: "yes", largest };
    for (const part of inParts(transaction, stepAccesses)) {
      const no = this.#refuse(part);
      if (no !== undefined) return no;
      yield;
    }
    if (this.#isLongTransaction(transaction)) this.#longPrepared += 1;
    yield* prepared.add({ transaction, atMs: timeMs, above: largest }, stepAccesses);
    return { kind: "yes", largest };
  }

  *#unprepare(transaction: Transaction): Steps<void> {
    if (this.#isLongTransaction(transaction)) this.#longPrepared -= 1;
    yield* this.#state.prepared.remove(transaction.id, this.settings.stepAccesses);
  }

  /** What was answered before, to the same transaction. */
  #meet({ id, floor }: Transaction): Vote | undefined {
    this.#state.outcomes.settle(id.client, floor, this.#state.timeMs);
    const outcome = this.#known(id);
    if (outcome === undefined) return undefined;
    this.figures.aborts.decided += 1;
    return { kind: "decided", outcome };
  }

  /** A refusal is final: whoever sends the transaction again, or sent it before over another way, cannot commit it. */
  #refuse(transaction: Transaction): Vote | undefined {
    const refusal = refusalOf(this, transaction);
    if (refusal === undefined) return undefined;
    const { id, participants } = transaction;
    this.figures.aborts[refusal.reason] += 1;
    this.#record({ id, timestamp: 0, isFinished: true, participants });
    return { kind: "no", ...refusal };
  }

  #runAtOnce(command: AtOnceCommand): Uint8Array {
    const { transaction, timestamp } = command;
    try {
      const vote = this.#meet(transaction) ?? this.#commitAtOnce(transaction, timestamp);
      return vote.kind === "late" ? this.#late() : encodeVote(vote);
    } finally {
      this.#settled(command);
    }
  }

  /** Only what was taken here is waited for, and only that was decoded before. */
  #skip({ decoded }: Command): void {
    const command = decoded as ShardCommand | undefined;
    if (command?.kind === "atOnce") this.#settled(command);
  }

  #settled(command: AtOnceCommand): void {
    this.atOnce.applied(command);
    if (this.waiting.isWanted) this.waiting.settled(attemptOf(command));
  }

  /**
   * All that is left of a transaction, at a timestamp from before: checked and committed. It touches nothing elsewhere, or has the votes of
   * all others, and this is its home.
   */
  #commitAtOnce(transaction: Transaction, timestamp: number): Vote {
    const { id, accesses, participants } = transaction;
    const isTooLate =
      timestamp <= this.#state.horizon || accesses.some((access) => isLate(this, access, timestamp));
    if (isTooLate || this.#state.prepared.get(id) !== undefined) return { kind: "late" };
    const no = this.#refuse(transaction);
    if (no !== undefined) return no;
    this.#publish(this.#write(transaction, timestamp), timestamp);
    this.figures.commits += 1;
    this.figures.atOnce += 1;
    this.#record({ id, timestamp, isFinished: participants.length <= 1, participants });
    return { kind: "decided", outcome: { kind: "committed", timestamp } };
  }

  #late(): Uint8Array {
    this.figures.late += 1;
    return encodeVote({ kind: "late" });
  }

  *#commit(id: TransactionId, timestamp: number, isHome: boolean): Steps<FinalOutcome> {
    const { prepared } = this.#state;
    const outcome = this.#known(id);
    if (outcome !== undefined) return outcome;
    const found = prepared.get(id);
    // Neither prepared nor decided: at the home it is aborted now; elsewhere it was carried out and forgotten.
    if (found === undefined) return isHome ? yield* this.#abort(id) : { kind: "forgotten" };
    if (timestamp <= found.above && isHome) return yield* this.#abort(id);
    const { transaction } = found;
    yield* this.#unprepare(transaction);
    const { participants } = transaction;
    if (timestamp <= found.above) {
      // Decided before this vote, and carried out: a copy that came when that was forgotten here.
      this.#record({ id, timestamp, isFinished: true, participants });
      return { kind: "committed", timestamp };
    }
    const keys: Uint8Array[] = [];
    for (const part of inParts(transaction, this.settings.stepAccesses)) {
      for (const key of this.#write(part, timestamp)) keys.push(key);
      yield;
    }
    this.#publish(keys, timestamp);
    this.figures.commits += 1;
    this.#record({ id, timestamp, isFinished: !isHome || participants.length <= 1, participants });
    return { kind: "committed", timestamp };
  }

  /** Returns the keys that have a new version. */
  #write({ level, accesses }: Transaction, timestamp: number): Uint8Array[] {
    const { readMarks } = this.#state;
    const keys: Uint8Array[] = [];
    for (const { key, reads, operations } of accesses) {
      // Reads of other levels are not of the moment of their commit.
      if (level === Level.strict && reads.length > 0) readMarks.mark(key, timestamp);
      if (operations.byteLength === 0) continue;
      this.#put(key, timestamp, operations);
      keys.push(key);
    }
    return keys;
  }

  #publish(keys: Uint8Array[], timestamp: number): void {
    const { position } = this.#state;
    this.#state.largest = Math.max(this.#state.largest, timestamp);
    if (keys.length > 0) this.#feed.add({ position, timestamp, keys });
  }

  #put(key: Uint8Array, timestamp: number, operations: Uint8Array): void {
    const result = this.#versions.write(key, timestamp, this.#state.position, operations);
    assert(result === "written", `a version of timestamp ${timestamp} is ${result}`);
  }

  *#abort(id: TransactionId): Steps<FinalOutcome> {
    const outcome = this.#known(id);
    if (outcome !== undefined) return outcome;
    const transaction = this.#state.prepared.get(id)?.transaction;
    const participants = transaction?.participants ?? [];
    if (transaction !== undefined) yield* this.#unprepare(transaction);
    // Nobody needs to carry an abort out: a participant that asks later and finds nothing is told the same.
    this.#record({ id, timestamp: 0, isFinished: true, participants });
    return { kind: "aborted" };
  }

  #record(outcome: Outcome): void {
    this.#state.outcomes.record(outcome, this.#state.timeMs);
    if (this.waiting.isWanted) this.waiting.settled(idText(outcome.id));
  }

  /** Moves the horizon, forgets silent clients, collects some old versions. */
  #age(): void {
    const state = this.#state;
    const { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs } = state.retention;
    const last = state.samples.at(-1);
    if (last === undefined || state.timeMs - last.timeMs >= SAMPLE_MS)
      state.samples.push({ timeMs: state.timeMs, largest: state.largest });
    while ((state.samples[1]?.timeMs ?? Number.POSITIVE_INFINITY) <= state.timeMs - retentionMs)
      state.samples.shift();
    const oldest = state.samples[0];
    // A shard that has first keys at most may still get more of them.
    const isBegun = state.largest > PRELOAD_TIMESTAMP;
    if (isBegun && oldest !== undefined && oldest.timeMs <= state.timeMs - retentionMs)
      state.horizon = Math.max(state.horizon, Math.min(oldest.largest, state.prepared.floor));
    state.outcomes.expire(state.timeMs - outcomeRetentionMs, state.timeMs - keptOutcomeRetentionMs);
    this.#versions.raiseHorizon(state.horizon);
    this.#versions.collect(COLLECT_KEYS);
  }

  // --- snapshots -------------------------------------------------------------------------------------------------

  snapshot(): StateStream {
    const outcomes = this.#state.outcomes.dump();
    const outcomeChunks = outcomes.chunks[Symbol.iterator]();
    const head = encodeState(this.#state, outcomeChunks.next().value ?? NO_OUTCOMES);
    const versions = this.#versions.dump(this.#state.position, SNAPSHOT_CHUNK_BYTES);
    const chunks = function* () {
      yield head;
      for (let next = outcomeChunks.next(); next.done !== true; next = outcomeChunks.next())
        yield outcomesChunk(next.value);
      yield* versions.chunks;
    };
    const close = () => {
      outcomes.close();
      versions.close();
    };
    return { chunks: chunks(), close };
  }

  restore(): StateRestorer {
    const versions = new Versions();
    let state: ShardState | undefined;
    return {
      add: (chunk) => {
        if (state === undefined) state = decodeState(chunk);
        else if (isOutcomesChunk(chunk)) loadOutcomes(state, chunk);
        else if (!versions.load(chunk)) throw new WireError("a snapshot's versions cannot be read");
      },
      finish: () => {
        if (state === undefined) throw new WireError("a snapshot is empty");
        versions.raiseHorizon(state.horizon);
        this.#versions.close();
        this.#versions = versions;
        this.#state = state;
        this.#longPrepared = [...state.prepared].filter(({ transaction }) =>
          this.#isLongTransaction(transaction),
        ).length;
        this.#feed = new Feed(state.position, this.settings.feedKeysMax);
        // Whoever waits here asks the primary, which this replica is not.
        this.waiting.loseAll();
      },
      abandon: () => versions.close(),
    };
  }

  /** For `/stats`. */
  get stats() {
    const { position, largest, horizon, prepared, retention } = this.#state;
    return {
      ...retention,
      position,
      largest,
      horizon,
      prepared: prepared.size,
      ...this.figures,
      ...this.#versions.stats(),
    };
  }
}
