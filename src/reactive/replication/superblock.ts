/**
 * The two superblocks: what a replica promised to others, in one small file.
 *
 * Invariant: `write` resolves when both slots hold the same promises and would survive power loss. The slots are written
 * and synced one after the other, so a crash leaves at least one whole: the old promises or the new ones, and the new
 * ones were not spoken of yet. Damage of one slot later costs nothing, because the other says the same. With both
 * damaged the replica refuses to start; an operator who removes the file makes it recover from the others.
 *
 * The journal is not the place for this: what it holds is replaced by snapshots of others, and a replica that lost it
 * must still know that it had promised something. The file, all integers little-endian, twice:
 *
 *   offset  size
 *        0     8  magic "NXSUPER\n"
 *        8     4  format version, 1
 *       12     4  length of the fields from offset 24
 *       16     8  sequence, one more at each write
 *       24     8  group
 *       32     1  replica
 *       33     1  replicas
 *       34     8  view
 *       42     n  u32 count, u64 incarnation each; u32 count, u64 founder's life each
 *              p  zeros
 *     4092     4  CRC-32C of bytes 0-4091
 */
import { NxError } from "../../core/errors.ts";
import type { Crc32c } from "../../core/crc32c.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { ByteReader, ByteWriter } from "../wire/bytes.ts";
import type { Promises } from "./types.ts";

const SLOT_BYTES = 4096;
const CRC_AT = SLOT_BYTES - 4;
const MAGIC = new TextEncoder().encode("NXSUPER\n");
const FORMAT = 1;
const REPLICAS_MAX = 255;

interface Slot {
  sequence: number;
  promises: Promises;
}

export class Superblock {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #crc32c: Crc32c;
  #file: DiskFile | undefined;
  #sequence: number;
  #last: Promise<void> = Promise.resolve();

  private constructor(disk: Disk, path: string, crc32c: Crc32c, sequence: number) {
    this.#disk = disk;
    this.#path = path;
    this.#crc32c = crc32c;
    this.#sequence = sequence;
  }

  /** Reads the file; `promises` is undefined when there is none. Throws NX_DATA_CORRUPT, NX_DATA_VERSION. */
  static async open(
    disk: Disk,
    path: string,
    crc32c: Crc32c,
  ): Promise<{ superblock: Superblock; promises: Promises | undefined }> {
    if (!(await disk.exists(path))) {
      return { superblock: new Superblock(disk, path, crc32c, 0), promises: undefined };
    }
    const file = await disk.open(path, "readWrite");
    const bytes = new Uint8Array(new ArrayBuffer(2 * SLOT_BYTES));
    await file.read(bytes, 0);
    const slots = [0, 1].map((index) =>
      decodeSlot(bytes.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES), path, crc32c),
    );
    const [newest] = slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence);
    if (newest === undefined) {
      await file.close();
      throw new NxError("NX_DATA_CORRUPT", `${path}: both superblocks are damaged`, {
        hint: "move this replica's data away: it recovers from the others",
      });
    }
    const superblock = new Superblock(disk, path, crc32c, newest.sequence);
    superblock.#file = file;
    // What a killed process wrote into one slot may not be on the medium yet, and will be spoken of from here on.
    await superblock.write(newest.promises);
    return { superblock, promises: newest.promises };
  }

  /** Resolves when the promises would survive power loss. Writes follow each other. */
  write(promises: Promises): Promise<void> {
    this.#last = this.#last.then(() => this.#write(promises));
    return this.#last;
  }

  async #write(promises: Promises): Promise<void> {
    this.#sequence += 1;
    const slot = encodeSlot({ sequence: this.#sequence, promises }, this.#crc32c);
    if (this.#file === undefined) {
      const both = new Uint8Array(2 * SLOT_BYTES);
      both.set(slot, 0);
      both.set(slot, SLOT_BYTES);
      await writeFileAtomically(this.#disk, this.#path, both);
      this.#file = await this.#disk.open(this.#path, "readWrite");
      return;
    }
    for (const offset of [0, SLOT_BYTES]) {
      await this.#file.write(slot, offset);
      await this.#file.sync();
    }
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }
}

function encodeSlot({ sequence, promises }: Slot, crc32c: Crc32c): Uint8Array<ArrayBuffer> {
  const { group, replica, replicas, view, incarnations, founders } = promises;
  const fields = new ByteWriter()
    .u64(group)
    .u8(replica)
    .u8(replicas)
    .u64(view)
    .numbers(incarnations)
    .numbers(founders)
    .done();
  const head = new ByteWriter()
    .raw(MAGIC)
    .u32(FORMAT)
    .u32(fields.byteLength)
    .u64(sequence)
    .raw(fields)
    .done();
  const slot = new Uint8Array(new ArrayBuffer(SLOT_BYTES));
  slot.set(head, 0);
  new DataView(slot.buffer).setUint32(CRC_AT, crc32c(slot.subarray(0, CRC_AT), 0), true);
  return slot;
}

/** Undefined when the slot is not whole. */
function decodeSlot(bytes: Uint8Array, path: string, crc32c: Crc32c): Slot | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(CRC_AT, true) !== crc32c(bytes.subarray(0, CRC_AT), 0)) return undefined;
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) return undefined;
  const version = view.getUint32(8, true);
  if (version !== FORMAT) {
    throw new NxError("NX_DATA_VERSION", `${path} has format ${version}, this program reads ${FORMAT}`, {
      hint: "start the version of node-x that wrote this directory",
    });
  }
  const reader = new ByteReader(bytes.subarray(16, 24 + view.getUint32(12, true)));
  const sequence = reader.u64();
  const promises: Promises = {
    group: reader.u64(),
    replica: reader.u8(),
    replicas: reader.u8(),
    view: reader.u64(),
    incarnations: reader.numbers(REPLICAS_MAX),
    founders: reader.numbers(REPLICAS_MAX),
  };
  reader.end();
  return { sequence, promises };
}
