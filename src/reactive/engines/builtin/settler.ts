/**
 * Finishes what other frontends left: transactions that stay prepared, decisions that were not carried out everywhere.
 *
 * Invariant: it only asks; the home shard decides, once. What it sees for the first time is left alone for `settleAfterMs`, the
 * time in which a living frontend finishes by itself. Each shard is looked at by itself, and each transaction is settled by itself: one that
 * does not answer holds up nothing of the others. Several frontends may do this at once.
 */
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import type { Log } from "../../../core/logging/log.ts";
import { decodeUnsettled, encodeQuery } from "../../shard/query-messages.ts";
import { idText } from "../../shard/transaction.ts";
import type { Backend } from "./backend.ts";

/** Of one shard at once. */
const UNDER_WAY_MAX = 64;

interface Look {
  isUnderWay: boolean;
  /** What was found, and since when. */
  seen: Map<string, number>;
  settling: Set<string>;
}

/** What is found at a shard. */
interface Found {
  name: string;
  settle(): Promise<void>;
}

export class Settler {
  readonly #backend: Pick<Backend, "coordinator" | "shards">;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settleAfterMs: number;
  /** Of each shard. */
  readonly #looks: Look[];
  #settled = 0;
  readonly #timer: Timer;

  constructor(
    backend: Pick<Backend, "coordinator" | "shards">,
    clock: Clock,
    log: Log,
    settleAfterMs: number,
  ) {
    this.#backend = backend;
    this.#clock = clock;
    this.#log = log;
    this.#settleAfterMs = settleAfterMs;
    this.#looks = backend.shards.map(() => ({ isUnderWay: false, seen: new Map(), settling: new Set() }));
    this.#timer = clock.every(Math.max(50, settleAfterMs / 4), () => this.#look());
  }

  get settled(): number {
    return this.#settled;
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** One round over all shards. */
  #look(): void {
    for (const [shard, look] of this.#looks.entries()) {
      if (look.isUnderWay) continue;
      look.isUnderWay = true;
      void this.#quietly(this.#lookAt(shard, look)).then(() => (look.isUnderWay = false));
    }
  }

  async #lookAt(shard: number, look: Look): Promise<void> {
    const found = await this.#foundAt(shard);
    const nowMs = this.#clock.monotonicMs();
    look.seen = new Map(found.map(({ name }) => [name, look.seen.get(name) ?? nowMs]));
    for (const { name, settle } of found) {
      const isDue = nowMs - (look.seen.get(name) ?? nowMs) >= this.#settleAfterMs;
      if (!isDue || look.settling.has(name) || look.settling.size >= UNDER_WAY_MAX) continue;
      look.settling.add(name);
      // Whatever became of it, others come first now.
      const end = () => look.settling.delete(name) && look.seen.delete(name);
      void this.#quietly(settle()).then(end);
    }
  }

  async #foundAt(shard: number): Promise<Found[]> {
    const { coordinator, shards } = this.#backend;
    const reply = await shards[shard]?.query(encodeQuery({ kind: "unsettled" }));
    if (reply === undefined) return [];
    const { prepared, unfinished } = decodeUnsettled(reply);
    return [
      ...prepared.map(({ id, home }) => ({
        name: idText(id),
        settle: async () => {
          const { kind: outcome } = await coordinator.settle(id, home, shard);
          this.#settled += 1;
          this.#log.info("settled a transaction that was left prepared", { id: idText(id), shard, outcome });
        },
      })),
      ...unfinished.map(({ id, timestamp, participants }) => ({
        name: `${idText(id)} decided`,
        settle: async () => {
          await coordinator.carryOut(id, shard, participants, timestamp);
          this.#settled += 1;
        },
      })),
    ];
  }

  /** What fails is found again with the next look. */
  async #quietly(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#log.trace("settling failed", { reason: (error as Error).message });
    }
  }
}
