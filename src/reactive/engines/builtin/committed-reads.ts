/**
 * What is read committed of one shard. No read of it has a moment of its own, so those that come while a question is under way go
 * together with the next one: the more is asked, the less each costs.
 *
 * Invariant: a read is answered by a question that was sent after it came. It fails alone: what is too long together is asked for
 * one by one.
 */
import { LimitError } from "../../failures.ts";
import { decodeReadReply, encodeQuery, type ReadReply } from "../../shard/query-messages.ts";
import type { ShardGroup } from "./backend.ts";

/** Of one question, unless a single read has more. */
const KEYS_MAX = 1000;
/** Two: while one is answered the next one travels. */
const UNDER_WAY_MAX = 2;

interface Waiting {
  keys: readonly Uint8Array[];
  done: PromiseWithResolvers<ReadReply>;
}

export class CommittedReads {
  readonly #shard: Pick<ShardGroup, "query">;
  #waiting: Waiting[] = [];
  #underWay = 0;

  constructor(shard: Pick<ShardGroup, "query">) {
    this.#shard = shard;
  }

  read(keys: readonly Uint8Array[]): Promise<ReadReply> {
    const done = Promise.withResolvers<ReadReply>();
    this.#waiting.push({ keys, done });
    this.#askNext();
    return done.promise;
  }

  #askNext(): void {
    if (this.#underWay >= UNDER_WAY_MAX || this.#waiting.length === 0) return;
    this.#underWay += 1;
    void this.#answer(this.#take()).finally(() => {
      this.#underWay -= 1;
      this.#askNext();
    });
  }

  #take(): Waiting[] {
    let keys = 0;
    const end = this.#waiting.findIndex((read, place) => (keys += read.keys.length) > KEYS_MAX && place > 0);
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  /** Never rejects. */
  async #answer(reads: Waiting[]): Promise<void> {
    try {
      const { versions, ...more } = await this.#ask(reads.flatMap(({ keys }) => keys));
      let first = 0;
      for (const { keys, done } of reads)
        done.resolve({ ...more, versions: versions.slice(first, (first += keys.length)) });
    } catch (error) {
      if (error instanceof LimitError && reads.length > 1)
        for (const read of reads) await this.#answer([read]);
      else for (const { done } of reads) done.reject(error);
    }
  }

  async #ask(keys: Uint8Array[]): Promise<ReadReply> {
    return decodeReadReply(await this.#shard.query(encodeQuery({ kind: "committed", keys })));
  }
}
