/**
 * Takes away the marks of keys that were deleted long ago: until then they tell a client that comes back what it missed.
 *
 * Invariant: the horizon is raised before a mark below it goes, at a smaller revision. Who reads a key without a mark therefore also
 * reads a horizon at or above the delete. Any number of frontends may do this at once; each step is compared with what it was
 * decided on.
 */
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import { ValueType } from "../../../native/version-values.ts";
import { base64, cellOf, type Layout, revisionOf } from "./bytes.ts";
import type { Etcd } from "./gateway.ts";
import { isUnchanged } from "./messages.ts";
import { horizonOf } from "./reads.ts";

const AT_ONCE = 500;
const ROUNDS_PER_RETENTION = 4;
const ROUND_MS_MAX = 60_000;

export interface CollectorOptions {
  etcd: Etcd;
  layout: Layout;
  clock: Clock;
  retentionMs: number;
  fresh(): Promise<number>;
}

export class Collector {
  readonly #options: CollectorOptions;
  readonly #timer: Timer;
  /** Which revision was the newest when, oldest first. */
  #samples: { atMs: number; revision: number }[] = [];
  #isCollecting = false;
  #collected = 0;

  constructor(options: CollectorOptions) {
    this.#options = options;
    const roundMs = Math.min(ROUND_MS_MAX, Math.ceil(options.retentionMs / ROUNDS_PER_RETENTION));
    this.#timer = options.clock.every(roundMs, () => void this.#round());
  }

  /** Marks that this frontend took away. */
  get collected(): number {
    return this.#collected;
  }

  async #round(): Promise<void> {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    try {
      const { clock, retentionMs, fresh } = this.#options;
      const revision = await fresh();
      const nowMs = clock.monotonicMs();
      const old = this.#samples.findLast(({ atMs }) => atMs <= nowMs - retentionMs);
      this.#samples = [...this.#samples.filter((sample) => old === undefined || sample.atMs >= old.atMs), { atMs: nowMs, revision }]; // prettier-ignore
      if (old !== undefined) await this.collect(old.revision);
    } catch {
      // etcd does not answer: the next round finds the same marks.
    } finally {
      this.#isCollecting = false;
    }
  }

  /** Takes away marks of what was deleted at or below a revision. */
  async collect(upTo: number): Promise<void> {
    const { etcd, layout } = this.#options;
    const found = await etcd.call(
      "/kv/range",
      {
        key: layout.deleted(new Uint8Array(0)),
        range_end: layout.deletedEnd,
        max_mod_revision: String(upTo),
        limit: String(AT_ONCE),
        keys_only: true,
      },
      "read",
    );
    const names = (found.kvs ?? []).map(({ key, mod_revision }) => ({
      key,
      revision: revisionOf(mod_revision),
    }));
    if (names.length === 0 || !(await this.#raise(upTo))) return;
    for (const { key, revision } of names) await this.#forget(key, revision);
  }

  /** Returns whether the horizon is there now. */
  async #raise(upTo: number): Promise<boolean> {
    const { etcd, layout } = this.#options;
    const range = await etcd.call("/kv/range", { key: layout.horizon }, "read");
    if (horizonOf(range) >= upTo) return true;
    const { succeeded } = await etcd.call(
      "/kv/txn",
      {
        compare: [isUnchanged(layout.horizon, cellOf(range.kvs?.[0]).revision)],
        success: [{ request_put: { key: layout.horizon, value: base64(String(upTo)) } }],
      },
      "write",
    );
    return succeeded === true;
  }

  async #forget(name: string, revision: number): Promise<void> {
    const { etcd, layout } = this.#options;
    const data = layout.data(layout.keyOf(name) as Uint8Array);
    const cell = cellOf((await etcd.call("/kv/range", { key: data }, "read")).kvs?.[0]);
    const isMark = cell.revision > 0 && cell.type === ValueType.absent;
    const { succeeded } = await etcd.call(
      "/kv/txn",
      {
        compare: [isUnchanged(name, revision), isUnchanged(data, cell.revision)],
        success: [
          { request_delete_range: { key: name } },
          ...(isMark ? [{ request_delete_range: { key: data } }] : []),
        ],
      },
      "write",
    );
    if (succeeded === true && isMark) this.#collected += 1;
  }

  stop(): void {
    this.#timer.cancel();
  }
}
