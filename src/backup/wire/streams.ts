/**
 * The streams that protocols share: bulks of an image, hashes of bulks, sorted packs. Each has a sending and a receiving
 * side; a stream ends with its end mark, never by a closed connection.
 *
 *   control byte     0 next, 1 end, 2 error, 3 dummy (keeps the connection alive)
 *   bulk             variable size, 0 for zeros; else u32 checksum (salt 0) and the stored bytes
 *   hash             next, 16 bytes
 *   pack             next, variable size, header of 4096 bytes and data
 */
import { NxError } from "../../core/errors.ts";
import {
  type Codec,
  isZero,
  murmur3,
  saltedChecksum,
  verifyPack,
  WDIFF_PACK_BYTES,
} from "../../native/blocks.ts";
import type { ByteSink } from "../formats/bytes.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { Conversation } from "./conversation.ts";
import { malformed, type Reader, Writer } from "./serial.ts";

export const StreamMark = { next: 0, end: 1, error: 2, dummy: 3 } as const;
export const BULK_BLOCKS_MAX = (4 << 20) / BLOCK_BYTES;
const PACK_BYTES_MAX = WDIFF_PACK_BYTES + (64 << 20);

export async function sendMark(conversation: Conversation, mark: keyof typeof StreamMark): Promise<void> {
  await conversation.send(Uint8Array.of(StreamMark[mark]));
}

/** The next mark that is no dummy: true for next, false for end. */
export async function readNext(reader: Reader): Promise<boolean> {
  for (;;) {
    const mark = await reader.u8();
    if (mark === StreamMark.next) return true;
    if (mark === StreamMark.end) return false;
    if (mark === StreamMark.error) throw new NxError("NX_CONNECT_FAILED", "the peer gave the transfer up");
    if (mark !== StreamMark.dummy) throw malformed(`the stream mark ${mark}`);
  }
}

/** Sends one bulk, compressed with `codec` number `id`. */
export async function sendBulk(
  conversation: Conversation,
  codec: Codec,
  id: number,
  level: number,
  bulk: Uint8Array,
): Promise<void> {
  if (isZero(bulk)) return await conversation.send(new Writer().u64(0));
  // There is no way to send a bulk raw under another compression: what does not shrink is sent as it came out.
  const stored = id === 0 ? bulk : codec.encodeAlways(id, level, bulk);
  await conversation.send(new Writer().u64(stored.byteLength).u32(saltedChecksum(stored)).raw(stored));
}

export interface BulkOptions {
  codec: Codec;
  compression: number;
  bulkBlocks: number;
  fromBlock: number;
  blocks: number;
}

/** Receives bulks up to the end of the image; undefined is a bulk of zeros. */
export async function* receiveBulks(
  reader: Reader,
  { codec, compression, bulkBlocks, fromBlock, blocks }: BulkOptions,
): AsyncGenerator<{ block: number; content: Uint8Array | undefined; bytes: number }> {
  if (bulkBlocks < 1 || bulkBlocks > BULK_BLOCKS_MAX) throw malformed(`a bulk of ${bulkBlocks} blocks`);
  const buffer = new Uint8Array(bulkBlocks * BLOCK_BYTES);
  for (let block = fromBlock; block < blocks; block += bulkBlocks) {
    const bytes = Math.min(bulkBlocks, blocks - block) * BLOCK_BYTES;
    const size = await reader.count(bytes * 2 + 4096, "the size of a bulk");
    if (size === 0) {
      yield { block, content: undefined, bytes };
      continue;
    }
    const checksum = await reader.u32();
    const stored = await reader.view(size);
    const content = buffer.subarray(0, bytes);
    if (saltedChecksum(stored) !== checksum) throw malformed(`the bulk at block ${block} fails its checksum`);
    if (!codec.decode(compression, stored, content))
      throw malformed(`the bulk at block ${block} cannot be decompressed`);
    yield { block, content, bytes };
  }
}

/** Sends the hash of each bulk of an image, then the end. */
export async function sendHashes(
  conversation: Conversation,
  bulks: AsyncIterable<Uint8Array>,
  seed: number,
): Promise<void> {
  for await (const bulk of bulks) {
    const message = new Uint8Array(17);
    message.set(murmur3(bulk, seed), 1);
    await conversation.send(message);
  }
  await sendMark(conversation, "end");
}

export async function sendPack(conversation: Conversation, pack: Uint8Array): Promise<void> {
  await conversation.send(new Writer().u8(StreamMark.next).u64(pack.byteLength).raw(pack));
}

/** Sends sorted packs, each by itself, then the end. */
export async function sendPacks(conversation: Conversation, packs: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const pack of packs) await sendPack(conversation, pack);
  await sendMark(conversation, "end");
}

/** Hands on every pack, verified: rising addresses, inside `blocks`, all checksums. Returns how many. */
export async function receivePacks(reader: Reader, blocks: number, sink: ByteSink): Promise<number> {
  let floor = 0;
  let count = 0;
  while (await readNext(reader)) {
    const size = await reader.count(PACK_BYTES_MAX, "the size of a pack");
    const pack = await reader.view(size);
    const end = verifyPack(pack, floor, blocks);
    if (end < 0) throw malformed("a pack fails its checksums, its order, or lies beyond the image");
    floor = end;
    count += 1;
    await sink.append(pack);
  }
  return count;
}
