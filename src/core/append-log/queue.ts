/**
 * What waits for the disk: groups of appends, in order, and the cuts between them.
 *
 * Invariant: an append joins the last group until that group is being written, and never one in front of a
 * cut. `durablePosition` moves only in `complete`, by whole groups, in order. Everything here is lost by a
 * crash, and nothing of it was acknowledged.
 */
import { Group, GroupPool } from "./group.ts";

/** A group beyond this keeps the disk busy with its bytes, not with its sync: the disk had better not stand still. */
const LEISURE_BYTES_MAX = 16 << 10;

/** The point between two appends at which a new segment begins, for a snapshot of everything before it. */
export class Cut {
  readonly position: number;
  readonly appends = 0;
  /** Sequence of the segment that begins here. */
  readonly done = Promise.withResolvers<number>();
  /** Log bytes before this point; known when `done` is. */
  logBytes = 0;

  constructor(position: number) {
    this.position = position;
  }
}

export type QueueItem = Group | Cut;

interface Waiter {
  position: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

export class CommitQueue {
  #items: QueueItem[] = [];
  #waiters: Waiter[] = [];
  #pool: GroupPool;
  #groupBytesMax: number;
  #position: number;
  #durablePosition: number;
  #isCongested = false;
  /** Appends since the start. */
  appends = 0;

  constructor(position: number, groupBytesMax: number) {
    this.#position = position;
    this.#durablePosition = position;
    this.#groupBytesMax = groupBytesMax;
    this.#pool = new GroupPool(2 * groupBytesMax);
  }

  get position(): number {
    return this.#position;
  }

  get durablePosition(): number {
    return this.#durablePosition;
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  /** The oldest item, which is to be written next. */
  get first(): QueueItem | undefined {
    return this.#items[0];
  }

  /** Whether what waits should be on its way: somebody asked for it, it is much, or it is more than one group. */
  get isUrgent(): boolean {
    const isMore = this.#items.length > 1 || this.first instanceof Cut;
    return isMore || this.#waiters.length > 0 || this.#waitingBytes() > LEISURE_BYTES_MAX;
  }

  append(bytes: Uint8Array): void {
    const group = this.#gathering(bytes.byteLength);
    group.add(bytes);
    this.appends++;
    this.#position += bytes.byteLength;
    group.endPosition = this.#position;
    if (this.#waitingBytes() >= 2 * this.#groupBytesMax) this.#isCongested = true;
  }

  cut(): Cut {
    const cut = new Cut(this.#position);
    this.#items.push(cut);
    return cut;
  }

  /** The first item, a group, is durable. Returns true when appends are welcome again. */
  complete(group: Group): boolean {
    this.#items.shift();
    this.#durablePosition = group.endPosition;
    this.#pool.giveBack(group);
    if (!this.#isCongested || this.#waitingBytes() > this.#groupBytesMax) return false;
    this.#isCongested = false;
    return true;
  }

  /** The first item, a cut, is done: segment `sequence` has begun. */
  completeCut(cut: Cut, sequence: number): void {
    this.#items.shift();
    cut.done.resolve(sequence);
  }

  /** Resolves when everything appended so far is durable. */
  wait(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ position: this.#position, resolve, reject });
    return promise;
  }

  /** Resolves the waiters whose position is durable. */
  releaseWaiters(): void {
    while (this.#waiters[0] !== undefined && this.#waiters[0].position <= this.#durablePosition) {
      this.#waiters.shift()?.resolve();
    }
  }

  /** Nothing more will become durable. */
  fail(reason: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
    for (const item of this.#items) if (item instanceof Cut) item.done.reject(reason);
  }

  #waitingBytes(): number {
    return this.#position - this.#durablePosition;
  }

  #gathering(bytes: number): Group {
    const last = this.#items.at(-1);
    const isJoinable = last instanceof Group && !last.isClosed;
    if (isJoinable && last.payloadBytes + bytes <= this.#groupBytesMax) return last;
    const group = this.#pool.take();
    this.#items.push(group);
    return group;
  }
}
