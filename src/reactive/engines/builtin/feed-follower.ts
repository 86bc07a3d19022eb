/**
 * Follows what one shard changes: the one feed that all clients of a frontend share. While nobody watches it asks nothing, which
 * spares a shard and a frontend a question and an answer for each entry of the log.
 *
 * Invariant: every change behind the position where it began is handed over once, in the shard's order, or `onGap` says that some
 * are lost (the shard keeps only so many): then whoever watches reads again. It begins, each time that somebody wants it, at a position
 * that the shard answered after `started` was called, and `started` resolves behind that: who reads then sees what is at or below it.
 * Positions are those of the shard's log, so a new primary goes on where the old one stopped. Keeps nothing that must survive.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import { type ChangesReply, decodeChanges, encodeQuery } from "../../shard/query-messages.ts";
import type { FeedListener } from "../engine.ts";
import type { ShardGroup } from "./backend.ts";

export interface FeedFollowerOptions extends FeedListener {
  shard: ShardGroup;
  clock: Clock;
}

const RETRY_MS = 50;
/** Behind every entry: where a follower begins that wants nothing old. */
const END = Number.MAX_SAFE_INTEGER;

export class FeedFollower {
  readonly #options: FeedFollowerOptions;
  #position = END;
  #isStopped = false;
  /** Those who wait for it to begin. */
  #waiting: PromiseWithResolvers<void>[] = [];
  /** Ends a rest. */
  #wake: () => void = () => {};

  constructor(options: FeedFollowerOptions) {
    this.#options = options;
    void this.#run();
  }

  /** Resolves when it follows: no later change is missed. Rejects when the shard did not answer. */
  started(): Promise<void> {
    if (this.#position !== END) return Promise.resolve();
    const waiter = Promise.withResolvers<void>();
    this.#waiting.push(waiter);
    this.begin();
    return waiter.promise;
  }

  /** It is wanted: a rest is over. */
  begin(): void {
    this.#wake();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        if (this.#mayRest) await this.#rest();
        if (this.#position === END) {
          this.#position = (await this.#ask(false, 0)).position;
          for (const { resolve } of this.#waiting.splice(0)) resolve();
        }
        this.#take(await this.#ask(true, 0));
      } catch (error) {
        // The group answers again, or the role's probe says that it does not.
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        await new Promise<void>((resolve) => this.#options.clock.after(RETRY_MS, resolve));
      }
    }
  }

  get #mayRest(): boolean {
    return this.#waiting.length === 0 && !this.#options.isWanted();
  }

  /** Until somebody wants it. What happens meanwhile concerns nobody: where it was is forgotten. */
  #rest(): Promise<void> {
    this.#position = END;
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /**
   * Takes all changes up to this moment. Resolves with a timestamp: every change that has it or a smaller one, of those
   * whose timestamp was issued before this call, was handed over. 0: not known.
   */
  async poll(issued: number): Promise<number> {
    if (this.#position === END) return 0;
    const reply = await this.#ask(false, issued);
    this.#take(reply);
    // Whoever rested meanwhile begins anew at a position that is not known yet, maybe before what this answer tells of.
    return this.#position === END ? 0 : reply.floor;
  }

  async #ask(waits: boolean, upTo: number): Promise<ChangesReply> {
    const body = encodeQuery({ kind: "changes", position: this.#position, waits, upTo });
    return decodeChanges(await this.#options.shard.query(body, { mayWait: waits }));
  }

  /** Two questions may be under way: what the other one brought is behind the position already. */
  #take({ position, changes }: ChangesReply): void {
    const { onChange, onCaughtUp, onGap } = this.#options;
    if (this.#isStopped || position <= this.#position) return;
    const before = this.#position;
    this.#position = position;
    if (changes === undefined) onGap();
    for (const change of changes ?? []) if (change.position > before) onChange(change);
    onCaughtUp();
  }
}
