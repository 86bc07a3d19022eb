/**
 * A store in etcd: its revisions are the timestamps, its transactions the commits, its watch the feed. Several frontends may use one
 * etcd under one prefix; under another prefix is another store.
 *
 * Invariant: everything that must survive is in etcd. What a client is told is acknowledged, etcd has written at a majority.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { FinalOutcome } from "../../shard/commands.ts";
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
import { type Cell, Layout } from "./bytes.ts";
import { EtcdFeed } from "./change-feed.ts";
import { Collector } from "./collector.ts";
import { Commits } from "./commits.ts";
import { FormatGuard } from "./format.ts";
import type { Etcd } from "./gateway.ts";
import { Outcomes } from "./outcomes.ts";
import { OWN_OPERATIONS } from "./plan.ts";
import { Reads } from "./reads.ts";

export interface EtcdEngineOptions {
  etcd: Etcd;
  clock: Clock;
  prefix: string;
  /** Operations of one transaction, at most: etcd's --max-txn-ops. */
  operationsMax: number;
  timeoutMs: number;
  /** For how long outcomes of transactions, and marks of deleted keys, are kept. */
  outcomeRetentionMs: number;
  deletedRetentionMs: number;
  silenceMs: number;
  /** The newest revision is smaller than one that was known: what is known, and told to clients, is not true any more. */
  onWentBack(from: number, to: number): void;
}

export class EtcdEngine implements Engine {
  readonly capabilities: EngineCapabilities;
  readonly collector: Collector;
  readonly #options: EtcdEngineOptions;
  readonly #layout: Layout;
  readonly #reads: Reads;
  readonly #outcomes: Outcomes;
  readonly #commits: Commits;
  readonly #feeds = new Set<EtcdFeed>();
  #known = 0;
  onOrdering: Engine["onOrdering"] = () => {};

  constructor(options: EtcdEngineOptions) {
    const { clock, prefix, operationsMax, timeoutMs } = options;
    const layout = new Layout(prefix);
    const etcd = new FormatGuard(options.etcd, layout);
    this.#options = { ...options, etcd };
    this.#layout = layout;
    this.#reads = new Reads(etcd, layout, operationsMax);
    this.#outcomes = new Outcomes(etcd, layout, clock, options.outcomeRetentionMs);
    const [reads, outcomes] = [this.#reads, this.#outcomes];
    reads.known = (key, revision) => this.#cellAt(key, revision);
    const recent = (key: Uint8Array) => this.#recent(key);
    this.#commits = new Commits({ etcd, layout, clock, reads, outcomes, recent, operationsMax, timeoutMs });
    const fresh = () => this.nextTimestamp();
    this.collector = new Collector({ etcd, layout, clock, retentionMs: options.deletedRetentionMs, fresh });
    this.capabilities = {
      hasUniqueTimestamps: false,
      comparesOperations: false,
      forgetsBelowFloor: false,
      foretellsCommits: false,
      transactionKeysMax: operationsMax - OWN_OPERATIONS,
    };
  }

  get known(): number {
    return this.#known;
  }

  learn(timestamp: number): void {
    this.#known = Math.max(this.#known, timestamp);
  }

  async nextTimestamp(): Promise<number> {
    const before = this.#known;
    const revision = await this.#reads.freshRevision();
    if (revision < before) this.#options.onWentBack(before, revision);
    this.learn(revision);
    return revision;
  }

  async read(keys: readonly Uint8Array[], at: number | undefined): Promise<Snapshot> {
    const snapshot = await this.#reads.read(keys, at);
    this.learn(snapshot.timestamp);
    return snapshot;
  }

  readNewest(keys: readonly Uint8Array[]): Promise<Snapshot> {
    return this.read(keys, undefined);
  }

  /** Nothing in etcd is under way. */
  readCommitted(keys: readonly Uint8Array[]): Promise<Snapshot> {
    return this.read(keys, undefined);
  }

  async scan(range: KeyRange, countMax: number, at: number | undefined): Promise<Scanned> {
    const scanned = await this.#reads.scan(range, countMax, at);
    this.learn(scanned.timestamp);
    return scanned;
  }

  async commit(whole: WholeTransaction): Promise<CommitResult> {
    const result = await this.#commits.commit(whole);
    if (result.kind === "committed") this.learn(result.timestamp);
    return result;
  }

  resolve(id: TransactionId): Promise<FinalOutcome> {
    return this.#outcomes.abort(id);
  }

  follow(listener: FeedListener): ChangeFeed {
    const { etcd, clock, silenceMs } = this.#options;
    const fresh = () => this.nextTimestamp();
    const feed = new EtcdFeed({ etcd, layout: this.#layout, clock, fresh, silenceMs, listener });
    this.#feeds.add(feed);
    return feed;
  }

  #cellAt(key: Uint8Array, revision: number): Cell | undefined {
    for (const feed of this.#feeds) {
      const cell = feed.cellAt(key, revision);
      if (cell !== undefined) return cell;
    }
    return undefined;
  }

  #recent(key: Uint8Array): Cell | undefined {
    const [feed] = this.#feeds;
    return feed?.cellAt(key, feed.position);
  }

  get figures() {
    const [feed] = this.#feeds;
    return {
      ...this.#commits.figures,
      ...feed?.figures,
      followedTo: feed?.position ?? 0,
      collected: this.collector.collected,
    };
  }

  stop(): void {
    this.collector.stop();
    for (const feed of this.#feeds) feed.stop();
  }
}
