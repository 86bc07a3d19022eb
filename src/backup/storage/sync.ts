/**
 * Bringing a whole volume to its archive while it is written to: a full copy (`dirty-full-sync3`), or a comparison by
 * hashes of which only what differs is sent (`dirty-hash-sync2`).
 *
 *   client: "storage", VOL, blocks, time, blocks of a bulk, compression      server: "accept"; hash: newest snapshot
 *   client: uuid of the log that begins now                                  server: acknowledgement
 *   full    client: every bulk                                               server: acknowledgement
 *   hash    server: every hash, end      client: a dummy for each, packs with what differs, end
 *   client: the snapshot that was taken then                                 server: acknowledgement
 *
 * Invariant: the log is kept from before the first block is read. What is written during the copy is in the log, so the
 * first diff that is shipped makes the copy a point in time.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Snapshot } from "../algebra/snapshot.ts";
import type { Compression } from "../formats/compression.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { firstLine, readAck } from "../server/server.ts";
import type { Conversation } from "../wire/conversation.ts";
import { Differing } from "../wire/differing.ts";
import { RateLimit } from "../wire/rate-limit.ts";
import { Writer } from "../wire/serial.ts";
import { readNext } from "../wire/streams.ts";
import { readSnapshot, writeCompression, writeSnapshot } from "../wire/values.ts";
import type { Framer } from "./ship.ts";
import type { StorageVolume } from "./volume.ts";

/** Read of the volume at once. */
const READ_BYTES = 4 << 20;

export interface SyncOptions {
  clock: Clock;
  framer: Framer;
  bulkBytes: number;
  compression: Compression;
  /** Read at each part, so that a change takes effect. 0 is no limit. */
  bytesPerSecond(): number;
  /** The archive has said yes. */
  onAccepted(): Promise<void>;
  /** Throws when the volume is to be stopped by force. */
  check(): void;
}

async function request(
  conversation: Conversation,
  volume: StorageVolume,
  time: number,
  options: SyncOptions,
) {
  const writer = new Writer()
    .text("storage")
    .text(volume.name)
    .u64(volume.attached.bytes / BLOCK_BYTES)
    .u64(time)
    .u64(options.bulkBytes / BLOCK_BYTES);
  await conversation.send(writeCompression(writer, options.compression));
  const answer = await conversation.reader.text();
  if (answer !== "accept") throw new NxError("NX_CONNECT_FAILED", firstLine(answer));
}

/** The volume in parts, the next one read while one is worked on, not faster than allowed. */
async function* partsOf(
  volume: StorageVolume,
  options: SyncOptions,
): AsyncGenerator<{ offset: number; bytes: Uint8Array }> {
  const { attached } = volume;
  const { clock, bulkBytes, bytesPerSecond } = options;
  const limit = new RateLimit(clock, bytesPerSecond);
  const total = attached.bytes;
  const read = async (offset: number) => {
    // What is read in a second at most: the archive does not wait long for a part.
    const most = Math.min(READ_BYTES, bytesPerSecond() || READ_BYTES);
    const length = Math.max(bulkBytes, most - (most % bulkBytes));
    const bytes = new Uint8Array(Math.min(length, total - offset));
    await attached.read(bytes, offset);
    return bytes;
  };
  let ahead = read(0);
  try {
    for (let offset = 0; offset < total;) {
      options.check();
      const bytes = await ahead;
      const end = offset + bytes.byteLength;
      if (end < total) ahead = read(end);
      await limit.take(bytes.byteLength);
      yield { offset, bytes };
      volume.progressBlocks = end / BLOCK_BYTES;
      offset = end;
    }
  } finally {
    volume.progressBlocks = 0;
    await ahead.catch(() => undefined);
  }
}

/** Takes the snapshot with which the archive's image ends, and tells it. */
async function finish(conversation: Conversation, volume: StorageVolume, begin: bigint): Promise<Snapshot> {
  const snapshot = { begin, end: await volume.snapshot(false) };
  await conversation.send(writeSnapshot(new Writer(), snapshot));
  await readAck(conversation.reader);
  return snapshot;
}

export async function fullSync(
  conversation: Conversation,
  volume: StorageVolume,
  options: SyncOptions,
): Promise<Snapshot> {
  const { bulkBytes, compression, framer } = options;
  await request(conversation, volume, volume.nowSeconds, options);
  await options.onAccepted();
  await volume.resetLog(0n);
  await conversation.send(volume.uuid);
  await readAck(conversation.reader);
  for await (const { bytes } of partsOf(volume, options)) {
    const call = {
      kind: "bulks",
      bytes,
      bulkBytes,
      codec: compression.id,
      level: compression.level,
    } as const;
    const { framed } = await framer.call(call, [bytes.buffer as ArrayBuffer]);
    await conversation.send(framed);
  }
  await readAck(conversation.reader);
  return finish(conversation, volume, 0n);
}

export async function hashSync(
  conversation: Conversation,
  volume: StorageVolume,
  options: SyncOptions,
): Promise<Snapshot> {
  const { reader } = conversation;
  const time = volume.nowSeconds;
  await request(conversation, volume, time, options);
  await options.onAccepted();
  const latest = await readSnapshot(reader);
  const begin = latest.end + 1n;
  await volume.resetLog(begin);
  await conversation.send(volume.uuid);
  await readAck(reader);
  const differing = new Differing(conversation, options.compression);
  try {
    for await (const { offset, bytes } of partsOf(volume, options))
      await compare(reader, differing, offset, bytes, time, options);
    if (await readNext(reader))
      throw new NxError("NX_DATA_CORRUPT", "the archive sends hashes behind the end of the volume");
    await differing.finish();
  } finally {
    differing.close();
  }
  return finish(conversation, volume, begin);
}

async function compare(
  reader: Conversation["reader"],
  differing: Differing,
  offset: number,
  bytes: Uint8Array,
  time: number,
  { framer, bulkBytes }: SyncOptions,
): Promise<void> {
  const seed = time % 2 ** 32;
  const { framed: hashes } = await framer.call({ kind: "hashes", bytes, bulkBytes, seed });
  for (let at = 0, index = 0; at < bytes.byteLength; at += bulkBytes, index++) {
    if (!(await readNext(reader))) throw new NxError("NX_DATA_CORRUPT", "the archive sends too few hashes");
    const theirs = await reader.view(16);
    const isEqual = Buffer.from(hashes.buffer, hashes.byteOffset + index * 16, 16).equals(theirs);
    await differing.add((offset + at) / BLOCK_BYTES, bytes.subarray(at, at + bulkBytes), isEqual);
  }
}
