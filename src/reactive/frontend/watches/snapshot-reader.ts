/**
 * Reads at a timestamp, shared by all clients that run at it.
 *
 * Invariant: a key is asked for once per timestamp, and a read of a timestamp that was issued never changes, so what one client
 * reads holds for all. A few timestamps are kept, bounded. Keys of different watches are asked for apart: one
 * that waits for a transaction to be settled holds up only those who watch it.
 */
import type { ReadVersion } from "../../shard/query-messages.ts";
import { writeKeyed } from "../../client-wire/fields.ts";
import { ByteWriter } from "../../wire/bytes.ts";
import type { Snapshot } from "../../engines/engine.ts";

export interface Reading {
  start: number;
  horizon: number;
  /** Key and version, as a run has them. */
  encoded: Uint8Array;
}

/** Timestamps that are kept, and bytes of all their values. */
const MOMENTS_MAX = 16;
const KEPT_BYTES_MAX = 32 << 20;

/** A key at a moment: `readings` is it alone, once it is there. */
interface Asked {
  readings: readonly [Reading] | undefined;
  promise: Promise<readonly [Reading]>;
}

type Moment = Map<string, Asked>;

export class SnapshotReader {
  readonly #read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>;
  /** Oldest first. */
  readonly #moments = new Map<number, Moment>();
  #keptBytes = 0;

  constructor(read: (keys: readonly Uint8Array[], at: number) => Promise<Snapshot>) {
    this.#read = read;
  }

  /**
   * `names` are those of the keys. At once what is there already. Rejects as the read does; asked again, it reads again. Whoever
   * reads one key at one moment gets the same array.
   */
  read(
    keys: readonly Uint8Array[],
    names: readonly string[],
    at: number,
  ): readonly Reading[] | Promise<readonly Reading[]> {
    const moment = this.#momentOf(at);
    const missing = [...keys.keys()].filter((place) => !moment.has(names[place] as string));
    if (missing.length > 0) this.#load(moment, keys, names, missing, at);
    const asked = names.map((name) => moment.get(name) as Asked);
    const [first] = asked;
    if (first !== undefined && asked.length === 1) return first.readings ?? first.promise;
    if (asked.every(({ readings }) => readings !== undefined))
      return asked.map(({ readings }) => (readings as readonly [Reading])[0]);
    return Promise.all(asked.map(async ({ promise }) => (await promise)[0]));
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
    const loading = this.#read(
      places.map((place) => keys[place] as Uint8Array),
      at,
    );
    for (const [index, place] of places.entries()) {
      const name = names[place] as string;
      const promise = loading.then(({ versions, horizon }) => {
        asked.readings = [this.#encode(keys[place] as Uint8Array, versions[index] as ReadVersion, horizon)];
        return asked.readings;
      });
      const asked: Asked = { readings: undefined, promise };
      // Whoever waits for it hears of it; here it is only forgotten.
      promise.catch(() => moment.delete(name));
      moment.set(name, asked);
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
