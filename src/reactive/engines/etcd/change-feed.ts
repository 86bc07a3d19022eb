/**
 * Follows what is changed: one watch of etcd for all clients of a frontend.
 *
 * Invariant: every change behind the revision where it began is handed over once, in the order of revisions, all keys of one
 * revision together, or `onGap` says that some are lost. A watch that ends, with its member or for any reason, is made again from the
 * revision behind the last one that was handed over, at the next member. Only when etcd has compacted that away is there a gap.
 *
 * How far it is, is known from what arrives: changes, etcd's own notes of progress, and where those say too little, a key that is
 * written to be heard of (`beat`): a watch has no other way to say "nothing" that cannot overtake a change.
 */
import { sleep, type Clock, type Timer } from "../../../core/seams/clock.ts";
import { RefusedError } from "../../failures.ts";
import type { ChangeFeed, FeedListener } from "../engine.ts";
import { CompactedError } from "./answers.ts";
import { type Cell, type Layout, revisionOf } from "./bytes.ts";
import type { Etcd } from "./gateway.ts";
import type { WatchAnswer } from "./messages.ts";
import { RecentCells } from "./recent-cells.ts";

export interface EtcdFeedOptions {
  etcd: Etcd;
  layout: Layout;
  clock: Clock;
  /** A revision at or above all that was acknowledged. */
  fresh(): Promise<number>;
  /** A watch that has not told of a beat for this long is made anew, at another member. */
  silenceMs: number;
  listener: FeedListener;
}

/** Before a watch is made again, doubled while that is in vain. */
const RETRY_MS = 50;
const RETRY_MS_MAX = 1000;
/** Changes that are on their way arrive within this time, mostly: then nothing has to be written. */
const PATIENCE_MS = 100;

export class EtcdFeed implements ChangeFeed {
  readonly #options: EtcdFeedOptions;
  /** Everything up to this revision was handed over; undefined: it has not begun. */
  #position: number | undefined;
  #waiting: PromiseWithResolvers<void>[] = [];
  readonly #reached = new Set<{ revision: number; resolve: (isReached: boolean) => void; timer: Timer }>();
  #watch = new AbortController();
  #isStopped = false;
  readonly #recent = new RecentCells();
  /** Watches that a member made. */
  #answered = 0;
  /** Some changes are lost, and nobody was told yet. */
  #hasLost = false;
  readonly figures = { watches: 0, beats: 0, gaps: 0 };

  constructor(options: EtcdFeedOptions) {
    this.#options = options;
    void this.#run();
  }

  get position(): number {
    return this.#position ?? 0;
  }

  /** A key as of a revision, where the watch has brought it. */
  cellAt(key: Uint8Array, revision: number): Cell | undefined {
    return this.#recent.at(this.#options.layout.data(key), revision, this.position);
  }

  started(): Promise<void> {
    if (this.#position !== undefined) return Promise.resolve();
    const waiter = Promise.withResolvers<void>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  async poll(issued: number): Promise<number> {
    if (this.#position === undefined) return 0;
    if (await this.#reaches(issued, PATIENCE_MS)) return this.position;
    const { etcd, layout, silenceMs } = this.#options;
    this.figures.beats += 1;
    const { header } = await etcd.call("/kv/put", { key: layout.beat }, "write");
    if (await this.#reaches(revisionOf(header?.revision), silenceMs)) return this.position;
    this.#watch.abort();
    throw new RefusedError(`the watch is silent for ${silenceMs} ms: it is made anew`);
  }

  /** Resolves with whether everything up to a revision is handed over within a time. */
  #reaches(revision: number, withinMs: number): Promise<boolean> {
    if (this.position >= revision) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(withinMs, () => {
        this.#reached.delete(waiter);
        resolve(false);
      });
      const waiter = { revision, resolve, timer };
      this.#reached.add(waiter);
    });
  }

  async #run(): Promise<void> {
    for (let retryMs = RETRY_MS; !this.#isStopped; retryMs = Math.min(2 * retryMs, RETRY_MS_MAX)) {
      const watches = this.#answered;
      try {
        this.#position ??= await this.#begin();
        await this.#follow(this.#position);
      } catch (error) {
        if (error instanceof CompactedError) this.#lose();
        for (const { reject } of this.#waiting.splice(0)) reject(error);
      }
      if (this.#answered > watches) retryMs = RETRY_MS;
      if (!this.#isStopped) await sleep(this.#options.clock, retryMs);
    }
  }

  async #begin(): Promise<number> {
    const revision = await this.#options.fresh();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    if (this.#hasLost) this.#options.listener.onGap();
    this.#hasLost = false;
    return revision;
  }

  async #follow(position: number): Promise<void> {
    const { etcd, layout } = this.#options;
    this.#watch = new AbortController();
    this.figures.watches += 1;
    let ending: Error | undefined;
    await etcd.watch({
      key: layout.beat,
      rangeEnd: layout.dataEnd,
      startRevision: position + 1,
      signal: this.#watch.signal,
      onAnswer: (answer) => {
        if (answer.canceled === true) {
          ending =
            revisionOf(answer.compact_revision) > 0 ? new CompactedError() : new Error(answer.cancel_reason);
          this.#watch.abort();
        } else if (answer.created === true) this.#answered += 1;
        else if (ending === undefined) this.#take(answer);
      },
    });
    if (ending !== undefined) throw ending;
  }

  #take({ header, events = [] }: WatchAnswer): void {
    const { layout, listener } = this.#options;
    if (this.#isStopped) return;
    const position = this.position;
    const beat = layout.beat;
    // What arrives twice, from a watch that was replaced, is behind the position already.
    const later = events.filter(({ kv }) => revisionOf(kv.mod_revision) > position);
    const changes = Map.groupBy(
      // Only marks of what was deleted before are taken away.
      later.filter(({ type, kv }) => type !== "DELETE" && kv.key !== beat),
      ({ kv }) => revisionOf(kv.mod_revision),
    );
    for (const { type, kv } of later) if (type === "DELETE") this.#recent.forget(kv.key);
    for (const [timestamp, at] of changes) {
      for (const { kv } of at) this.#recent.add(kv);
      listener.onChange({ timestamp, keys: at.map(({ kv }) => layout.keyOf(kv.key) as Uint8Array) });
    }
    const last = revisionOf(later.at(-1)?.kv.mod_revision);
    // Without events it is a note of progress.
    this.#advance(events.length === 0 ? revisionOf(header?.revision) : last);
    listener.onCaughtUp();
  }

  #advance(revision: number): void {
    this.#position = Math.max(this.position, revision);
    for (const waiter of this.#reached) {
      if (waiter.revision > this.position) continue;
      this.#reached.delete(waiter);
      waiter.timer.cancel();
      waiter.resolve(true);
    }
  }

  /** Where it stopped is compacted: it begins anew, and whoever watches reads again. */
  #lose(): void {
    this.figures.gaps += 1;
    this.#recent.clear();
    this.#position = undefined;
    this.#hasLost = true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch.abort();
    for (const { timer, resolve } of this.#reached) {
      timer.cancel();
      resolve(false);
    }
    this.#reached.clear();
    for (const { reject } of this.#waiting.splice(0)) reject(new RefusedError("the frontend stops"));
  }
}
