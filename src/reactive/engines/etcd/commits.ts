/**
 * Commits transactions: looks at the keys, judges, and has etcd do it if they are still as they were; if not, all over again.
 *
 * What commutes is never refused for that: it is done anew on what is there. What was read and has changed is refused. A transaction
 * whose keys others keep changing until its time is up did nothing, and says so.
 *
 * Invariant: whatever was sent, and however often, at most one attempt of a transaction is carried out, because each demands that
 * there is no outcome yet. A refusal is written down before it is told, so an attempt that is late finds it.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import { RefusedError } from "../../failures.ts";
import { Level } from "../../shard/transaction.ts";
import { WireError } from "../../wire/bytes.ts";
import type { CommitResult, WholeTransaction } from "../engine.ts";
import { type Cell, cellOf, type Layout, revisionOf } from "./bytes.ts";
import type { Etcd } from "./gateway.ts";
import { judge, type Verdict } from "./judge.ts";
import type { TxnAnswer } from "./messages.ts";
import { outcomeOf, type Outcomes } from "./outcomes.ts";
import { assertRoom, expectedRevisions, lookOf, type Step, stepsOf, txnOf } from "./plan.ts";
import { horizonOf, rangesOf, type Reads } from "./reads.ts";
import { Turns } from "./turns.ts";

export interface CommitsOptions {
  etcd: Etcd;
  layout: Layout;
  clock: Clock;
  reads: Reads;
  outcomes: Outcomes;
  /** A key as it was lately, where that is known without asking. */
  recent(key: Uint8Array): Cell | undefined;
  /** Of one transaction of etcd. */
  operationsMax: number;
  timeoutMs: number;
}

/** The keys of a transaction as one request found them. */
interface Look {
  settled: CommitResult | undefined;
  horizon: number;
  cells: Cell[];
}

export class Commits {
  readonly #options: CommitsOptions;
  readonly #turns = new Turns();
  readonly figures = { attempts: 0, repeated: 0 };

  constructor(options: CommitsOptions) {
    this.#options = options;
  }

  async commit(whole: WholeTransaction): Promise<CommitResult> {
    let steps: Step[];
    try {
      steps = stepsOf(whole);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.#refuse(whole, { reason: "invalid", key: whole.accesses[0]?.key ?? new Uint8Array(0) });
    }
    if (steps.length === 0) return { kind: "committed", timestamp: 0 };
    if (steps.every(({ operations }) => operations.length === 0)) return this.#validate(whole);
    const contended = steps.filter(({ isCompared }) => isCompared).map(({ key }) => key);
    const { clock, timeoutMs } = this.#options;
    const untilMs = clock.monotonicMs() + timeoutMs;
    return this.#turns.take(contended, () => this.#write(whole, steps, untilMs));
  }

  /** What only read happens at a fresh revision, when nothing of it has changed: nothing of it needs to be kept. */
  async #validate(whole: WholeTransaction): Promise<CommitResult> {
    if (whole.level === Level.snapshot) return { kind: "committed", timestamp: whole.snapshot };
    const { reads } = this.#options;
    const keys = whole.level === Level.strict ? whole.accesses.map(({ key }) => key) : [];
    const { revision, horizon, cells } = await reads.cells(keys);
    if (whole.level === Level.readCommitted) return { kind: "committed", timestamp: revision };
    const verdict = await judge(whole, cells, horizon, (key, at) => reads.past(key, at));
    return verdict === undefined
      ? { kind: "committed", timestamp: revision }
      : { kind: "refused", ...verdict };
  }

  async #write(whole: WholeTransaction, steps: readonly Step[], untilMs: number): Promise<CommitResult> {
    const { clock, timeoutMs, reads } = this.#options;
    if (clock.monotonicMs() >= untilMs)
      throw new RefusedError(
        `earlier transactions on these keys took ${timeoutMs / 1000} s: nothing was done`,
      );
    const expected = expectedRevisions(steps, whole.level);
    let look = expected === undefined ? (this.#recall(steps) ?? (await this.#look(whole, steps))) : undefined;
    for (;;) {
      if (look?.settled !== undefined) return look.settled;
      if (look !== undefined) {
        const verdict = await judge(whole, look.cells, look.horizon, (key, at) => reads.past(key, at));
        if (verdict !== undefined) return this.#refuse(whole, verdict);
      }
      const answer = await this.#attempt(whole, steps, look?.cells, expected ?? []);
      if (answer.succeeded === true)
        return { kind: "committed", timestamp: revisionOf(answer.header?.revision) };
      look = lookedAt(answer);
      if (clock.monotonicMs() >= untilMs && look.settled === undefined)
        throw new RefusedError(`others changed the same keys for ${timeoutMs / 1000} s: nothing was done`);
      this.figures.repeated += 1;
    }
  }

  /**
   * The keys as they were lately: in most cases they are so still, and if not, the attempt says how they are. Who is refused because
   * of them had come too late then already.
   */
  #recall(steps: readonly Step[]): Look | undefined {
    const cells = steps.map(({ key }) => this.#options.recent(key));
    if (cells.some((cell) => cell === undefined)) return undefined;
    return { settled: undefined, horizon: 0, cells: cells as Cell[] };
  }

  async #look(whole: WholeTransaction, steps: readonly Step[]): Promise<Look> {
    const { etcd, layout, outcomes, operationsMax } = this.#options;
    const name = outcomes.nameOf(whole.id);
    const success = lookOf(layout, name, steps);
    assertRoom(steps, success.length, operationsMax);
    return lookedAt(await etcd.call("/kv/txn", { success }, "read"));
  }

  #attempt(
    whole: WholeTransaction,
    steps: readonly Step[],
    cells: readonly Cell[] | undefined,
    expected: readonly number[],
  ): Promise<TxnAnswer> {
    const { etcd, layout, outcomes, operationsMax } = this.#options;
    const name = outcomes.nameOf(whole.id);
    const revisions = cells?.map(({ revision }) => revision) ?? expected;
    this.figures.attempts += 1;
    return outcomes.withLease((lease) =>
      etcd.call("/kv/txn", txnOf(layout, { name, lease }, steps, revisions, cells, operationsMax), "write"),
    );
  }

  async #refuse({ id }: WholeTransaction, verdict: Verdict): Promise<CommitResult> {
    const outcome = await this.#options.outcomes.abort(id);
    return outcome.kind === "committed" ? outcome : { kind: "refused", ...verdict };
  }
}

function lookedAt(answer: TxnAnswer): Look {
  const [outcome, horizon, ...cells] = rangesOf(answer);
  return {
    settled: outcomeOf(outcome),
    horizon: horizonOf(horizon),
    cells: cells.map(({ kvs }) => cellOf(kvs?.[0])),
  };
}
