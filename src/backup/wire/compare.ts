/**
 * The side of a hash comparison that has the truth: it hears the hash of each bulk and sends those that differ, as sorted
 * packs. A storage does it in a hash backup, an archive towards another one. The other side is `receiveCompared`.
 *
 * Invariant: one dummy for each hash, so that neither side is silent; at most one pack waits in memory.
 */
import { murmur3, WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../native/blocks.ts";
import { LogReader } from "../../native/log-reader.ts";
import { memorySource } from "../formats/bytes.ts";
import type { Compression } from "../formats/compression.ts";
import { mergedPacks, openDiff } from "../formats/diff-merge.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { Conversation } from "./conversation.ts";
import { malformed } from "./serial.ts";
import { readNext, sendMark, sendPack } from "./streams.ts";

/** A pack is sent when it has this much, this many records, or when it spans this many blocks. */
const PACK_BYTES = 8 << 20;
const PACK_RECORDS = 127;
const PACK_SPAN_BLOCKS = (256 << 20) / BLOCK_BYTES;

export interface CompareOptions {
  seed: number;
  bulkBlocks: number;
  compression: Compression;
  /** Called after each bulk, with the blocks compared. */
  onBulk?(blocks: number): void;
}

/** Bulks that differ, until there are enough for a pack. */
class Differing {
  readonly #options: CompareOptions;
  #reader: LogReader | undefined;
  #records = 0;
  #from = 0;

  constructor(options: CompareOptions) {
    this.#options = options;
  }

  add(address: number, bulk: Uint8Array): void {
    const { id, level } = this.#options.compression;
    if (this.#reader === undefined) {
      this.#reader = new LogReader({ codec: id, level, outOffset: WDIFF_HEADER_BYTES });
      this.#from = address;
    }
    this.#reader.addImage(address, bulk, this.#options.bulkBlocks);
    this.#records += 1;
  }

  isFull(address: number): boolean {
    if (this.#reader === undefined) return false;
    const isLong = address - this.#from >= PACK_SPAN_BLOCKS;
    return isLong || this.#records >= PACK_RECORDS || this.#reader.out.length >= PACK_BYTES;
  }

  /** The sorted packs of what was gathered; nothing is gathered any more. */
  async *take(): AsyncGenerator<Uint8Array> {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.#records = 0;
    try {
      reader.index(0);
      const indexed = Buffer.concat([writeWdiffHeader("indexed", new Uint8Array(16)), reader.out.view()]);
      const diff = await openDiff(memorySource("bulks that differ", indexed));
      yield* mergedPacks([diff], {
        compression: this.#options.compression,
        blocksMax: 0,
        isEachPack: true,
      });
    } finally {
      reader.free();
    }
  }

  close(): void {
    this.#reader?.free();
    this.#reader = undefined;
  }
}

/** Compares `image`, whose chunks are bulks, with the hashes that come, and sends what differs, then the end. */
export async function sendDiffering(
  conversation: Conversation,
  image: AsyncIterable<Uint8Array>,
  options: CompareOptions,
): Promise<void> {
  const { seed, bulkBlocks } = options;
  const { reader } = conversation;
  const differing = new Differing(options);
  const sendGathered = async () => {
    for await (const pack of differing.take()) await sendPack(conversation, pack);
  };
  let address = 0;
  try {
    for await (const bulk of image) {
      if (!(await readNext(reader))) throw malformed("fewer hashes than the image has bulks");
      const hash = await reader.raw(16);
      await sendMark(conversation, "dummy");
      if (!Buffer.from(murmur3(bulk, seed)).equals(hash)) differing.add(address, bulk);
      address += bulkBlocks;
      options.onBulk?.(address);
      if (differing.isFull(address)) await sendGathered();
    }
    if (await readNext(reader)) throw malformed("more hashes than the image has bulks");
    await sendGathered();
    await sendMark(conversation, "end");
  } finally {
    differing.close();
  }
}
