/**
 * All watches of one client, and the runs that it is sent.
 *
 * Invariant: runs leave one round after the other, each round as of one timestamp, which never falls; all watches move to it
 * together, and those of which something changed are run. At most `unackedMax` rounds are on their way: what changes meanwhile is
 * gathered in the next one, so a client that is slow, or asleep, costs a mark per watch and nothing more, and holds up nobody.
 */
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import { NOW } from "../../client-wire/messages.ts";
import { FutureError } from "../../failures.ts";
import type { Engine } from "../../engines/engine.ts";
import { type RunMessages, runToSend } from "./run-messages.ts";
import type { Reading, SnapshotReader } from "./snapshot-reader.ts";
import { type Due, type ReadSet, Watch } from "./watch.ts";
import type { WatchIndex } from "./watch-index.ts";

/** What a client's watches need of their frontend. */
export type WatchedStore = Pick<Engine, "known" | "nextTimestamp" | "readNewest">;

export interface WatcherShared {
  store: WatchedStore;
  reader: SnapshotReader;
  index: WatchIndex;
  clock: Clock;
  /** Resolves when the shards of a read set are followed; rejects when one does not answer. */
  started(read: ReadSet): Promise<void>;
  messages: RunMessages;
  /** Watchers that have something to tell. */
  dirty: Set<Watcher>;
  figures: { runs: number; rounds: number; gathered: number; failedReads: number };
}

/** Where a client's messages go. */
export interface Outlet {
  send(message: Uint8Array): void;
  /** It has more waiting than it should: told `relieved` when that is over. */
  readonly isCongested: boolean;
}

const RETRY_MS = 50;
/** A client whose other watches read more keys than this does not have all of them looked at for each run. */
const TOGETHER_KEYS_MAX = 1000;

type Answer = readonly Reading[] | Promise<readonly Reading[]>;

interface PlannedRun {
  watch: Watch;
  revision: number;
  due: Due;
}

export class Watcher {
  readonly #shared: WatcherShared;
  readonly #outlet: Outlet;
  readonly #unackedMax: number;
  readonly #watches = new Map<number, Watch>();
  /** Dirty watches and when they are due. */
  readonly #dirty = new Map<Watch, number>();
  /** Timestamps of rounds that the client has not acknowledged. */
  #unacked: number[] = [];
  #isReading = false;
  #isClosed = false;
  #timer: Timer | undefined;
  #told = 0;
  /** No round is as of an earlier moment: of the last one, or what the client has seen elsewhere. */
  #at = 0;

  constructor(shared: WatcherShared, outlet: Outlet, unackedMax: number) {
    this.#shared = shared;
    this.#outlet = outlet;
    this.#unackedMax = unackedMax;
  }

  get size(): number {
    return this.#watches.size;
  }

  has(id: number): boolean {
    return this.#watches.has(id);
  }

  /** Keys and prefixes of all its watches but this one. */
  watchedKeys(except: number): number {
    let count = 0;
    for (const { id, keys, prefixes } of this.#watches.values())
      if (id !== except) count += keys.length + prefixes.length;
    return count;
  }

  /**
   * Watches `read`, which the client has seen as of `at`. Resolves when nothing behind that can be missed: the index has
   * it before the shards are asked, so a change is heard of or found. Runs begin with the next `pump`. Rejects when shards do not
   * answer or nobody can have seen that: it is then not watched, nor what it replaced.
   */
  async watch(id: number, read: ReadSet, at: number, delayMs: number): Promise<void> {
    const { index } = this.#shared;
    const known = this.#watches.get(id);
    const watch = known ?? new Watch(id, { onDirty: (dirty) => this.#onDirty(dirty) });
    if (known !== undefined) index.remove(known);
    // What was asked for and was not yet followed may have missed something.
    const hadPrefixes = new Set(watch.isReady ? watch.prefixes : []);
    this.#dirty.delete(watch);
    watch.replace(read, at, delayMs);
    this.#watches.set(id, watch);
    index.add(watch);
    const { revision } = watch;
    try {
      await this.#register(watch, revision, read, hadPrefixes);
    } catch (error) {
      if (this.#isCurrent(watch, revision)) this.unwatch(id);
      throw error;
    }
  }

  async #register(watch: Watch, revision: number, read: ReadSet, hadPrefixes: Set<string>): Promise<void> {
    const { store, started } = this.#shared;
    const at = watch.seen;
    await started(read);
    if (at === NOW || at > store.known) await store.nextTimestamp();
    if (at > store.known) throw new FutureError(at);
    if (!this.#isCurrent(watch, revision)) return;
    this.#at = Math.max(this.#at, at);
    if (at === NOW) watch.mark("first");
    else if (watch.prefixes.some((prefix) => !hadPrefixes.has(prefix))) watch.mark("refetch");
    else await this.#compare(watch, revision);
    if (!this.#isCurrent(watch, revision)) return;
    watch.catchUp();
    watch.ready();
  }

  unwatch(id: number): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    this.#shared.index.remove(watch);
    this.#watches.delete(id);
    this.#dirty.delete(watch);
  }

  /** Something that was committed before the watch was in the index may be missed by its client. */
  async #compare(watch: Watch, revision: number): Promise<void> {
    if (watch.keys.length === 0) return;
    const { seen } = watch;
    const { versions, horizon } = await this.#shared.store.readNewest(watch.keys);
    if (!this.#isCurrent(watch, revision)) return;
    // A key without a version may have been deleted behind `seen` and its mark collected.
    if (versions.some(({ start }) => start === 0) && seen < horizon) watch.mark("refetch");
    for (const { start } of versions) watch.onChange(start);
  }

  /** Changes of a shard were lost, all with timestamps up to this one. */
  onGap(upTo: number): void {
    for (const watch of this.#watches.values()) watch.onGap(upTo);
  }

  #isCurrent(watch: Watch, revision: number): boolean {
    return !this.#isClosed && this.#watches.get(watch.id) === watch && watch.revision === revision;
  }

  #onDirty(watch: Watch): void {
    if (this.#isClosed || this.#dirty.has(watch)) return;
    this.#shared.dirty.add(this);
    this.#dirty.set(watch, this.#shared.clock.monotonicMs() + watch.delayMs);
  }

  /** All runs up to `at` are done. */
  acknowledge(at: number): void {
    while (this.#unacked.length > 0 && (this.#unacked[0] as number) <= at) this.#unacked.shift();
    this.pump();
  }

  /** Every change up to `at` was handed to the index. Tells the client, if it has all of them. */
  progress(at: number, encode: () => Uint8Array): void {
    if (this.#watches.size === 0 || this.#dirty.size > 0 || this.#isReading || at <= this.#told) return;
    // Who does not read is told when he does: it would pile up for as long as he is there.
    if (this.#outlet.isCongested) return;
    for (const watch of this.#watches.values()) if (!watch.isReady) return;
    for (const watch of this.#watches.values()) watch.seen = Math.max(watch.seen, at);
    this.#told = at;
    this.#outlet.send(encode());
  }

  /** Begins a round if there is something to tell and the client can be told. */
  pump(): void {
    this.#shared.dirty.delete(this);
    if (this.#isClosed || this.#isReading || this.#dirty.size === 0) return;
    if (this.#unacked.length >= this.#unackedMax || this.#outlet.isCongested) return;
    const nowMs = this.#shared.clock.monotonicMs();
    const due = [...this.#dirty].filter(([, dueMs]) => dueMs <= nowMs).map(([watch]) => watch);
    const at = this.#momentFor(due);
    if (due.length === 0) this.#pumpAt(Math.min(...this.#dirty.values()) - nowMs);
    else if (due.some(({ seen }) => seen >= at)) void this.#pumpLater(due);
    else this.#round(at, due);
  }

  /**
   * The timestamp of the next round: of the newest change that it tells of, so that all who are told of a change read at the
   * same one; or all that is known, where a change has no timestamp.
   */
  #momentFor(due: readonly Watch[]): number {
    let newest = 0;
    for (const { wanted } of due) {
      if (wanted === undefined) return this.#shared.store.known;
      newest = Math.max(newest, wanted);
    }
    return newest > this.#at ? newest : this.#shared.store.known;
  }

  /**
   * What it has to read again may have changed behind every timestamp that is known here. Where a fresh one is no larger than
   * what was seen, nothing has.
   */
  async #pumpLater(due: readonly Watch[]): Promise<void> {
    this.#isReading = true;
    try {
      const fresh = await this.#shared.store.nextTimestamp();
      this.#isReading = false;
      for (const watch of due)
        if (this.#dirty.has(watch) && watch.isUpToDate(fresh)) this.#dirty.delete(watch);
      this.pump();
    } catch {
      this.#isReading = false;
      this.#pumpAt(RETRY_MS);
    }
  }

  #pumpAt(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#shared.clock.after(delayMs, () => this.pump());
  }

  /**
   * Watches that go along with those that are due, because they may have changed too and nobody has said so yet: so all of a
   * client's watches show one moment. Those that let changes gather do not, nor ranges, which are not read here.
   */
  #alongWith(due: readonly Watch[], at: number): Watch[] {
    if (this.#watches.size === due.length) return [];
    const others = [...this.#watches.values()].filter(
      (watch) => watch.isReady && !this.#dirty.has(watch) && watch.prefixes.length === 0 && watch.seen < at,
    );
    const keys = others.reduce((sum, watch) => sum + watch.keys.length, 0);
    return keys > TOGETHER_KEYS_MAX ? [] : others;
  }

  #round(at: number, due: readonly Watch[]): void {
    const { reader } = this.#shared;
    const runs = [...due, ...this.#alongWith(due, at)].map((watch): PlannedRun => {
      this.#dirty.delete(watch);
      return { watch, revision: watch.revision, due: watch.begin(at) };
    });
    this.#at = at;
    const readings = runs.map(({ watch: { keys, names } }) => reader.read(keys, names, at));
    if (readings.some((reading) => reading instanceof Promise)) void this.#wait(at, runs, readings);
    else {
      this.#send(at, runs, readings as (readonly Reading[])[]);
      this.pump();
    }
  }

  async #wait(at: number, runs: readonly PlannedRun[], readings: readonly Answer[]): Promise<void> {
    this.#isReading = true;
    try {
      const [first] = readings;
      const got = readings.length === 1 ? [await (first as Answer)] : await Promise.all(readings);
      this.#isReading = false;
      this.#send(at, runs, got);
    } catch {
      await this.#giveBack(runs);
      this.#isReading = false;
    }
    this.pump();
  }

  async #giveBack(runs: readonly PlannedRun[]): Promise<void> {
    const { clock, figures, store } = this.#shared;
    figures.failedReads += 1;
    const dueMs = clock.monotonicMs() + RETRY_MS;
    for (const { watch, revision, due: taken } of runs) {
      if (!this.#isCurrent(watch, revision)) continue;
      watch.giveBack(taken);
      this.#dirty.set(watch, dueMs);
    }
    // The timestamp may have become too old to be read.
    await store.nextTimestamp().catch(() => undefined);
  }

  #send(at: number, runs: readonly PlannedRun[], readings: readonly (readonly Reading[])[]): void {
    const { figures } = this.#shared;
    const written = runs.flatMap(({ watch, revision, due }, place) =>
      this.#isCurrent(watch, revision) ? (runToSend(watch, due, readings[place] as Reading[]) ?? []) : [],
    );
    if (written.length === 0) return;
    for (const { head } of written) figures.gathered += Math.max(0, head.changes - 1);
    figures.runs += written.length;
    figures.rounds += 1;
    this.#unacked.push(at);
    this.#told = at;
    this.#outlet.send(this.#shared.messages.encode(at, written));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#shared.dirty.delete(this);
    for (const watch of this.#watches.values()) this.#shared.index.remove(watch);
    this.#watches.clear();
    this.#dirty.clear();
  }
}
