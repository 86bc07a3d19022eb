/**
 * The databases that a server has on disk, by epoch: `data<epoch>.dat` and `meta<epoch>.dat`.
 *
 * Invariant: a database is listed only when both files are whole: the data file is synced under its name before the
 * metadata file gets its own, sizes fit, and in version 3 the signature and the digest. The newest `retain` epochs are
 * kept. A crash leaves at most files that the next start removes.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { errnoOf } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { isEqual, toHex } from "../protocol/bytes.ts";
import { dataBytes } from "../protocol/layout.ts";
import {
  decodeMetadata,
  encodeMetadata,
  isSigned,
  METADATA_BYTES,
  type Metadata,
} from "../protocol/metadata.ts";
import { nodePrimitives } from "../protocol/primitives-node.ts";
import type { ProtocolVersion } from "../protocol/scheme.ts";

export interface Database {
  metadata: Metadata;
  /** Of the data file. */
  path: string;
  bytes: number;
  /** SHA-256 of the data file. */
  digest: Uint8Array;
}

const READ_BYTES = 1 << 20;

export interface DatabasesOptions {
  world: Pick<World, "disk">;
  directory: string;
  version: ProtocolVersion;
  retain: number;
  log: Log;
  /** A database left; its file is gone. */
  onRetired(database: Database): void;
}

export class Databases {
  readonly #options: DatabasesOptions;
  readonly #byEpoch = new Map<number, Database>();

  private constructor(options: DatabasesOptions) {
    this.#options = options;
  }

  /** Reads and checks what is there. */
  static async open(options: DatabasesOptions): Promise<Databases> {
    const databases = new Databases(options);
    await databases.#load();
    return databases;
  }

  get(epoch: number): Database | undefined {
    return this.#byEpoch.get(epoch);
  }

  get newest(): number | undefined {
    return this.epochs().at(-1);
  }

  /** Ascending. */
  epochs(): number[] {
    return [...this.#byEpoch.keys()].sort((a, b) => a - b);
  }

  dataPath(epoch: number): string {
    return join(this.#options.directory, `data${epoch}.dat`);
  }

  /** Writes a database and lists it. */
  async publish(metadata: Metadata, data: Uint8Array, digest: Uint8Array): Promise<void> {
    await writeFileAtomically(this.#options.world.disk, this.dataPath(metadata.epoch), data);
    await this.adopt(metadata, digest);
  }

  /** Lists a database whose data file stands, synced, under its name already. */
  async adopt(metadata: Metadata, digest: Uint8Array): Promise<void> {
    const { epoch } = metadata;
    const { disk } = this.#options.world;
    await writeFileAtomically(disk, this.#metaPath(epoch), encodeMetadata(metadata));
    this.#byEpoch.set(epoch, { metadata, path: this.dataPath(epoch), bytes: dataBytes(metadata), digest });
    await this.#retire();
  }

  #metaPath(epoch: number): string {
    return join(this.#options.directory, `meta${epoch}.dat`);
  }

  async #retire(): Promise<void> {
    for (const epoch of this.epochs().slice(0, -this.#options.retain)) {
      const database = this.#byEpoch.get(epoch) as Database;
      this.#byEpoch.delete(epoch);
      await this.#remove(epoch);
      this.#options.onRetired(database);
    }
  }

  /** The metadata first, so that no crash leaves it without its data. */
  async #remove(epoch: number): Promise<void> {
    for (const path of [this.#metaPath(epoch), this.dataPath(epoch)]) {
      await this.#options.world.disk.remove(path).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOENT") throw error;
      });
    }
  }

  async #load(): Promise<void> {
    const { world, directory, log } = this.#options;
    const found = new Set<number>();
    for (const { name, kind } of await world.disk.list(directory)) {
      const match = /^(?:data|meta)(\d{1,10})\.dat(?:\.tmp|\.part)?$/.exec(name);
      if (match === null || kind !== "file") continue;
      if (name.endsWith(".dat")) found.add(Number(match[1]));
      else await world.disk.remove(join(directory, name));
    }
    for (const epoch of found) {
      const outcome = await this.#check(epoch);
      if (typeof outcome !== "string") this.#byEpoch.set(epoch, outcome);
      else {
        log.warn(`the database of an epoch is not served and removed: ${outcome}`, { epoch });
        await this.#remove(epoch);
      }
    }
    await this.#retire();
  }

  /** The database of an epoch, or what is wrong with it. */
  async #check(epoch: number): Promise<Database | string> {
    const { version } = this.#options;
    const bytes = await this.#read(this.#metaPath(epoch), METADATA_BYTES[version]);
    if (bytes === undefined) return "its metadata is missing";
    const metadata = decodeMetadata(bytes, version, epoch);
    if (metadata === undefined) return `its metadata is not valid for protocol ${version}`;
    const path = this.dataPath(epoch);
    const file = await fileDigest(this.#options.world, path);
    if (file === undefined) return "its data file is missing";
    if (file.bytes !== dataBytes(metadata)) return `its data file has ${file.bytes} bytes`;
    if (metadata.proof !== undefined && !isEqual(metadata.proof.digest, file.digest))
      return `its data file has the digest ${toHex(file.digest)}`;
    if (version === 3 && !isSigned(nodePrimitives, metadata))
      return "its metadata is not signed by its signer";
    return { metadata, path, ...file };
  }

  async #read(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const file = await open(this.#options.world, path);
    if (file === undefined) return undefined;
    try {
      // One byte more than allowed shows a file that is too long.
      const target = new Uint8Array(new ArrayBuffer(bytesMax + 1));
      return target.subarray(0, await file.read(target, 0));
    } finally {
      await file.close();
    }
  }
}

async function open({ disk }: Pick<World, "disk">, path: string) {
  try {
    return await disk.open(path, "read");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function fileDigest(world: Pick<World, "disk">, path: string) {
  const file = await open(world, path);
  if (file === undefined) return undefined;
  try {
    const hasher = createHash("sha256");
    const target = new Uint8Array(new ArrayBuffer(READ_BYTES));
    let bytes = 0;
    for (let count = 1; count > 0; bytes += count) {
      count = await file.read(target, bytes);
      hasher.update(target.subarray(0, count));
    }
    return { bytes, digest: new Uint8Array(hasher.digest()) };
  } finally {
    await file.close();
  }
}
