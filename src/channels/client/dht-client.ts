/**
 * A client of a system of dht nodes: key requests go to the node that owns the key, the others to all nodes.
 *
 * Ownership is what the nodes say of themselves (the handshake). A node that answers "not mine" makes the client ask all
 * of them again and repeat the request, so a redistribution needs no restart of clients; until it is sure that records
 * have arrived at their new owner, a record that is missing there is also looked for at the one before.
 * Invariant: put, get, exists and remove may be repeated, and are, until they are answered or their time is over.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import { doTile, isInRange, keyText, type Range } from "../wire/legacy/protocol.ts";
import { type Change, type DhtConnection, type DhtRecord, type Key, openLegacy } from "./dht-connection.ts";
import { followAll } from "./feed.ts";
import type { NodeLink } from "./node-link.ts";
import {
  type ClientOptions,
  type ClientSeams,
  isRepeatable,
  openSystem,
  type SystemSettings,
} from "./node-links.ts";

export interface DhtClientOptions extends ClientOptions<DhtConnection> {
  /**
   * Before a record counts as missing the nodes are asked whether they still own what they did, once for all that miss at
   * the moment. Needed where nodes answer reads of keys that they own no more, as legacy nodes do.
   */
  verifiesMisses?: boolean;
  /** After a change of ranges a missing record is looked for at its previous owner for this long. */
  settlingMs?: number;
}

const ownDefaults = { verifiesMisses: true, settlingMs: 600_000 };

/** Changes of ranges that are remembered. */
const HISTORY_MAX = 8;
/** Pause before a request that found no owner is repeated. */
const REPEAT_MS = 20;
/** Requests of one batch that are sent without waiting. */
const BATCH_REQUESTS = 64;

const textOf = (key: Key): string => {
  const text = typeof key === "bigint" ? keyText(key) : key.toLowerCase();
  if (!/^[0-9a-f]{16}$/.test(text))
    throw new NxError("NX_INPUT_INVALID", `a key is 16 hex digits, got "${text.slice(0, 40)}"`);
  return text;
};

export class DhtClient {
  readonly #clock: Clock;
  readonly #settings: SystemSettings & typeof ownDefaults;
  readonly #links: NodeLink<DhtConnection>[];
  #ranges: Range[] = [];
  /** As they were before the last changes, the last one first. */
  #history: { ranges: Range[]; untilMs: number }[] = [];
  #refreshing: Promise<void> | undefined;
  /** The refresh after that one. */
  #nextRefresh: Promise<void> | undefined;

  private constructor(seams: ClientSeams, options: DhtClientOptions) {
    this.#clock = seams.clock;
    const { settings, links } = openSystem(seams, options, ownDefaults, openLegacy);
    this.#settings = settings;
    this.#links = links;
  }

  /**
   * Connects to all nodes and learns which owns what. Tries again until the nodes' ranges cover every key exactly once.
   * Throws NX_CONNECT_FAILED or NX_TIMEOUT when they do not within `timeoutMs`.
   */
  static async connect(seams: ClientSeams, options: DhtClientOptions): Promise<DhtClient> {
    const client = new DhtClient(seams, options);
    try {
      await client.#handshake();
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async #handshake(): Promise<void> {
    const deadlineMs = this.#deadline();
    for (;;) {
      const ranges = await this.#askAll((node) => node.getResponsibleRange(), deadlineMs);
      if (doTile(ranges)) {
        this.#ranges = ranges;
        return;
      }
      if (this.#clock.monotonicMs() + REPEAT_MS >= deadlineMs)
        throw new NxError("NX_CONNECT_FAILED", "the nodes' ranges leave a gap or overlap", {
          hint: "name all nodes of the system; every hash must belong to exactly one",
        });
      await sleep(this.#clock, REPEAT_MS);
    }
  }

  /** Asks the nodes again what they own; those that do not answer keep what they had. */
  #refresh(): Promise<void> {
    this.#refreshing ??= (async () => {
      const before = this.#ranges;
      const now = await Promise.all(
        this.#links.map((link, index) =>
          link
            .run((node) => node.getResponsibleRange(), 0, this.#settings.attemptTimeoutMs)
            .catch(() => before[index] as Range),
        ),
      );
      const isSame = now.every(
        ({ min, max }, index) => min === before[index]?.min && max === before[index]?.max,
      );
      if (isSame) return;
      const untilMs = this.#clock.monotonicMs() + this.#settings.settlingMs;
      this.#history = [{ ranges: before, untilMs }, ...this.#history].slice(0, HISTORY_MAX);
      this.#ranges = now;
    })().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** A refresh that has not begun yet: what it finds is newer than everything that was seen before. */
  #refreshAnew(): Promise<void> {
    this.#nextRefresh ??= (this.#refreshing ?? Promise.resolve()).then(() => {
      this.#nextRefresh = undefined;
      return this.#refresh();
    });
    return this.#nextRefresh;
  }

  #deadline(): number {
    return this.#clock.monotonicMs() + this.#settings.timeoutMs;
  }

  #attemptMs(leftMs: number): number {
    return Math.min(leftMs, this.#settings.attemptTimeoutMs);
  }

  #ownerIn(ranges: readonly Range[], key: string): number {
    const number = BigInt(`0x${key}`);
    return ranges.findIndex((range) => isInRange(number, range));
  }

  /** Runs a request of one key at its owner, again and again until it is answered or its time is over. */
  async #routed<Answer>(
    key: string,
    work: (node: DhtConnection) => Promise<Answer>,
    bytes: number,
  ): Promise<Answer> {
    const deadlineMs = this.#deadline();
    let last: Error | undefined;
    for (;;) {
      const leftMs = deadlineMs - this.#clock.monotonicMs();
      if (leftMs <= 0)
        throw (
          last ??
          new NxError("NX_CONNECT_FAILED", `no node is responsible for ${key}`, {
            hint: "is a node of the system missing?",
          })
        );
      const link = this.#links[this.#ownerIn(this.#ranges, key)];
      try {
        if (link !== undefined) return await link.run(work, bytes, this.#attemptMs(leftMs));
      } catch (error) {
        if (!isRepeatable(error)) throw error;
        last = error as Error;
      }
      await this.#refresh();
      await sleep(this.#clock, Math.min(REPEAT_MS, Math.max(0, deadlineMs - this.#clock.monotonicMs())));
    }
  }

  /**
   * Reads at the owner; what is missing there may be on its way from the previous one, and may arrive while that one
   * is asked: so the owner is asked once more.
   */
  async #read<Answer>(
    key: string,
    work: (node: DhtConnection) => Promise<Answer>,
    isMissing: (answer: Answer) => boolean,
  ): Promise<Answer> {
    const owner = this.#ownerIn(this.#ranges, key);
    let answer = await this.#routed(key, work, 0);
    if (!isMissing(answer)) return answer;
    if (this.#settings.verifiesMisses) {
      await this.#refreshAnew();
      if (this.#ownerIn(this.#ranges, key) !== owner) answer = await this.#routed(key, work, 0);
    }
    if (!isMissing(answer)) return answer;
    const previous = this.#previousOwners(key);
    for (const link of previous) {
      const old = await link.run(work, 0, this.#settings.attemptTimeoutMs).catch(() => answer);
      if (!isMissing(old)) return old;
    }
    return previous.length === 0 ? answer : this.#routed(key, work, 0);
  }

  /** Who owned a key before those who do, the last one first, for as long as records may be on their way from there. */
  #previousOwners(key: string): NodeLink<DhtConnection>[] {
    const nowMs = this.#clock.monotonicMs();
    this.#history = this.#history.filter(({ untilMs }) => untilMs > nowMs);
    const owner = this.#ownerIn(this.#ranges, key);
    const indexes = new Set(this.#history.map(({ ranges }) => this.#ownerIn(ranges, key)));
    indexes.delete(owner);
    return [...indexes].flatMap((index) => this.#links[index] ?? []);
  }

  /** Throws StatusError for what the node refuses: an empty value, one that is too long, a bad channel name, no memory. */
  put(channel: string, key: Key, value: Uint8Array | string): Promise<void> {
    const text = textOf(key);
    const bytes = typeof value === "string" ? Buffer.byteLength(value) : value.byteLength;
    return this.#routed(text, (node) => node.put(channel, text, value), bytes + 100);
  }

  /** Undefined when there is no such record. */
  get(channel: string, key: Key): Promise<Buffer | undefined> {
    const text = textOf(key);
    return this.#read(
      text,
      (node) => node.get(channel, text),
      (value) => value === undefined,
    );
  }

  exists(channel: string, key: Key): Promise<boolean> {
    const text = textOf(key);
    return this.#read(
      text,
      (node) => node.exists(channel, text),
      (exists) => !exists,
    );
  }

  remove(channel: string, key: Key): Promise<void> {
    const text = textOf(key);
    return this.#routed(text, (node) => node.remove(channel, text), 100);
  }

  /** Puts many records, a bounded number at once; each as `put`. Rejects with the first failure. */
  async putMany(channel: string, records: Iterable<{ key: Key; value: Uint8Array | string }>): Promise<void> {
    let waiting: Promise<void>[] = [];
    let bytes = 0;
    for (const { key, value } of records) {
      waiting.push(this.put(channel, key, value));
      bytes += value.length + 100;
      if (waiting.length < BATCH_REQUESTS && bytes < this.#settings.queueBytesMax / 2) continue;
      await Promise.all(waiting);
      waiting = [];
      bytes = 0;
    }
    await Promise.all(waiting);
  }

  /** Values in the order of the keys. */
  async getMany(channel: string, keys: Iterable<Key>): Promise<(Buffer | undefined)[]> {
    const values: (Buffer | undefined)[] = [];
    const all = [...keys];
    for (let at = 0; at < all.length; at += BATCH_REQUESTS)
      values.push(
        ...(await Promise.all(all.slice(at, at + BATCH_REQUESTS).map((key) => this.get(channel, key)))),
      );
    return values;
  }

  async #askAll<Answer>(
    work: (node: DhtConnection) => Promise<Answer>,
    deadlineMs = this.#deadline(),
  ): Promise<Answer[]> {
    const ask = async (link: NodeLink<DhtConnection>): Promise<Answer> => {
      for (;;) {
        const leftMs = Math.max(1, deadlineMs - this.#clock.monotonicMs());
        try {
          return await link.run(work, 0, this.#attemptMs(leftMs));
        } catch (error) {
          if (!isRepeatable(error) || this.#clock.monotonicMs() + REPEAT_MS >= deadlineMs) throw error;
        }
        await sleep(this.#clock, REPEAT_MS);
      }
    };
    return Promise.all(this.#links.map(ask));
  }

  /** Channels of all nodes together, sorted. */
  async channels(): Promise<string[]> {
    const names = await this.#askAll((node) => node.getChannels());
    return [...new Set(names.flat())].sort();
  }

  async removeChannel(channel: string): Promise<void> {
    await this.#askAll((node) => node.removeChannel(channel));
  }

  /**
   * All records of a channel, batch by batch, node after node; only as fast as the caller takes them. No snapshot: what
   * changes meanwhile may be in it or not. A node that is lost in the middle is gone on with where the protocol can
   * (neo), within `timeoutMs`; else it rejects with NX_CONNECT_FAILED.
   */
  async *getAll(channel: string, filter?: string): AsyncGenerator<DhtRecord[]> {
    const options = filter === undefined ? {} : { filter };
    for (const link of this.#links)
      yield* this.#resumed(link, channel, options, (node) => node.getAll(channel, filter));
  }

  async *getAllKeys(channel: string): AsyncGenerator<string[]> {
    const toRecords = async function* (node: DhtConnection) {
      for await (const keys of node.getAllKeys(channel))
        yield keys.map((key): DhtRecord => ({ key, value: new Uint8Array(0) }));
    };
    for (const link of this.#links)
      for await (const records of this.#resumed(link, channel, { keysOnly: true }, toRecords))
        yield records.map(({ key }) => key);
  }

  async *#resumed(
    link: NodeLink<DhtConnection>,
    channel: string,
    options: { filter?: string; keysOnly?: boolean },
    whole: (node: DhtConnection) => AsyncGenerator<DhtRecord[]>,
  ): AsyncGenerator<DhtRecord[]> {
    let after: string | undefined;
    for (let deadlineMs = this.#deadline(); ;) {
      let node: DhtConnection | undefined;
      try {
        node = await link.dedicated();
        const stream =
          node.getAllFrom?.(channel, { ...options, ...(after !== undefined && { after }) }) ?? whole(node);
        for await (const records of stream) {
          yield records;
          after = records.at(-1)?.key ?? after;
          deadlineMs = this.#deadline();
        }
        return;
      } catch (error) {
        // What was handed out already must not come again.
        const isLost = after !== undefined && node !== undefined && node.getAllFrom === undefined;
        if (isLost || !isRepeatable(error) || this.#clock.monotonicMs() >= deadlineMs) throw error;
        await sleep(this.#clock, REPEAT_MS);
      } finally {
        node?.close();
      }
    }
  }

  /**
   * Changes of a channel on all nodes, until it is removed everywhere or the caller leaves. A node that is lost is
   * listened to again; `onGap` is told then, because what changed meanwhile is not repeated.
   */
  listen(channel: string, onGap: (node: string) => void = () => {}): AsyncGenerator<Change> {
    return followAll({
      clock: this.#clock,
      links: this.#links,
      pauseMs: this.#settings.backoffMaxMs / 4,
      stream: (node) => node.changes(channel),
      onGap,
    });
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}
