/**
 * Gets timestamps from a group of timestamp servers.
 *
 * Invariant: every timestamp is asked for after its caller asked: callers that come while a request is under way wait for
 * the next one, which serves all of them at once. None is kept for later. A timestamp that was fetched ahead could be
 * smaller than one that another client has long committed with, and a reader would miss what had been acknowledged.
 */
import type { GroupClient } from "../replication/group-client.ts";
import { COUNT_MAX, decodeTimestamp, encodeCount } from "./timestamps.ts";

interface Caller {
  resolve(timestamp: number): void;
  reject(error: Error): void;
}

export class TimestampClient {
  readonly #group: Pick<GroupClient, "command" | "query">;
  #waiting: Caller[] = [];
  #underWay = 0;
  readonly #underWayMax: number;
  #requests = 0;

  /** `underWayMax`: requests at once; one gathers the most callers, more wait less. */
  constructor(group: Pick<GroupClient, "command" | "query">, underWayMax = 2) {
    this.#group = group;
    this.#underWayMax = underWayMax;
  }

  /** Requests that were sent, for figures. */
  get requests(): number {
    return this.#requests;
  }

  /** A timestamp that is greater than every one that anybody got before this call. */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#ask();
    });
  }

  #ask(): void {
    if (this.#waiting.length === 0 || this.#underWay >= this.#underWayMax) return;
    const callers = this.#waiting.splice(0, COUNT_MAX);
    this.#underWay++;
    this.#requests++;
    this.#take(callers.length).then(
      (first) => {
        this.#underWay--;
        for (const [index, caller] of callers.entries()) caller.resolve(first + index);
        this.#ask();
      },
      (error: Error) => {
        this.#underWay--;
        for (const caller of callers) caller.reject(error);
        this.#ask();
      },
    );
  }

  /** The first of so many consecutive ones. */
  async #take(count: number): Promise<number> {
    for (;;) {
      const first = decodeTimestamp(await this.#group.query(encodeCount(count)));
      if (first > 0) return first;
      await this.#group.command(encodeCount(count));
    }
  }
}
