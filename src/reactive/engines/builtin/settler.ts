/**
 * Finishes what other frontends left: transactions that stay prepared, decisions that were not carried out everywhere.
 *
 * Invariant: it only asks; the home shard decides, once. What it sees for the first time is left alone for `settleAfterMs`, the
 * time in which a living frontend finishes by itself. Several frontends may do this at once.
 */
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import type { Log } from "../../../core/logging/log.ts";
import { decodeUnsettled, encodeQuery } from "../../shard/query-messages.ts";
import { idText } from "../../shard/transaction.ts";
import type { Backend } from "./backend.ts";

export class Settler {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settleAfterMs: number;
  #seen = new Map<string, number>();
  #isLooking = false;
  #settled = 0;
  readonly #timer: Timer;

  constructor(backend: Backend, clock: Clock, log: Log, settleAfterMs: number) {
    this.#backend = backend;
    this.#clock = clock;
    this.#log = log;
    this.#settleAfterMs = settleAfterMs;
    this.#timer = clock.every(Math.max(50, settleAfterMs / 4), () => void this.look());
  }

  get settled(): number {
    return this.#settled;
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** One round over all shards. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const seen = new Map<string, number>();
    try {
      await Promise.all(this.#backend.shards.map((_, shard) => this.#lookAt(shard, seen)));
      this.#seen = seen;
    } catch (error) {
      this.#log.trace("looking for unsettled transactions failed", { reason: (error as Error).message });
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookAt(shard: number, seen: Map<string, number>): Promise<void> {
    const { coordinator, shards } = this.#backend;
    const reply = await shards[shard]?.query(encodeQuery({ kind: "unsettled" }));
    if (reply === undefined) return;
    const { prepared, unfinished } = decodeUnsettled(reply);
    const nowMs = this.#clock.monotonicMs();
    const isDue = (name: string) => {
      const sinceMs = this.#seen.get(name) ?? nowMs;
      seen.set(name, sinceMs);
      return nowMs - sinceMs >= this.#settleAfterMs;
    };
    for (const { id, home } of prepared) {
      if (!isDue(`${shard}/${idText(id)}`)) continue;
      const outcome = await coordinator.settle(id, home, shard);
      this.#settled += 1;
      this.#log.info("settled a transaction that was left prepared", {
        id: idText(id),
        shard,
        outcome: outcome.kind,
      });
    }
    for (const { id, timestamp, participants } of unfinished) {
      if (!isDue(`${shard}!${idText(id)}`)) continue;
      await coordinator.carryOut(id, shard, participants, timestamp);
      this.#settled += 1;
    }
  }
}
