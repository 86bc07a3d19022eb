/**
 * The reactive half of a frontend: follows every shard once, for all clients, and tells each what concerns it.
 *
 * While nobody watches nothing is followed. How a change becomes a run: a shard's primary has applied a commit and answers this frontend's waiting question with the
 * changed keys; the index finds the watches; each client's watcher reads the read sets of its dirty watches at one timestamp, which
 * was issued no earlier than the change, over all shards; the values leave in one message. A shard that has not yet carried
 * the same transaction out holds the read up until it has, so nobody sees half of it.
 *
 * Invariant: nothing here must survive. A client that comes back, here or elsewhere, says what it has seen, and is told if
 * anything happened since.
 */
import { sleep, type Clock } from "../../../core/seams/clock.ts";
import { encodeServerMessage } from "../../client-wire/codec.ts";
import type { ChangedKeys, ChangeFeed, Engine } from "../../engines/engine.ts";
import type { Access } from "../../shard/transaction.ts";
import { RunMessages } from "./run-messages.ts";
import { SnapshotReader } from "./snapshot-reader.ts";
import { WatchIndex } from "./watch-index.ts";
import { type Outlet, Watcher, type WatcherShared } from "./watcher.ts";

/** Before a timestamp is asked for again. */
const RETRY_MS = 50;

export class Watching {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #feed: ChangeFeed;
  readonly #watchers = new Set<Watcher>();
  readonly #shared: WatcherShared;
  #isPolling = false;
  #progress = 0;
  #changes = 0;
  #gaps = 0;
  /** Gaps that nobody was told of: until then nobody has everything. */
  #openGaps = 0;
  #isStopped = false;

  constructor(engine: Engine, clock: Clock) {
    const index = new WatchIndex();
    this.#engine = engine;
    this.#clock = clock;
    this.#feed = engine.follow({
      onChange: (change) => this.#onChange(change),
      onCaughtUp: () => this.#pump(),
      onGap: () => void this.#onGap(),
      isWanted: () => index.isUsed,
    });
    this.#shared = {
      store: engine,
      reader: new SnapshotReader((keys, at) => engine.read(keys, at)),
      index,
      clock,
      dirty: new Set(),
      messages: new RunMessages(),
      started: (read) => this.#feed.started(read),
      figures: { runs: 0, rounds: 0, gathered: 0, failedReads: 0 },
    };
    engine.onOrdering = (at, accesses) => this.#onOrdering(at, accesses);
  }

  /**
   * A transaction of this frontend is about to be committed: what will be run for it is read at its timestamp already, and the
   * shard's answer comes with the commit's. Who watches the same key mostly reads the same.
   */
  #onOrdering(at: number, accesses: readonly Access[]): void {
    const { index, reader } = this.#shared;
    for (const { key, operations } of accesses) {
      const watch = operations.byteLength > 0 ? index.any(key) : undefined;
      if (watch === undefined) continue;
      const reading = reader.read(watch.keys, watch.names, at);
      // One that fails is asked for again by who needs it.
      if (reading instanceof Promise) reading.catch(() => undefined);
    }
  }

  /** A client's watches; `close` it when the client is gone. */
  open(outlet: Outlet, unackedMax: number): Watcher {
    const watcher = new Watcher(this.#shared, outlet, unackedMax);
    this.#watchers.add(watcher);
    return watcher;
  }

  close(watcher: Watcher): void {
    watcher.close();
    this.#watchers.delete(watcher);
  }

  #onChange({ timestamp, keys }: ChangedKeys): void {
    this.#changes += 1;
    this.#engine.learn(timestamp);
    this.#shared.index.onChange(timestamp, keys);
  }

  #pump(): void {
    for (const watcher of this.#shared.dirty) watcher.pump();
  }

  /** What was lost has a timestamp that was issued before the one that is asked for here, so all read again as of that one or later. */
  async #onGap(): Promise<void> {
    this.#gaps += 1;
    this.#openGaps += 1;
    let upTo: number | undefined;
    while (upTo === undefined && !this.#isStopped) {
      upTo = await this.#engine.nextTimestamp().catch(() => undefined);
      if (upTo === undefined) await sleep(this.#clock, RETRY_MS);
    }
    this.#openGaps -= 1;
    for (const watcher of this.#watchers) watcher.onGap(upTo ?? 0);
    this.#pump();
  }

  /**
   * Asks the store for all that has a timestamp up to `issued`, which was issued before this call, and tells clients how far
   * they are. To be called every second or so.
   */
  async poll(issued: number): Promise<void> {
    if (this.#isPolling) return;
    this.#isPolling = true;
    try {
      // Who watches nothing misses nothing.
      const { isUsed } = this.#shared.index;
      this.#tell(isUsed ? Math.min(issued, await this.#feed.poll(issued)) : issued);
    } catch {
      // The store does not answer: there is no progress until it does.
    } finally {
      this.#isPolling = false;
    }
  }

  #tell(at: number): void {
    if (this.#openGaps > 0) return;
    this.#progress = Math.max(this.#progress, at);
    let encoded: Uint8Array | undefined;
    const encode = () => (encoded ??= encodeServerMessage({ type: "progress", at }));
    for (const watcher of this.#watchers) watcher.progress(at, encode);
  }

  /** For `/stats`. */
  get figures() {
    let watches = 0;
    for (const watcher of this.#watchers) watches += watcher.size;
    return {
      watches,
      watchedKeys: this.#shared.index.keys,
      changes: this.#changes,
      gaps: this.#gaps,
      progress: this.#progress,
      ...this.#shared.figures,
    };
  }

  stop(): void {
    this.#isStopped = true;
    this.#feed.stop();
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
  }
}
