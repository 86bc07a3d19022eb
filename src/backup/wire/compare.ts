/**
 * An archive compares an image of its own with the hashes of another archive's, and sends what differs. The other side is
 * `receiveCompared`.
 */
import { murmur3 } from "../../native/blocks.ts";
import type { Compression } from "../formats/compression.ts";
import type { Conversation } from "./conversation.ts";
import { Differing } from "./differing.ts";
import { malformed } from "./serial.ts";
import { readNext } from "./streams.ts";

export interface CompareOptions {
  seed: number;
  bulkBlocks: number;
  compression: Compression;
  /** Called after each bulk, with the blocks compared. */
  onBulk?(blocks: number): void;
}

/** Compares `image`, whose chunks are bulks, with the hashes that come, and sends what differs, then the end. */
export async function sendDiffering(
  conversation: Conversation,
  image: AsyncIterable<Uint8Array>,
  { seed, bulkBlocks, compression, onBulk }: CompareOptions,
): Promise<void> {
  const { reader } = conversation;
  const differing = new Differing(conversation, compression);
  let address = 0;
  try {
    for await (const bulk of image) {
      if (!(await readNext(reader))) throw malformed("fewer hashes than the image has bulks");
      const hash = await reader.raw(16);
      await differing.add(address, bulk, Buffer.from(murmur3(bulk, seed)).equals(hash));
      address += bulkBlocks;
      onBulk?.(address);
    }
    if (await readNext(reader)) throw malformed("more hashes than the image has bulks");
    await differing.finish();
  } finally {
    differing.close();
  }
}
