/**
 * Reads of keys and ranges as of one revision.
 *
 * Invariant: all keys of a read are of one revision, however many requests it takes: those of one request are anyway, and later ones
 * name the revision of the first. Every request asks for the horizon too, so what it says of deleted keys is as of the same revision.
 */
import { ValueType } from "../../../native/version-values.ts";
import { FutureError, TooOldError } from "../../failures.ts";
import type { ReadVersion, ScanEntry } from "../../shard/query-messages.ts";
import type { KeyRange, Scanned, Snapshot } from "../engine.ts";
import { CompactedError, FutureRevisionError } from "./answers.ts";
import { type Cell, cellOf, type Layout, revisionOf, base64, bytesOf } from "./bytes.ts";
import { type Cells, FreshReads } from "./fresh-reads.ts";
import type { Etcd } from "./gateway.ts";
import { rangeOf, type RangeAnswer, type TxnAnswer } from "./messages.ts";

/** Keys of one request while a range is walked, and the bytes after which it ends. */
const PAGE = 512;
const SCAN_BYTES = 1024 * 1024;
const SCAN_COUNT_MAX = 10_000;

export class Reads {
  readonly #etcd: Etcd;
  readonly #layout: Layout;
  readonly #keysMax: number;
  readonly #fresh: FreshReads;

  /** A key as of a revision, where that is known without asking; it is there, or was deleted: it has a revision. */
  known: (key: Uint8Array, revision: number) => Cell | undefined = () => undefined;

  /** `operationsMax`: of one request. */
  constructor(etcd: Etcd, layout: Layout, operationsMax: number) {
    this.#etcd = etcd;
    this.#layout = layout;
    this.#keysMax = Math.max(1, operationsMax - 1);
    this.#fresh = new FreshReads((keys) => this.#part(keys, undefined), this.#keysMax);
  }

  /** At or above all that was acknowledged before this call. */
  async freshRevision(): Promise<number> {
    return (await this.#fresh.read([])).revision;
  }

  /** Throws TooOldError. */
  async read(keys: readonly Uint8Array[], at: number | undefined): Promise<Snapshot> {
    const { revision, horizon, cells } =
      at === undefined ? await this.cells(keys) : await this.#cellsAt(keys, at);
    return { timestamp: revision, versions: cells.map((cell) => versionOf(cell, revision)), horizon };
  }

  /** What is known, and the rest from etcd. Of what is known nothing was forgotten: without a question the horizon is 0. */
  async #cellsAt(keys: readonly Uint8Array[], at: number): Promise<Cells> {
    const known = keys.map((key) => this.known(key, at));
    const missing = keys.filter((_, index) => known[index] === undefined);
    if (missing.length === 0) return { revision: at, horizon: 0, cells: known as Cell[] };
    const asked = await this.cells(missing, at);
    const rest = asked.cells.values();
    return { ...asked, cells: known.map((cell) => cell ?? (rest.next().value as Cell)) };
  }

  /** Without `at` as of a fresh revision. Throws TooOldError. */
  async cells(keys: readonly Uint8Array[], at?: number): Promise<Cells> {
    const [first = [], ...others] = chunksOf(keys, this.#keysMax);
    const found = await (at === undefined ? this.#fresh.read(first) : this.#part(first, at));
    const parts = await Promise.all(others.map((part) => this.#part(part, found.revision)));
    return { ...found, cells: [found, ...parts].flatMap(({ cells }) => cells) };
  }

  async #part(keys: readonly Uint8Array[], at: number | undefined): Promise<Cells> {
    const { horizon, data } = this.#layout;
    const success = [rangeOf(horizon, at), ...keys.map((key) => rangeOf(data(key), at))];
    const answer = await this.#asked(this.#etcd.call("/kv/txn", { success }, "read"), at);
    const [first, ...cells] = rangesOf(answer);
    return {
      revision: at ?? revisionOf(answer.header?.revision),
      horizon: horizonOf(first),
      cells: cells.map(({ kvs }) => cellOf(kvs?.[0])),
    };
  }

  /** Ascending; deleted keys are passed over. Throws TooOldError. */
  async scan(range: KeyRange, countMax: number, at: number | undefined): Promise<Scanned> {
    const { data, dataEnd } = this.#layout;
    const wanted = Math.min(countMax, SCAN_COUNT_MAX);
    const end = range.to.byteLength === 0 ? dataEnd : data(range.to);
    const entries: ScanEntry[] = [];
    let from = range.after ? behind(data(range.from)) : data(range.from);
    let timestamp = at;
    let bytes = 0;
    for (;;) {
      const limit = Math.min(PAGE, wanted - entries.length + 1);
      const request = {
        key: from,
        range_end: end,
        limit: String(limit),
        ...(timestamp !== undefined && { revision: String(timestamp) }),
      };
      const page = await this.#asked(this.#etcd.call("/kv/range", request, "read"), timestamp);
      timestamp ??= revisionOf(page.header?.revision);
      for (const kept of page.kvs ?? []) {
        const { revision, type, value } = cellOf(kept);
        if (type === ValueType.absent) continue;
        if (entries.length >= wanted || bytes >= SCAN_BYTES) return { timestamp, entries, isMore: true };
        const key = this.#layout.keyOf(kept.key) as Uint8Array;
        entries.push({ key, start: revision, next: 0, type, value });
        bytes += key.byteLength + value.byteLength;
      }
      const last = page.kvs?.at(-1)?.key;
      if (page.more !== true || last === undefined) return { timestamp, entries, isMore: false };
      from = behind(last);
    }
  }

  /** One key as of an older revision; undefined: that is compacted. */
  async past(key: Uint8Array, revision: number): Promise<Cell | undefined> {
    try {
      const request = { key: this.#layout.data(key), revision: String(revision) };
      const { kvs } = await this.#etcd.call("/kv/range", request, "read");
      return cellOf(kvs?.[0]);
    } catch (error) {
      if (error instanceof CompactedError) return undefined;
      throw error;
    }
  }

  async #asked<Answer>(answer: Promise<Answer>, at: number | undefined): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof CompactedError) throw new TooOldError(at ?? 0);
      if (error instanceof FutureRevisionError) throw new FutureError(at ?? 0);
      throw error;
    }
  }
}

export function rangesOf({ responses = [] }: TxnAnswer): RangeAnswer[] {
  return responses.map(({ response_range = {} }) => response_range);
}

export const horizonOf = (range: RangeAnswer | undefined) =>
  Number(new TextDecoder().decode(bytesOf(range?.kvs?.[0]?.value)));

/** Holds at the revision that it was read at, and since it was put. */
function versionOf({ revision: start, type, value }: Cell, revision: number): ReadVersion {
  return { start, end: Math.max(start, revision), type, value };
}

/** The first name behind another one. */
const behind = (name: string) => base64(Buffer.concat([Buffer.from(name, "base64"), Uint8Array.of(0)]));

function chunksOf<Item>(items: readonly Item[], length: number): Item[][] {
  const count = Math.max(1, Math.ceil(items.length / length));
  return Array.from({ length: count }, (_, index) => items.slice(index * length, (index + 1) * length));
}
