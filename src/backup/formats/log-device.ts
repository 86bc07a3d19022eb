/**
 * Log devices: a super block and a ring of physical blocks in which each lsid has its place.
 *
 *   byte 4096, one physical block, the super block:
 *   offset  bytes  field
 *        0      2  type = 1                 24     16  uuid of the log history
 *        2      2  version = 2              40     32  name, ended by a zero byte
 *        4      4  checksum, salt 0         72      8  physical blocks of the ring
 *        8      4  512                      80      8  oldest lsid
 *       12      4  physical block bytes     88      8  written lsid
 *       16      4  metadata blocks = 0      96      8  blocks of 512 of the data device
 *       20      4  salt
 *   The physical block behind it is unused by the original, here it holds a copy (`replaceSuperBlock`); the ring follows.
 *   lsid L lies at ring start + (L mod ring blocks).
 *
 * Invariant: nothing is written before the super block was found sound, and its checksum is really compared. A super block
 * that power loss has torn is replaced by its copy, which was synced first.
 */
import { NxError } from "../../core/errors.ts";
import type { DiskFile } from "../../core/seams/disk.ts";
import { saltedChecksum } from "../../native/blocks.ts";
import { BLOCK_BYTES } from "./units.ts";

export const SUPER_OFFSET = 4096;

export interface SuperBlock {
  checksum: number;
  physicalBytes: number;
  metadataBlocks: number;
  salt: number;
  uuid: Uint8Array;
  name: string;
  /** Physical blocks. */
  ringBlocks: bigint;
  oldestLsid: bigint;
  writtenLsid: bigint;
  /** Blocks of 512 bytes of the data device. */
  deviceBlocks: bigint;
}

/** Physical block number at which the ring begins. */
export const ringStart = (physicalBytes: number): number => SUPER_OFFSET / physicalBytes + 2;

export function encodeSuperBlock(block: Omit<SuperBlock, "checksum">): Uint8Array {
  const bytes = new Uint8Array(block.physicalBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1, true);
  view.setUint16(2, 2, true);
  view.setUint32(8, BLOCK_BYTES, true);
  view.setUint32(12, block.physicalBytes, true);
  view.setUint32(16, block.metadataBlocks, true);
  view.setUint32(20, block.salt, true);
  bytes.set(block.uuid, 24);
  bytes.set(Buffer.from(block.name).subarray(0, 31), 40);
  view.setBigUint64(72, block.ringBlocks, true);
  view.setBigUint64(80, block.oldestLsid, true);
  view.setBigUint64(88, block.writtenLsid, true);
  view.setBigUint64(96, block.deviceBlocks, true);
  view.setUint32(4, saltedChecksum(bytes), true);
  return bytes;
}

/** Undefined when it is no super block. */
export function decodeSuperBlock(bytes: Uint8Array): SuperBlock | undefined {
  if (bytes.byteLength < BLOCK_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const physicalBytes = view.getUint32(12, true);
  if (
    view.getUint16(0, true) !== 1 ||
    view.getUint16(2, true) !== 2 ||
    view.getUint32(8, true) !== BLOCK_BYTES
  )
    return undefined;
  if ((physicalBytes !== 512 && physicalBytes !== 4096) || bytes.byteLength < physicalBytes) return undefined;
  if (saltedChecksum(bytes.subarray(0, physicalBytes)) !== 0) return undefined;
  const name = bytes.subarray(40, 72);
  const end = name.indexOf(0);
  return {
    checksum: view.getUint32(4, true),
    physicalBytes,
    metadataBlocks: view.getUint32(16, true),
    salt: view.getUint32(20, true),
    uuid: bytes.slice(24, 40),
    name: Buffer.from(name.subarray(0, end < 0 ? 32 : end)).toString(),
    ringBlocks: view.getBigUint64(72, true),
    oldestLsid: view.getBigUint64(80, true),
    writtenLsid: view.getBigUint64(88, true),
    deviceBlocks: view.getBigUint64(96, true),
  };
}

/** An open log device. */
export class LogDevice {
  readonly #file: DiskFile;
  superBlock: SuperBlock;

  /** Throws NX_DATA_CORRUPT when the super block is not sound. */
  static async open(name: string, file: DiskFile): Promise<LogDevice> {
    const bytes = new Uint8Array(2 * 4096);
    await file.read(bytes, SUPER_OFFSET);
    const superBlock =
      decodeSuperBlock(bytes) ??
      [512, 4096]
        .map((physicalBytes) => decodeSuperBlock(bytes.subarray(physicalBytes)))
        .find((copy, index) => copy?.physicalBytes === [512, 4096][index]);
    if (superBlock === undefined || superBlock.ringBlocks === 0n) {
      throw new NxError("NX_DATA_CORRUPT", `${name}: super block is invalid.`, {
        hint: "`node-x walb ldev format` makes a log device",
      });
    }
    return new LogDevice(file, superBlock);
  }

  private constructor(file: DiskFile, superBlock: SuperBlock) {
    this.#file = file;
    this.superBlock = superBlock;
  }

  get physicalBytes(): number {
    return this.superBlock.physicalBytes;
  }

  /** Calls `part` for each stretch of the ring that [lsid, lsid + blocks) covers. */
  async #each(
    lsid: bigint,
    blocks: number,
    part: (offset: number, from: number, to: number) => Promise<void>,
  ) {
    const { ringBlocks } = this.superBlock;
    for (let done = 0; done < blocks;) {
      const place = (lsid + BigInt(done)) % ringBlocks;
      const count = Math.min(blocks - done, Number(ringBlocks - place));
      const offset = (ringStart(this.physicalBytes) + Number(place)) * this.physicalBytes;
      await part(offset, done * this.physicalBytes, (done + count) * this.physicalBytes);
      done += count;
    }
  }

  /** Reads `blocks` physical blocks; zeros where the file is shorter. */
  async read(lsid: bigint, blocks: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(blocks * this.physicalBytes);
    await this.#each(lsid, blocks, async (offset, from, to) => {
      await this.#file.read(bytes.subarray(from, to), offset);
    });
    return bytes;
  }

  /** Writes whole physical blocks. */
  write(lsid: bigint, bytes: Uint8Array): Promise<void> {
    const offset = this.#offsetOf(lsid, bytes.byteLength);
    if (offset !== undefined) return this.#file.write(bytes, offset);
    return this.#each(lsid, bytes.byteLength / this.physicalBytes, (at, from, to) =>
      this.#file.write(bytes.subarray(from, to), at),
    );
  }

  /** Writes much at a time, one part behind the other: past the page cache, which it would only fill. */
  async writeLong(lsid: bigint, parts: readonly Uint8Array[]): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const offset = this.#offsetOf(lsid, bytes);
    if (offset !== undefined && this.#file.writePast !== undefined)
      return this.#file.writePast(parts, offset);
    let at = lsid;
    for (const part of parts) {
      await this.write(at, part);
      at += BigInt(part.byteLength / this.physicalBytes);
    }
  }

  /** Where in the file these bytes go; undefined when they go round the ring's end. */
  #offsetOf(lsid: bigint, bytes: number): number | undefined {
    const { ringBlocks } = this.superBlock;
    const place = Number(lsid % ringBlocks);
    if (place + bytes / this.physicalBytes > Number(ringBlocks)) return undefined;
    return (ringStart(this.physicalBytes) + place) * this.physicalBytes;
  }

  /** `write` before it returns; false: nothing was written, and `write` has to do it. */
  writeNow(lsid: bigint, bytes: Uint8Array): boolean {
    const offset = this.#offsetOf(lsid, bytes.byteLength);
    return offset !== undefined && (this.#file.writeNow?.(bytes, offset) ?? false);
  }

  async writeSuperBlock(superBlock: Omit<SuperBlock, "checksum">): Promise<void> {
    const bytes = encodeSuperBlock(superBlock);
    await this.#file.write(bytes, SUPER_OFFSET);
    this.superBlock = decodeSuperBlock(bytes) as SuperBlock;
  }

  /** Durable when it resolves; power loss before that leaves the former one or this one. */
  async replaceSuperBlock(superBlock: Omit<SuperBlock, "checksum">): Promise<void> {
    const bytes = encodeSuperBlock(superBlock);
    await this.#file.write(bytes, SUPER_OFFSET + superBlock.physicalBytes);
    await this.#file.sync();
    await this.writeSuperBlock(superBlock);
    await this.#file.sync();
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }
}
