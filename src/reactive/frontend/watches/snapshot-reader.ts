/**
 * Reads at a timestamp, shared by all clients that run at it.
 *
 * Invariant: a key is asked for once per timestamp, and a read of a timestamp that was issued never changes, so what one client
 * reads holds for all. Kept for the newest timestamp only, and bounded. Keys of different watches are asked for apart: one
 * that waits for a transaction to be settled holds up only those who watch it.
 */
import type { ReadVersion } from "../../shard/commands.ts";
import { writeKeyed } from "../../client-wire/fields.ts";
import { ByteWriter } from "../../wire/bytes.ts";
import type { Snapshot } from "../backend.ts";

export interface Reading {
  start: number;
  horizon: number;
  /** Key and version, as a run has them. */
  encoded: Uint8Array;
}

const KEPT_BYTES_MAX = 32 << 20;

export class SnapshotReader {
  readonly #read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>;
  #at = 0;
  #kept = new Map<string, Promise<Reading>>();
  #keptBytes = 0;

  constructor(read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>) {
    this.#read = read;
  }

  /** `names` are those of the keys. Rejects as the read does; asked again, it reads again. */
  read(keys: readonly Uint8Array[], names: readonly string[], at: number): Promise<Reading[]> {
    if (at > this.#at || this.#keptBytes > KEPT_BYTES_MAX) {
      this.#at = at;
      this.#kept = new Map();
      this.#keptBytes = 0;
    }
    const kept = at === this.#at ? this.#kept : new Map<string, Promise<Reading>>();
    const missing = [...keys.keys()].filter((place) => !kept.has(names[place] as string));
    if (missing.length > 0) this.#load(kept, keys, names, missing, at);
    return Promise.all(names.map((name) => kept.get(name) as Promise<Reading>));
  }

  #load(
    kept: Map<string, Promise<Reading>>,
    keys: readonly Uint8Array[],
    names: readonly string[],
    places: readonly number[],
    at: number,
  ): void {
    const asked = this.#read(
      places.map((place) => keys[place] as Uint8Array),
      at,
    );
    for (const [index, place] of places.entries()) {
      const name = names[place] as string;
      const reading = asked.then(({ versions, horizon }) =>
        this.#encode(keys[place] as Uint8Array, versions[index] as ReadVersion, horizon),
      );
      // Whoever waits for it hears of it; here it is only forgotten.
      reading.catch(() => kept.delete(name));
      kept.set(name, reading);
    }
  }

  #encode(key: Uint8Array, version: ReadVersion, horizon: number): Reading {
    const writer = new ByteWriter(48 + key.byteLength + version.value.byteLength);
    writeKeyed(writer, { key, ...version });
    const encoded = writer.done();
    this.#keptBytes += encoded.byteLength;
    return { start: version.start, horizon, encoded };
  }
}
