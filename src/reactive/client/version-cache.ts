/**
 * Versions of keys that the client has seen, each with the interval of timestamps in which it is known to hold.
 *
 * Invariant: an entry is true for ever, because its interval is bounded: nothing ever needs to be invalidated. Whoever asks for a
 * key at a timestamp gets the version that a shard would answer, or undefined. Bounded: the least recently used keys go
 * first. Lost with the process.
 */
import { encodeValue } from "../shard/operations.ts";
import type { Version } from "./execution.ts";

/** Older versions of one key are of use only to runs that are late. */
const VERSIONS_MAX = 4;
/** For what an entry costs beside its value. */
const ENTRY_BYTES = 200;

interface Entry {
  /** Ascending by start; intervals do not overlap. */
  versions: Version[];
  bytes: number;
}

export class VersionCache {
  readonly #bytesMax: number;
  /** In the order of use, latest last. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** 0 keeps nothing. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get keys(): number {
    return this.#entries.size;
  }

  /** The version of a key at a timestamp, when it is known. */
  at(key: string, timestamp: number): Version | undefined {
    const entry = this.#entries.get(key);
    const found = entry?.versions.findLast(({ start, end }) => start <= timestamp && timestamp <= end);
    if (entry !== undefined && found !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return found;
  }

  /** The newest version that was seen of a key, whether it still holds or not; nothing, when none was. */
  latest(key: string): Version {
    return this.#entries.get(key)?.versions.at(-1) ?? { start: 0, end: 0, value: { type: "absent" } };
  }

  /** Learns that a version holds from its start to its end. */
  learn(key: string, version: Version): void {
    if (this.#bytesMax === 0) return;
    const known = this.#entries.get(key)?.versions ?? [];
    const same = known.find(({ start }) => start === version.start);
    const merged =
      same === undefined
        ? [...known, version]
        : known.map((each) => (each === same ? { ...each, end: Math.max(each.end, version.end) } : each));
    this.#keep(key, merged.sort((one, other) => one.start - other.start).slice(-VERSIONS_MAX));
  }

  /** Learns that nothing happened to a key from a timestamp at which it is known to another one. */
  extend(key: string, since: number, until: number): void {
    const version = this.at(key, since);
    if (version !== undefined && version.end < until) this.learn(key, { ...version, end: until });
  }

  /** What a transaction was wrong about: the next one asks again. */
  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#bytes -= entry.bytes;
    this.#entries.delete(key);
  }

  #keep(key: string, versions: Version[]): void {
    this.forget(key);
    const bytes = versions.reduce(
      (sum, { value }) => sum + encodeValue(value).byteLength + ENTRY_BYTES,
      2 * key.length,
    );
    if (bytes > this.#bytesMax) return;
    this.#entries.set(key, { versions, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.forget(oldest);
    }
  }
}
