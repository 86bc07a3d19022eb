/**
 * Which revision is the newest.
 *
 * Invariant: every answer was asked for after its caller asked: callers that come while a question is under way wait for the next one,
 * which serves all of them. An answer from before could be older than what was acknowledged meanwhile.
 */
import type { Etcd } from "./gateway.ts";
import { revisionOf } from "./bytes.ts";

export class Revisions {
  readonly #etcd: Etcd;
  /** Any key: only the header of the answer is of interest. */
  readonly #key: string;
  #next: Promise<number> | undefined;
  #underWay: Promise<unknown> = Promise.resolve();

  constructor(etcd: Etcd, key: string) {
    this.#etcd = etcd;
    this.#key = key;
  }

  /** A revision at or above all that was acknowledged before this call. Rejects with RefusedError. */
  fresh(): Promise<number> {
    this.#next ??= this.#underWay.then(() => {
      const asked = this.#ask();
      this.#next = undefined;
      this.#underWay = asked.catch(() => undefined);
      return asked;
    });
    return this.#next;
  }

  async #ask(): Promise<number> {
    const { header } = await this.#etcd.call("/kv/range", { key: this.#key, count_only: true }, "read");
    return revisionOf(header?.revision);
  }
}
