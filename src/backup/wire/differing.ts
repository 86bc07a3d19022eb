/**
 * Bulks that differ, on the side of a hash comparison that has the truth: gathered into sorted packs and sent.
 *
 * Invariant: at most one pack waits in memory. A pack is sent when it has `PACK_BYTES`, as many records as a pack holds, or
 * when it spans so much of the volume that the other side would wait too long.
 */
import { WDIFF_HEADER_BYTES, writeWdiffHeader } from "../../native/blocks.ts";
import { LogReader } from "../../native/log-reader.ts";
import { memorySource } from "../formats/bytes.ts";
import type { Compression } from "../formats/compression.ts";
import { mergedPacks, openDiff } from "../formats/diff-merge.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import type { Conversation } from "./conversation.ts";
import { sendMark, sendPack } from "./streams.ts";

const PACK_BYTES = 8 << 20;
const PACK_RECORDS = 127;
const PACK_SPAN_BLOCKS = (256 << 20) / BLOCK_BYTES;

export class Differing {
  readonly #conversation: Conversation;
  readonly #compression: Compression;
  #reader: LogReader | undefined;
  #records = 0;
  #from = 0;

  constructor(conversation: Conversation, compression: Compression) {
    this.#conversation = conversation;
    this.#compression = compression;
  }

  /** A bulk at `block` was compared; the dummy that it is answered with keeps neither side silent. */
  async add(block: number, bulk: Uint8Array, isEqual: boolean): Promise<void> {
    await sendMark(this.#conversation, "dummy");
    const blocks = bulk.byteLength / BLOCK_BYTES;
    if (!isEqual) {
      if (this.#reader === undefined) {
        const { id, level } = this.#compression;
        this.#reader = new LogReader({ codec: id, level, outOffset: WDIFF_HEADER_BYTES });
        this.#from = block;
      }
      this.#reader.addImage(block, bulk, blocks);
      this.#records += 1;
    }
    if (this.#reader === undefined) return;
    const isLong = block + blocks - this.#from >= PACK_SPAN_BLOCKS;
    if (isLong || this.#records >= PACK_RECORDS || this.#reader.out.length >= PACK_BYTES) await this.#send();
  }

  async #send(): Promise<void> {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.#records = 0;
    try {
      reader.index(0);
      const indexed = Buffer.concat([writeWdiffHeader("indexed", new Uint8Array(16)), reader.out.view()]);
      const diff = await openDiff(memorySource("bulks that differ", indexed));
      const options = { compression: this.#compression, blocksMax: 0, isEachPack: true };
      for await (const pack of mergedPacks([diff], options)) await sendPack(this.#conversation, pack);
    } finally {
      reader.free();
    }
  }

  /** Sends what is left, and the end. */
  async finish(): Promise<void> {
    await this.#send();
    await sendMark(this.#conversation, "end");
  }

  close(): void {
    this.#reader?.free();
    this.#reader = undefined;
  }
}
