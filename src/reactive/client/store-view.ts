/**
 * What the client knows of the store: the newest timestamp it has seen, and versions of keys; and reads that use it.
 *
 * Invariant: `seen` never falls, over all connections. A read at a timestamp gives what the shards have at it, from the cache
 * where it is known and from a frontend where it is not.
 */
import { COMMITTED, NOW } from "../client-wire/messages.ts";
import type { ReadVersion } from "../shard/query-messages.ts";
import { decodeValue } from "../shard/operations.ts";
import type { Answer, Request } from "./connection.ts";
import type { Version } from "./execution.ts";
import { toUtf8 } from "./types/encodings.ts";
import { VersionCache } from "./version-cache.ts";

/** Sends a request and resolves with its answer. */
export type Ask = (request: Request) => Promise<Answer>;

export class StoreView {
  readonly cache: VersionCache;
  #seen = 0;

  constructor(cacheBytesMax: number) {
    this.cache = new VersionCache(cacheBytesMax);
  }

  /** The newest timestamp that this client knows of; 0: none yet. */
  get seen(): number {
    return this.#seen;
  }

  see(timestamp: number): void {
    this.#seen = Math.max(this.#seen, timestamp);
  }

  /** The versions of keys at one timestamp, from what is known and, for the rest, from a frontend. */
  async read(keys: readonly string[], timestamp: number, ask: Ask): Promise<Version[]> {
    const found = keys.map((key) => this.cache.at(key, timestamp));
    const missing = keys.filter((_key, index) => found[index] === undefined);
    if (missing.length === 0) return found as Version[];
    const { versions } = await this.#fetched(missing, timestamp, ask);
    return found.map((version) => version ?? (versions.shift() as Version));
  }

  /** The versions of keys at a timestamp that nothing acknowledged so far is above. */
  readFresh(keys: readonly string[], ask: Ask): Promise<{ timestamp: number; versions: Version[] }> {
    return this.#fetched(keys, NOW, ask);
  }

  /** What is committed of each key, as of its own moment: nothing that says so for how long it holds, so nothing is kept. */
  async readCommitted(keys: readonly string[], ask: Ask): Promise<Version[]> {
    const { at, versions } = await valuesOf(keys, COMMITTED, ask);
    return versions.map((version) => versionOf(version, at));
  }

  /** Takes what a frontend sent as the state of a key at a timestamp. */
  learn(key: string, timestamp: number, version: ReadVersion): Version {
    const known = versionOf(version, timestamp);
    this.cache.learn(key, known);
    return known;
  }

  async #fetched(
    keys: readonly string[],
    at: number,
    ask: Ask,
  ): Promise<{ timestamp: number; versions: Version[] }> {
    const answer = await valuesOf(keys, at, ask);
    this.see(answer.at);
    const versions = answer.versions.map((version, index) =>
      this.learn(keys[index] as string, answer.at, version),
    );
    return { timestamp: answer.at, versions };
  }
}

async function valuesOf(keys: readonly string[], at: number, ask: Ask) {
  const answer = await ask({ type: "read", at, keys: keys.map(toUtf8) });
  if (answer.type !== "values" || answer.versions.length !== keys.length)
    throw new Error(`a frontend answered a read with "${answer.type}"`);
  return answer;
}

/** The end of its interval is at least the timestamp that it was read at. */
function versionOf({ start, end, type, value }: ReadVersion, timestamp: number): Version {
  return { start, end: Math.max(end, timestamp), value: decodeValue(type, value) };
}
