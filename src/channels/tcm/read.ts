/**
 * Reads one `.tcm` file from its first byte to its last (byte table in native/tcm.h).
 *
 * Invariant: a file counts as read only when it is complete: the current format by its end mark, the older one by the
 * number of records in its header. Half a file is an error that names file and offset, never a smaller channel.
 */
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { crc32c } from "../../native/crc32c.ts";
import { TcmReader, type TcmCounts, type TcmNote, type TcmReaderOptions } from "../../native/tcm.ts";
import type { TcmIdentity } from "./side-file.ts";

const CHUNK_BYTES = 1 << 20;

export interface ReadTcm {
  identity: TcmIdentity;
  /** 0, or the number of records in the header of the older format. */
  header: bigint;
  counts: TcmCounts;
}

export interface ReadTcmOptions extends TcmReaderOptions {
  disk: Disk;
  path: string;
  onNotes?(notes: TcmNote[]): void;
  onLines?(text: string): void;
  /** Bytes read so far, of how many. */
  onProgress?(bytes: number, total: number): void;
}

/** Throws NX_DATA_CORRUPT for an incomplete file, NX_DATA_OUT_OF_RANGE as the options say. */
export async function readTcm(options: ReadTcmOptions): Promise<ReadTcm> {
  const { disk, path } = options;
  const file = await disk.open(path, "read");
  const reader = new TcmReader(options);
  try {
    const total = await file.size();
    let buffer = new Uint8Array(CHUNK_BYTES);
    let [filled, offset, checksum] = [0, 0, 0];
    while (reader.phase !== "refused") {
      if (filled === buffer.byteLength) buffer = enlarged(buffer);
      const target = buffer.subarray(filled);
      const count = await file.read(target, offset);
      if (count === 0) break;
      checksum = crc32c(target.subarray(0, count), checksum);
      offset += count;
      filled += count;
      const taken = reader.read(buffer.subarray(0, filled));
      buffer.copyWithin(0, taken, filled);
      filled -= taken;
      tell(reader, options);
      options.onProgress?.(offset, total);
    }
    await assertComplete(reader, options, offset);
    return {
      identity: { bytes: offset, crc32c: checksum },
      header: reader.header,
      counts: reader.counts,
    };
  } finally {
    reader.free();
    await file.close();
  }
}

function enlarged(buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(buffer.byteLength * 2);
  larger.set(buffer);
  return larger;
}

function tell(reader: TcmReader, { wantsLines, onLines, onNotes }: ReadTcmOptions): void {
  if (wantsLines === true) onLines?.(reader.takeLines());
  const notes = reader.takeNotes();
  if (notes.length > 0) onNotes?.(notes);
}

async function assertComplete(reader: TcmReader, options: ReadTcmOptions, size: number): Promise<void> {
  const { path, disk } = options;
  const { phase, refusal, recordOffset, header, counts } = reader;
  if (phase === "ended" || phase === "padding") return;
  if (refusal === "outOfRange" || refusal === "allOutOfRange") throw outOfRange(path, refusal, recordOffset);
  const backup = `${path}.backup`;
  const restore = (await disk.exists(backup))
    ? `the dump before it is ${backup}: look at it with \`node-x tcm check\`, then rename it`
    : "restore it from a backup";
  const hint = `${restore}; to start without this channel, move the file away`;
  const fail = (what: string, offset: number) =>
    new NxError("NX_DATA_CORRUPT", `${path}: ${what} at byte ${offset}`, {
      hint,
    });
  if (phase === "header") throw fail("the file ends within its header", size);
  switch (refusal) {
    case "keyLength":
      throw fail("no key can have the length that stands", recordOffset);
    case "valueLength":
      throw fail("no value can have the length that stands in the record", recordOffset);
    case "trailing":
      throw fail(`the header counts ${header} records, but there is more`, recordOffset);
    default: {
      const after = `${counts.records} records`;
      const what =
        header === 0n
          ? `the end mark is missing after ${after}`
          : `${after} of ${header} are there; the file ends`;
      throw fail(`${what}: the file is cut or damaged in the record`, recordOffset);
    }
  }
}

function outOfRange(path: string, refusal: string, offset: number): NxError {
  const what =
    refusal === "outOfRange"
      ? `the record at byte ${offset} belongs to another node`
      : `all records up to byte ${offset} belong to other nodes`;
  return new NxError("NX_DATA_OUT_OF_RANGE", `${path}: ${what}`, {
    hint: "this is the data of another node, or hashRange is wrong; dump.allowOutOfRange and dump.abortAfterAllOutOfRange decide what is accepted",
  });
}
