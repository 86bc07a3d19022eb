/**
 * One channel of a node into one `.tcm` file: GetAll streamed to a temporary file, which then takes the place of the dump
 * before (tcm/dump-files.ts).
 *
 * The content of a batch is laid out as the records of a `.tcm` are (native/tcm.h), so it is checked and written as it is.
 * Invariant: a file has its name only when it is complete and synced. A crash leaves the dump before and an unfinished
 * file, which the next attempt overwrites. Memory is bounded by a few batches.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { crc32c } from "../../native/crc32c.ts";
import { DumpDirectory } from "../tcm/dump-files.ts";
import { dhtdumpTemporaryName, sideName } from "../tcm/names.ts";

const KEY_BYTES = 16;
const BLOCK_BYTES = 512;
const HEADER_BYTES = 8;
/** Gathered before a write. */
const WRITE_BYTES = 1 << 20;
/** Written between two syncs, so that the last one is short. */
const SYNC_STEP_BYTES = 32 << 20;

export interface ChannelDump {
  records: number;
  /** Key, value and 16 for each record. */
  bytes: number;
}

/**
 * Where the records of a batch end that are to be kept, as runs of [start, end): all of them, but those without a
 * value. Throws NX_CONNECT_FAILED for what is no batch of records.
 */
export function recordRuns(content: Uint8Array): { runs: [number, number][]; records: number } {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const runs: [number, number][] = [];
  let records = 0;
  let start = 0;
  const malformed = () =>
    new NxError("NX_CONNECT_FAILED", "the node sent a batch that is not made of records");
  for (let at = 0; at < content.byteLength;) {
    const valueAt = at + HEADER_BYTES + KEY_BYTES + 8;
    if (
      valueAt > content.byteLength ||
      view.getUint32(at, true) !== KEY_BYTES ||
      view.getUint32(at + 4, true) !== 0
    )
      throw malformed();
    for (let index = at + HEADER_BYTES; index < valueAt - 8; index++)
      if (!isHexDigit(content[index] as number)) throw malformed();
    const length = view.getUint32(valueAt - 8, true) + view.getUint32(valueAt - 4, true) * 2 ** 32;
    if (length > content.byteLength - valueAt) throw malformed();
    if (length === 0) {
      if (at > start) runs.push([start, at]);
      start = valueAt;
    } else {
      records++;
    }
    at = valueAt + length;
  }
  if (content.byteLength > start) runs.push([start, content.byteLength]);
  return { runs, records };
}

const isHexDigit = (byte: number) =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66) || (byte >= 0x41 && byte <= 0x46);

/** Writes `batches` as the new dump of `channel` in `directory`. When it fails, the dump before is as it was. */
export async function dumpChannel(
  disk: Disk,
  directory: string,
  channel: string,
  batches: AsyncIterable<Uint8Array>,
): Promise<ChannelDump> {
  if (await disk.exists(join(directory, sideName(channel)))) {
    throw new NxError(
      "NX_DATA_DIR_UNUSABLE",
      `${directory} has a ${sideName(channel)}: a node dumps itself there`,
      {
        hint: "give dhtdump a directory of its own, or let the node keep its dumps alone",
      },
    );
  }
  const temporary = join(directory, dhtdumpTemporaryName(channel));
  const output = await Output.open(disk, temporary);
  const dumps = new DumpDirectory({ world: { disk }, directory });
  try {
    const written: ChannelDump = { records: 0, bytes: 0 };
    for await (const content of batches) {
      const { runs, records } = recordRuns(content);
      written.records += records;
      for (const [start, end] of runs) {
        await output.add(content.subarray(start, end));
        written.bytes += end - start;
      }
    }
    const tcm = await output.finish();
    const none = { sideTemporary: undefined, sideRecords: 0 };
    await dumps.commit({ channel, temporary, ...none, ...written, tcm });
    return written;
  } catch (error) {
    await output.discard();
    throw error;
  }
}

/** The temporary file while it is written: header, records, end mark, padding. */
class Output {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #buffer = new Uint8Array(WRITE_BYTES);
  #buffered = HEADER_BYTES; // zeros: the current format
  #written = 0;
  #unsynced = 0;
  #checksum = 0;
  #isOpen = true;

  private constructor(disk: Disk, path: string, file: DiskFile) {
    this.#disk = disk;
    this.#path = path;
    this.#file = file;
  }

  /** Takes over what an attempt that was cut short has left. */
  static async open(disk: Disk, path: string): Promise<Output> {
    const file = await disk.open(path, "create");
    const output = new Output(disk, path, file);
    try {
      await file.truncate(0);
      return output;
    } catch (error) {
      await output.discard();
      throw error;
    }
  }

  async add(bytes: Uint8Array): Promise<void> {
    if (this.#buffered + bytes.byteLength > WRITE_BYTES) await this.#flush();
    if (bytes.byteLength > WRITE_BYTES) return this.#write(bytes);
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.byteLength;
  }

  async #flush(): Promise<void> {
    await this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes, this.#written);
    this.#checksum = crc32c(bytes, this.#checksum);
    this.#written += bytes.byteLength;
    this.#unsynced += bytes.byteLength;
    if (this.#unsynced < SYNC_STEP_BYTES) return;
    await this.#file.sync();
    this.#unsynced = 0;
  }

  /** Resolves when the whole file is on disk. */
  async finish(): Promise<{ bytes: number; crc32c: number }> {
    await this.#flush();
    const end = this.#written + 8;
    await this.#write(new Uint8Array(8 + ((BLOCK_BYTES - (end % BLOCK_BYTES)) % BLOCK_BYTES)));
    await this.#file.sync();
    this.#isOpen = false;
    await this.#file.close();
    return { bytes: this.#written, crc32c: this.#checksum };
  }

  /** Best effort: what cannot be removed is overwritten by the next attempt. */
  async discard(): Promise<void> {
    try {
      if (this.#isOpen) await this.#file.close();
      this.#isOpen = false;
      if (await this.#disk.exists(this.#path)) await this.#disk.remove(this.#path);
    } catch {
      // What failed before is the error that counts.
    }
  }
}
