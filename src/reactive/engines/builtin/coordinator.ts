/**
 * Two-phase commit: prepare everywhere, take a timestamp, let the home shard decide, tell the others. What one shard can decide alone
 * is one command, with a timestamp taken before it (../shard/at-once.ts), unless that has become too small meanwhile. So is, read
 * committed, what the home does when all others are prepared: nothing could make it refuse.
 *
 * Invariant: the client hears "committed" only after the home's group has made the decision durable, and every participant
 * carries it out sooner or later, whoever tells it. A coordinator that dies leaves nothing locked for good: any
 * frontend settles what it finds prepared for too long (`settle`), and where the home has no decision it records an abort, so
 * a slow coordinator cannot commit any more. Nothing of it needs to survive a crash.
 */
import { assert } from "../../../core/errors.ts";
import { LimitError } from "../../failures.ts";
import {
  decodeOutcome,
  decodeVote,
  encodeCommand,
  type FinalOutcome,
  type OutcomeCommand,
  type Vote,
} from "../../shard/commands.ts";
import { inParts, STEP_ACCESSES } from "../../shard/long-transactions.ts";
import { encodeQuery } from "../../shard/query-messages.ts";
import { type Access, Level, type Transaction, type TransactionId } from "../../shard/transaction.ts";
import type { CommitResult, WholeTransaction } from "../engine.ts";
import { Gathering } from "./gathering.ts";
import { shardOf } from "./placement.ts";

/** A replicated group, as its clients see it. Rejects only when the outcome is unknown and no longer worth waiting for. */
export interface Group {
  /** Replicated; executed once, however often it is sent. */
  command(body: Uint8Array): Promise<Uint8Array>;
  /** Answered by the primary. */
  query(body: Uint8Array): Promise<Uint8Array>;
  /** A view whose primary has answered; undefined: none is known. */
  readonly view?: number | undefined;
}

export interface CoordinatorOptions {
  shards: readonly Group[];
  /** A timestamp that was never given to anybody, larger than all that were. */
  nextTimestamp(): Promise<number>;
  /** A transaction is on its way to be committed at this timestamp, if at all: whoever will read it may ask for it. */
  onOrdering?(timestamp: number, accesses: readonly Access[]): void;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  /** Of each shard. */
  readonly #behindAnswers: readonly Gathering[];
  /** Work that goes on after the client has its answer. */
  readonly #behind = new Set<Promise<unknown>>();

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#behindAnswers = options.shards.map((group) => new Gathering(group, queueMicrotask));
  }

  /** Resolves with what became of the transaction; asking again with the same id gives the same answer. */
  commit(whole: WholeTransaction): Promise<CommitResult> {
    if (whole.accesses.length === 0) return Promise.resolve({ kind: "committed", timestamp: 0 });
    if (isReadOnly(whole)) return this.#validate(whole);
    const split = this.#split(whole);
    // Read committed nothing is refused: what the home will say is known before it is asked.
    const mayBeAtOnce = split.parts.size === 1 || whole.level === Level.readCommitted;
    return mayBeAtOnce ? this.#commitAtOnce(whole, split) : this.#commitByVotes(whole, split);
  }

  async #commitByVotes(whole: WholeTransaction, split: Split): Promise<CommitResult> {
    const { id } = whole;
    const { home, participants } = split;
    const { largest, result } = await this.#votes(id, split, participants);
    if (result !== undefined) return result;
    const timestamp = await this.#options.nextTimestamp();
    assert(timestamp > largest, "a new timestamp is larger than all before");
    const deciding = this.#ask(home, { kind: "decide", id, timestamp });
    this.#options.onOrdering?.(timestamp, whole.accesses);
    return this.#spread(id, split, await deciding);
  }

  /** Vote and decision of the home as one entry instead of two, behind the votes of all others; where it can, else it votes like them. */
  async #commitAtOnce(whole: WholeTransaction, split: Split): Promise<CommitResult> {
    const { id } = whole;
    const { home, participants, parts } = split;
    // One with very many keys is checked and written in steps: it would be told that it is late.
    if ((parts.get(home)?.accesses.length ?? 0) > STEP_ACCESSES) return this.#commitByVotes(whole, split);
    const others = participants.filter((shard) => shard !== home);
    const isAlone = others.length === 0;
    const { largest, result } = isAlone ? NO_VOTES : await this.#votes(id, split, others);
    if (result !== undefined) return result;
    // Known before the timestamp is asked for: at-once.ts says why.
    const { view } = this.#group(home);
    if (view === undefined) return this.#commitByVotes(whole, split);
    const timestamp = await this.#options.nextTimestamp();
    assert(timestamp > largest, "a new timestamp is larger than all before");
    const transaction = parts.get(home) as Transaction;
    const body = encodeCommand({ kind: "atOnce", timestamp, view, transaction });
    const ordered = this.#group(home).command(body);
    const answered = isAlone ? ordered : this.#orAbort(id, others, ordered);
    this.#options.onOrdering?.(timestamp, whole.accesses);
    const vote = decodeVote(await answered);
    if (vote.kind === "no") return this.#refuse(id, others, vote);
    return vote.kind === "decided"
      ? this.#spread(id, split, vote.outcome)
      : this.#commitByVotes(whole, split);
  }

  /** What these shards say. */
  async #votes(id: TransactionId, split: Split, voters: readonly number[]): Promise<Votes> {
    const asked = voters.map((shard) => this.#prepare(shard, split.parts.get(shard) as Transaction));
    const votes = await this.#orAbort(id, voters, Promise.all(asked));
    const largest = largestOf(votes);
    const decided = votes.find((vote) => vote.kind === "decided");
    if (decided !== undefined) return { largest, result: this.#repeat(id, split, decided.outcome) };
    const no = votes.find((vote) => vote.kind === "no");
    return no === undefined ? { largest } : { largest, result: this.#refuse(id, voters, no) };
  }

  /** What is too long for one shard will not be sent again, so nobody else would end what others voted for. */
  async #orAbort<Answer>(
    id: TransactionId,
    voters: readonly number[],
    answer: Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof LimitError) this.#later(this.#abort(id, voters));
      throw error;
    }
  }

  #refuse(
    id: TransactionId,
    voters: readonly number[],
    { reason, key }: Extract<Vote, { kind: "no" }>,
  ): CommitResult {
    this.#later(this.#abort(id, voters));
    return { kind: "refused", reason, key };
  }

  /** What only read happens at a fresh timestamp, when nothing of it has changed: nothing of it needs to be kept. */
  async #validate(whole: WholeTransaction): Promise<CommitResult> {
    if (whole.level === Level.snapshot) return { kind: "committed", timestamp: whole.snapshot };
    const timestamp = await this.#options.nextTimestamp();
    if (whole.level === Level.readCommitted) return { kind: "committed", timestamp };
    const answers = [...this.#split(whole).parts].map(([shard, transaction]) =>
      this.#staleOf(shard, transaction, timestamp),
    );
    const stale = (await Promise.all(answers)).find((part) => part !== undefined);
    if (stale === undefined) return { kind: "committed", timestamp };
    return { kind: "refused", reason: "stale", key: stale.accesses[0]?.key ?? new Uint8Array(0) };
  }

  /** What has changed of a transaction that only read. Asked in parts, which a shard answers without a pause: all are of one timestamp. */
  async #staleOf(shard: number, whole: Transaction, timestamp: number): Promise<Transaction | undefined> {
    for (const transaction of inParts(whole, STEP_ACCESSES)) {
      const reply = await this.#group(shard).query(encodeQuery({ kind: "validate", timestamp, transaction }));
      if (reply[0] !== 1) return transaction;
    }
    return undefined;
  }

  /** The home has decided: the others are told behind the answer. */
  #spread(id: TransactionId, { home, participants }: Split, outcome: FinalOutcome): FinalOutcome {
    if (participants.length === 1) return outcome;
    const others = participants.filter((shard) => shard !== home);
    if (outcome.kind === "committed") this.#later(this.carryOut(id, home, participants, outcome.timestamp));
    else this.#later(this.#abort(id, others));
    return outcome;
  }

  /** One participant knows the outcome already: this transaction was sent before. */
  async #repeat(id: TransactionId, split: Split, known: FinalOutcome): Promise<FinalOutcome> {
    // A participant's commit comes from the home's decision; an abort may be older than it. The home has the last word.
    const outcome = known.kind === "committed" ? known : await this.#ask(split.home, { kind: "resolve", id });
    return outcome.kind === "forgotten" ? outcome : this.#spread(id, split, outcome);
  }

  /** Tells every participant of a commit, then the home that it may forget it. */
  async carryOut(
    id: TransactionId,
    home: number,
    participants: readonly number[],
    timestamp: number,
  ): Promise<void> {
    const others = participants.filter((shard) => shard !== home);
    if (others.length === 0) return;
    await Promise.all(others.map((shard) => this.#tell(shard, { kind: "commit", id, timestamp })));
    await this.#tell(home, { kind: "finish", id });
  }

  /** Settles a transaction that a participant has held for too long: the home decides. */
  async settle(id: TransactionId, home: number, participant: number): Promise<FinalOutcome> {
    const outcome = await this.#ask(home, { kind: "resolve", id });
    if (participant === home) return outcome;
    if (outcome.kind === "committed")
      await this.#ask(participant, { kind: "commit", id, timestamp: outcome.timestamp });
    else await this.#ask(participant, { kind: "abort", id });
    return outcome;
  }

  /** Resolves when nothing goes on behind answers. */
  async idle(): Promise<void> {
    while (this.#behind.size > 0) await Promise.allSettled(this.#behind);
  }

  #split({ id, floor, level, snapshot, accesses }: WholeTransaction): Split {
    const participants: number[] = [];
    const parts = new Map<number, Transaction>();
    for (const access of level === Level.readCommitted ? unchecked(accesses) : accesses) {
      const shard = shardOf(access.key, this.#options.shards.length);
      const known = parts.get(shard);
      if (known !== undefined) known.accesses.push(access);
      else {
        participants.push(shard);
        parts.set(shard, { id, floor, level, snapshot, home: 0, participants, accesses: [access] });
      }
    }
    participants.sort((a, b) => a - b);
    // Whoever asks what became of it names the keys that it wrote, no others.
    const home = participants.find((shard) => parts.get(shard)?.accesses.some(isWrite)) ?? 0;
    for (const part of parts.values()) part.home = home;
    return { home, participants, parts };
  }

  async #prepare(shard: number, transaction: Transaction): Promise<Vote> {
    return decodeVote(await this.#group(shard).command(encodeCommand({ kind: "prepare", transaction })));
  }

  async #ask(shard: number, command: OutcomeCommand): Promise<FinalOutcome> {
    return decodeOutcome(await this.#group(shard).command(encodeCommand(command)));
  }

  /** The same, for what nobody waits for. */
  #tell(shard: number, command: OutcomeCommand): Promise<FinalOutcome> {
    const gathering = this.#behindAnswers[shard];
    assert(gathering !== undefined, `there is a shard ${shard}`);
    return gathering.ask(command);
  }

  async #abort(id: TransactionId, participants: readonly number[]): Promise<void> {
    await Promise.all(participants.map((shard) => this.#tell(shard, { kind: "abort", id })));
  }

  #later(work: Promise<unknown>): void {
    // What fails here is found by whoever looks for transactions that nobody settled.
    const quiet = work.catch(() => undefined).finally(() => this.#behind.delete(quiet));
    this.#behind.add(quiet);
  }

  #group(shard: number): Group {
    const group = this.#options.shards[shard];
    assert(group !== undefined, `there is a shard ${shard}`);
    return group;
  }
}

/** `result`: what became of the transaction, where the votes settle it. */
interface Votes {
  largest: number;
  result?: CommitResult | Promise<CommitResult>;
}

const NO_VOTES: Votes = { largest: 0 };

/** A transaction as its participants see it. */
interface Split {
  /** The first of them that it changes. */
  home: number;
  /** Ascending. */
  participants: number[];
  parts: Map<number, Transaction>;
}

const isWrite = ({ operations }: Access) => operations.byteLength > 0;

const isReadOnly = ({ accesses }: Pick<Transaction, "accesses">) => !accesses.some(isWrite);

/** Read committed checks nothing: shards that it only reads have no part in it. */
const unchecked = (accesses: readonly Access[]): Access[] =>
  accesses.filter(isWrite).map((access) => ({ ...access, reads: [] }));

function largestOf(votes: readonly Vote[]): number {
  return Math.max(0, ...votes.map((vote) => (vote.kind === "yes" ? vote.largest : 0)));
}
