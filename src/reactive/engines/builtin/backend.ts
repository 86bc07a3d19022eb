/**
 * The groups behind a frontend: timestamp servers and shards, and what it asks of several of them at once.
 *
 * Invariant: a read without a timestamp takes a fresh one, so it sees everything that was acknowledged before it began, over
 * all shards, and never half a transaction, and nothing takes its place below it later. A read at a given timestamp is repeatable until
 * the shards' horizon passes it.
 */
import type { FinalOutcome } from "../../shard/commands.ts";
import {
  decodeReadReply,
  decodeScanReply,
  encodeQuery,
  type ReadReply,
  type ReadVersion,
} from "../../shard/query-messages.ts";
import { compareBytes } from "../../wire/bytes.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import { TooOldError } from "../../failures.ts";
import type { TransactionId } from "../../shard/transaction.ts";
import type {
  ChangeFeed,
  CommitResult,
  Engine,
  EngineCapabilities,
  FeedListener,
  KeyRange,
  Scanned,
  Snapshot,
  WholeTransaction,
} from "../engine.ts";
import { CommittedReads } from "./committed-reads.ts";
import { Coordinator, type Group } from "./coordinator.ts";
import { ShardFeeds } from "./shard-feeds.ts";
import { shardOf } from "./placement.ts";

/** Of one question: a shard answers it without a pause. */
const KEYS_PER_QUESTION = 1000;

/**
 * As `ask`, for any number of keys: of many in parts, one after the other. All parts are as of one timestamp, or, without one, each
 * key is as of its own moment anyway.
 */
async function askInParts(
  keys: readonly Uint8Array[],
  ask: (part: readonly Uint8Array[]) => Promise<ReadReply>,
): Promise<ReadReply> {
  if (keys.length <= KEYS_PER_QUESTION) return ask(keys);
  const versions: ReadVersion[] = [];
  for (let first = 0; ;) {
    const part = keys.slice(first, first + KEYS_PER_QUESTION);
    const reply = await ask(part);
    for (const version of reply.versions) versions.push(version);
    first += part.length;
    // A part that is too old by now has no versions: so the whole has too few.
    if (first >= keys.length || reply.versions.length < part.length) return { ...reply, versions };
  }
}

/** A shard's group. `mayWait`: it answers when it has something to say. */
export interface ShardGroup extends Group {
  query(body: Uint8Array, options?: { mayWait?: boolean }): Promise<Uint8Array>;
}

export class Backend implements Engine {
  readonly capabilities: EngineCapabilities = {
    hasUniqueTimestamps: true,
    comparesOperations: true,
    forgetsBelowFloor: true,
    foretellsCommits: true,
    transactionKeysMax: undefined,
  };
  readonly coordinator: Coordinator;
  readonly #shards: readonly ShardGroup[];
  /** Of each shard. */
  readonly #committed: readonly CommittedReads[];
  readonly #timestamps: { next(): Promise<number> };
  readonly #clock: Clock;
  /** The largest timestamp that it knows was issued. */
  #known = 0;
  readonly #learnIssued = (timestamp: number) => {
    this.learn(timestamp);
    return timestamp;
  };
  /** Told of each transaction of this frontend that is about to be committed. */
  onOrdering: Engine["onOrdering"] = () => {};

  constructor(shards: readonly ShardGroup[], timestamps: { next(): Promise<number> }, clock: Clock) {
    this.#shards = shards;
    this.#committed = shards.map((shard) => new CommittedReads(shard));
    this.#clock = clock;
    this.#timestamps = timestamps;
    this.coordinator = new Coordinator({
      shards,
      nextTimestamp: () => this.nextTimestamp(),
      onOrdering: (timestamp, accesses) => this.onOrdering(timestamp, accesses),
    });
  }

  get shards(): readonly ShardGroup[] {
    return this.#shards;
  }

  get known(): number {
    return this.#known;
  }

  nextTimestamp(): Promise<number> {
    return this.#timestamps.next().then(this.#learnIssued);
  }

  learn(timestamp: number): void {
    this.#known = Math.max(this.#known, timestamp);
  }

  async read(keys: readonly Uint8Array[], at: number | undefined): Promise<Snapshot> {
    return this.#readAt(keys, at ?? (await this.nextTimestamp()));
  }

  readNewest(keys: readonly Uint8Array[]): Promise<Snapshot> {
    return this.#readAt(keys, 0);
  }

  readCommitted(keys: readonly Uint8Array[]): Promise<Snapshot> {
    return this.#readEach(keys, 0, (shard, own) => (this.#committed[shard] as CommittedReads).read(own));
  }

  #readAt(keys: readonly Uint8Array[], timestamp: number): Promise<Snapshot> {
    const known = this.#known;
    return this.#readEach(keys, timestamp, async (shard, own) => {
      const body = encodeQuery({ kind: "read", timestamp, known, keys: own });
      return decodeReadReply(await (this.#shards[shard] as ShardGroup).query(body));
    });
  }

  /** Asks every shard that has some of the keys, all at once. */
  #readEach(
    keys: readonly Uint8Array[],
    timestamp: number,
    ask: (shard: number, own: readonly Uint8Array[]) => Promise<ReadReply>,
  ): Promise<Snapshot> {
    const [key] = keys;
    if (key === undefined || keys.length > 1) return this.#readSeveral(keys, timestamp, ask);
    const snapshotOf = ({ versions, horizon }: ReadReply) => {
      if (versions.length === 0) throw new TooOldError(timestamp, horizon);
      return { timestamp, versions, horizon };
    };
    return ask(shardOf(key, this.#shards.length), keys).then(snapshotOf);
  }

  async #readSeveral(
    keys: readonly Uint8Array[],
    timestamp: number,
    ask: (shard: number, own: readonly Uint8Array[]) => Promise<ReadReply>,
  ): Promise<Snapshot> {
    const versions: ReadVersion[] = [];
    let horizon = 0;
    const places = Map.groupBy(keys.keys(), (place) =>
      shardOf(keys[place] as Uint8Array, this.#shards.length),
    );
    await Promise.all(
      [...places].map(async ([shard, own]) => {
        const named = own.map((place) => keys[place] as Uint8Array);
        const reply = await askInParts(named, (part) => ask(shard, part));
        if (reply.versions.length < own.length) throw new TooOldError(timestamp, reply.horizon);
        horizon = Math.max(horizon, reply.horizon);
        for (const [index, place] of own.entries()) versions[place] = reply.versions[index] as ReadVersion;
      }),
    );
    return { timestamp, versions, horizon };
  }

  async scan(range: KeyRange, countMax: number, at: number | undefined): Promise<Scanned> {
    const timestamp = at ?? (await this.nextTimestamp());
    const parts = await Promise.all(
      this.#shards.map(async (shard) =>
        decodeScanReply(await shard.query(encodeQuery({ kind: "scan", timestamp, ...range, countMax }))),
      ),
    );
    const horizon = Math.max(...parts.map((part) => part.horizon));
    if (timestamp < horizon) throw new TooOldError(timestamp, horizon);
    // A shard that stopped early may have keys below the last one of another: nothing beyond its own last key is sure.
    const ends = parts.filter(({ isMore }) => isMore).map(({ entries }) => entries.at(-1)?.key ?? range.from);
    const end = ends.toSorted(compareBytes)[0];
    const sure = parts
      .flatMap(({ entries }) => entries)
      .filter(({ key }) => end === undefined || compareBytes(key, end) <= 0)
      .sort((a, b) => compareBytes(a.key, b.key));
    return {
      timestamp,
      entries: sure.slice(0, countMax),
      isMore: end !== undefined || sure.length > countMax,
    };
  }

  commit(whole: WholeTransaction): Promise<CommitResult> {
    return this.coordinator.commit(whole);
  }

  resolve(id: TransactionId, keys: readonly Uint8Array[]): Promise<FinalOutcome> {
    const home = Math.min(...keys.map((key) => shardOf(key, this.#shards.length)));
    return this.coordinator.settle(id, home, home);
  }

  follow(listener: FeedListener): ChangeFeed {
    return new ShardFeeds(this.#shards, this.#clock, listener);
  }
}
