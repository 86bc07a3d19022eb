/**
 * The record store in plain TypeScript: what the C store does, written to be obviously right instead of fast.
 *
 * It keeps the contract of native/record-store.ts, passes the same suite, and is the oracle that the C store
 * is compared with. It knows no memory limit, and counts no memory. A crash loses it, like any store's
 * memory.
 */
import type {
  RecordChannel,
  RecordStore,
  ScanStep,
  StoredRecord,
  StoreStats,
} from "../native/record-store.ts";
import { decodeEffects, type Effect, encodeEffect } from "./effects.ts";

const KEY_BYTES_MAX = 512 * 1024;
const VALUE_BYTES_MAX = 1024 ** 3;

const textOf = (key: Uint8Array) => Buffer.from(key).toString("latin1");

class ModelChannel implements RecordChannel {
  readonly name: string;
  readonly byKey = new Map<string, StoredRecord>();
  readonly #store: StoreModel;

  constructor(name: string, store: StoreModel) {
    this.name = name;
    this.#store = store;
  }

  get records(): number {
    return this.byKey.size;
  }

  get(key: Uint8Array, nowMs: number): StoredRecord | undefined {
    const record = this.byKey.get(textOf(key));
    if (record === undefined || record.expiresAtMs === 0 || record.expiresAtMs > nowMs) return record;
    this.expireNow(record);
    return undefined;
  }

  /** Removes a record whose time has come. */
  expireNow(record: StoredRecord): void {
    this.byKey.delete(textOf(record.key));
    this.#store.log({ operation: "remove", channel: this.name, key: record.key });
    this.#store.expired += 1;
  }

  put(key: Uint8Array, value: Uint8Array, expiresAtMs = 0): void {
    if (key.byteLength > KEY_BYTES_MAX || expiresAtMs < 0) throw new RangeError("key or expiry out of range");
    this.byKey.set(textOf(key), { key: key.slice(), value: value.slice(), expiresAtMs });
    this.#store.log({ operation: "put", channel: this.name, key, value, expiresAtMs });
  }

  patch(key: Uint8Array, offset: number, bytes: Uint8Array, nowMs: number): number {
    if (key.byteLength > KEY_BYTES_MAX || offset < 0 || offset + bytes.byteLength > VALUE_BYTES_MAX) {
      throw new RangeError("key or offset out of range");
    }
    const before = this.get(key, nowMs);
    const value = this.overwrite(key, offset, bytes);
    const expiresAtMs = before?.expiresAtMs ?? 0;
    this.byKey.set(textOf(key), { key: key.slice(), value, expiresAtMs });
    this.#store.log({ operation: "patch", channel: this.name, key, value: bytes, offset, expiresAtMs });
    return value.byteLength;
  }

  /** The value of `key` with `bytes` at `offset`. */
  overwrite(key: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
    const old = this.byKey.get(textOf(key))?.value ?? new Uint8Array(0);
    const value = new Uint8Array(Math.max(old.byteLength, offset + bytes.byteLength));
    value.set(old);
    value.set(bytes, offset);
    return value;
  }

  remove(key: Uint8Array, nowMs: number): boolean {
    if (this.get(key, nowMs) === undefined) return false;
    this.byKey.delete(textOf(key));
    this.#store.log({ operation: "remove", channel: this.name, key });
    return true;
  }

  expire(key: Uint8Array, expiresAtMs: number, nowMs: number): boolean {
    const record = this.get(key, nowMs);
    if (record === undefined) return false;
    record.expiresAtMs = expiresAtMs < 0 ? 1 : expiresAtMs;
    this.#store.log({ operation: "expire", channel: this.name, key, expiresAtMs: record.expiresAtMs });
    return true;
  }

  /** Everything at once. */
  scan(_cursor: number, nowMs: number): ScanStep {
    const live = [...this.byKey.values()].filter(
      (record) => record.expiresAtMs === 0 || record.expiresAtMs > nowMs,
    );
    return { cursor: 0, records: live };
  }
}

export class StoreModel implements RecordStore {
  expired = 0;
  readonly #channels = new Map<string, ModelChannel>();
  #isLogging = false;
  #effects: Uint8Array[] = [];

  log(effect: Effect): void {
    if (this.#isLogging) this.#effects.push(encodeEffect(effect));
  }

  channelNames(): string[] {
    return [...this.#channels.keys()];
  }

  channel(name: string): ModelChannel | undefined {
    return this.#channels.get(name);
  }

  openChannel(name: string): ModelChannel {
    if (!/^[A-Za-z0-9_-]{1,240}$/.test(name))
      throw new RangeError(`${JSON.stringify(name)} is no channel name`);
    const channel = this.#channels.get(name) ?? new ModelChannel(name, this);
    this.#channels.set(name, channel);
    return channel;
  }

  removeChannel(name: string): boolean {
    if (!this.#channels.delete(name)) return false;
    this.log({ operation: "removeChannel", channel: name });
    return true;
  }

  setLogging(isOn: boolean): void {
    this.#isLogging = isOn;
  }

  takeEffects(): Uint8Array {
    const effects = Buffer.concat(this.#effects);
    this.#effects = [];
    return effects;
  }

  replay(effects: Uint8Array): number {
    const wasLogging = this.#isLogging;
    this.#isLogging = false;
    let count = 0;
    try {
      for (const effect of decodeEffects(effects)) {
        this.#apply(effect);
        count += 1;
      }
    } finally {
      this.#isLogging = wasLogging;
    }
    return count;
  }

  #apply(effect: Effect): void {
    if (effect.operation === "removeChannel") {
      this.removeChannel(effect.channel);
      return;
    }
    const key = textOf(effect.key);
    if (effect.operation === "remove") this.#channels.get(effect.channel)?.byKey.delete(key);
    else if (effect.operation === "put")
      this.openChannel(effect.channel).put(effect.key, effect.value, effect.expiresAtMs);
    else if (effect.operation === "patch") {
      const channel = this.openChannel(effect.channel);
      channel.put(effect.key, channel.overwrite(effect.key, effect.offset, effect.value), effect.expiresAtMs);
    } else {
      const record = this.#channels.get(effect.channel)?.byKey.get(key);
      if (record !== undefined) record.expiresAtMs = effect.expiresAtMs;
    }
  }

  /** One slice for each channel. Expired records are part of the state until they are removed. */
  *exportSlices(): Generator<Uint8Array> {
    for (const channel of this.#channels.values()) {
      const puts = [...channel.byKey.values()].map((record) =>
        encodeEffect({ operation: "put", channel: channel.name, ...record }),
      );
      yield Buffer.concat(puts);
    }
  }

  tick(nowMs: number, stepsMax: number): number {
    const all = [...this.#channels.values()].flatMap((channel) =>
      [...channel.byKey.values()].map((record) => ({ channel, record })),
    );
    const due = all
      .filter(({ record }) => record.expiresAtMs !== 0 && record.expiresAtMs <= nowMs)
      .slice(0, stepsMax);
    for (const { channel, record } of due) channel.expireNow(record);
    return due.length;
  }

  stats(): StoreStats {
    const records = [...this.#channels.values()].flatMap((channel) => [...channel.byKey.values()]);
    const sum = (of: (record: StoredRecord) => number) =>
      records.reduce((total, record) => total + of(record), 0);
    return {
      records: records.length,
      keyBytes: sum((record) => record.key.byteLength),
      valueBytes: sum((record) => record.value.byteLength),
      memoryBytes: 0,
      memoryPeakBytes: 0,
      expired: this.expired,
      expiring: sum((record) => (record.expiresAtMs === 0 ? 0 : 1)),
    };
  }

  close(): void {
    this.#channels.clear();
  }
}
