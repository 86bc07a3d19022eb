/**
 * Reads at a timestamp, shared by all clients that run at it.
 *
 * Invariant: a key is asked for once per timestamp, and a read of a timestamp that was issued never changes, so what one client
 * reads holds for all. A few timestamps are kept, bounded. Keys of different watches are asked for apart: one
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

/** Timestamps that are kept, and bytes of all their values. */
const MOMENTS_MAX = 16;
const KEPT_BYTES_MAX = 32 << 20;

type Moment = Map<string, Promise<Reading>>;

export class SnapshotReader {
  readonly #read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>;
  /** Oldest first. */
  readonly #moments = new Map<number, Moment>();
  #keptBytes = 0;

  constructor(read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>) {
    this.#read = read;
  }

  /** `names` are those of the keys. Rejects as the read does; asked again, it reads again. */
  read(keys: readonly Uint8Array[], names: readonly string[], at: number): Promise<Reading[]> {
    const moment = this.#momentOf(at);
    const missing = [...keys.keys()].filter((place) => !moment.has(names[place] as string));
    if (missing.length > 0) this.#load(moment, keys, names, missing, at);
    return Promise.all(names.map((name) => moment.get(name) as Promise<Reading>));
  }

  #momentOf(at: number): Moment {
    const known = this.#moments.get(at);
    if (known !== undefined) return known;
    if (this.#keptBytes > KEPT_BYTES_MAX) {
      this.#moments.clear();
      this.#keptBytes = 0;
    }
    const moment: Moment = new Map();
    this.#moments.set(at, moment);
    const [oldest] = this.#moments.keys();
    if (this.#moments.size > MOMENTS_MAX && oldest !== undefined) this.#moments.delete(oldest);
    return moment;
  }

  #load(
    moment: Moment,
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
      reading.catch(() => moment.delete(name));
      moment.set(name, reading);
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
