/**
 * What became of transactions: a key each, written in the same transaction of etcd as what it did.
 *
 * Invariant: the first outcome of a transaction is its only one, because etcd writes it only where there is none. The revision of
 * "committed" is the commit's timestamp. Outcomes expire with a lease, `retentionMs` after they were written or a little later;
 * whoever sends a transaction again after that may have it executed twice.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { FinalOutcome } from "../../shard/commands.ts";
import type { TransactionId } from "../../shard/transaction.ts";
import { LeaseError } from "./answers.ts";
import { base64, bytesOf, type Layout, revisionOf } from "./bytes.ts";
import type { Etcd } from "./gateway.ts";
import { isMissing, type RangeAnswer, rangeOf } from "./messages.ts";
import { rangesOf } from "./reads.ts";

/** Outcomes of this long share a lease: when it ends, etcd deletes all of them at once. */
const SHARED_MS = 10_000;
const LEASE_TRIES = 3;

export class Outcomes {
  readonly #etcd: Etcd;
  readonly #layout: Layout;
  readonly #clock: Clock;
  readonly #retentionMs: number;
  #lease: { id: Promise<string>; sinceMs: number } | undefined;

  constructor(etcd: Etcd, layout: Layout, clock: Clock, retentionMs: number) {
    this.#etcd = etcd;
    this.#layout = layout;
    this.#clock = clock;
    this.#retentionMs = retentionMs;
  }

  nameOf(id: TransactionId): string {
    return this.#layout.outcome(id);
  }

  /** Calls `write` with a lease that lives; again with another one when it does not. */
  async withLease<Answer>(write: (lease: string) => Promise<Answer>): Promise<Answer> {
    for (let left = LEASE_TRIES; ; left--) {
      try {
        return await write(await this.#current());
      } catch (error) {
        if (!(error instanceof LeaseError) || left === 1) throw error;
        this.#lease = undefined;
      }
    }
  }

  #current(): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#lease === undefined || nowMs - this.#lease.sinceMs >= SHARED_MS) {
      const id = this.#grant();
      this.#lease = { id, sinceMs: nowMs };
      id.catch(() => (this.#lease = undefined));
    }
    return this.#lease.id;
  }

  async #grant(): Promise<string> {
    const ttl = Math.ceil((this.#retentionMs + SHARED_MS) / 1000);
    const { ID = "0" } = await this.#etcd.call("/lease/grant", { TTL: String(ttl) }, "read");
    return ID;
  }

  /** Aborts it for good, unless it is settled already. */
  async abort(id: TransactionId): Promise<FinalOutcome> {
    const key = this.nameOf(id);
    const answer = await this.withLease((lease) =>
      this.#etcd.call(
        "/kv/txn",
        {
          compare: [isMissing(key)],
          success: [{ request_put: { key, value: base64("aborted"), lease } }],
          failure: [rangeOf(key)],
        },
        "write",
      ),
    );
    return (answer.succeeded === true ? undefined : outcomeOf(rangesOf(answer)[0])) ?? { kind: "aborted" };
  }
}

/** Undefined: nothing is known of it. */
export function outcomeOf(range: RangeAnswer | undefined): FinalOutcome | undefined {
  const kept = range?.kvs?.[0];
  if (kept === undefined) return undefined;
  if (new TextDecoder().decode(bytesOf(kept.value)) !== "committed") return { kind: "aborted" };
  return { kind: "committed", timestamp: revisionOf(kept.mod_revision) };
}
