/**
 * Reads segments: what is in them, and their blocks.
 *
 * Invariant: a block is handed out only when its checksums fit; damage is an error that names file and byte.
 */
import { corrupt, newBuffer } from "../../../core/append-log/frame.ts";
import type { Disk, DiskFile } from "../../../core/seams/disk.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { Page, type PageFigures } from "../../../native/logfiles/pages.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockEntry,
  decodeBlockHeader,
  decodeHeader,
  decodeIndex,
  decodeTrailer,
  ENTRY_BYTES,
  HEADER_BYTES,
  seedOf,
  type SegmentTotals,
  TRAILER_BYTES,
} from "./format.ts";
import type { SegmentInfo } from "./write.ts";
import { decompressPage } from "./zstd.ts";

async function readAt(file: DiskFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = newBuffer(length);
  return bytes.subarray(0, await file.read(bytes, offset));
}

export async function withFile<Value>(disk: Disk, path: string, use: (file: DiskFile) => Promise<Value>) {
  const file = await disk.open(path, "read");
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** A block's page, checked. Throws NX_DATA_CORRUPT. */
export async function readBlock(
  file: DiskFile,
  path: string,
  seed: number,
  { offset, frameBytes }: Pick<BlockEntry, "offset" | "frameBytes">,
): Promise<Uint8Array> {
  const bytes = await readAt(file, offset, BLOCK_HEADER_BYTES + frameBytes);
  const header = decodeBlockHeader(bytes, seed);
  const frame = bytes.subarray(BLOCK_HEADER_BYTES);
  if (header === undefined || header.frameBytes !== frame.byteLength)
    throw corrupt(path, offset, "the header of this block is damaged");
  if (crc32c(frame, seed) !== header.frameCrc) throw corrupt(path, offset, "this block is damaged");
  const page = decompressPage(frame, header.pageBytes);
  if (page === undefined) throw corrupt(path, offset, "this block holds no page");
  return page;
}

/** What the file says of itself. `isRebuilt`: its index was damaged and was made again from the blocks. */
export async function readSegmentInfo(
  disk: Disk,
  path: string,
): Promise<{ info: SegmentInfo; isRebuilt: boolean }> {
  return withFile(disk, path, async (file) => {
    const header = decodeHeader(await readAt(file, 0, HEADER_BYTES), path);
    const fileBytes = await file.size();
    const seed = seedOf(header.id);
    const known = await readIndex(file, fileBytes, seed);
    if (known !== undefined) return { info: { ...header, fileBytes, ...known }, isRebuilt: false };
    const walked = await walkBlocks(file, path, fileBytes, seed);
    const problem = walked.problems[0];
    if (problem !== undefined) throw problem;
    return { info: { ...header, fileBytes, ...walked }, isRebuilt: true };
  });
}

type Content = SegmentTotals & { blocks: BlockEntry[] };

async function readIndex(file: DiskFile, fileBytes: number, seed: number): Promise<Content | undefined> {
  if (fileBytes < HEADER_BYTES + TRAILER_BYTES) return undefined;
  const trailer = decodeTrailer(await readAt(file, fileBytes - TRAILER_BYTES, TRAILER_BYTES), seed);
  if (trailer === undefined) return undefined;
  const { indexOffset, blocks, indexCrc, ...totals } = trailer;
  if (indexOffset + blocks * ENTRY_BYTES + TRAILER_BYTES !== fileBytes) return undefined;
  const bytes = await readAt(file, indexOffset, blocks * ENTRY_BYTES);
  return crc32c(bytes, seed) === indexCrc ? { blocks: decodeIndex(bytes), ...totals } : undefined;
}

/** Every block in the file, found without the index; `problems` say what is damaged between them. */
export async function walkBlocks(
  file: DiskFile,
  path: string,
  fileBytes: number,
  seed: number,
  onPage: (page: Uint8Array) => Promise<void> = async () => {},
): Promise<Content & { problems: Error[] }> {
  const content: Content = { blocks: [], records: 0, valueBytes: 0, keyMin: 2n ** 64n - 1n, keyMax: 0n };
  const problems: Error[] = [];
  const page = new Page();
  try {
    let headers = 0;
    for (let offset = HEADER_BYTES; ;) {
      const header = decodeBlockHeader(await readAt(file, offset, BLOCK_HEADER_BYTES), seed);
      if (header === undefined) {
        const next = await findBlock(file, offset + 1, fileBytes, seed);
        if (next === undefined) {
          // Behind the last block only the index follows, and its length tells how many blocks there were.
          if (fileBytes - offset !== headers * ENTRY_BYTES + TRAILER_BYTES)
            problems.push(
              corrupt(path, offset, "what follows is neither a block nor the index of all blocks"),
            );
          break;
        }
        problems.push(corrupt(path, offset, `${next - offset} bytes of blocks are damaged`));
        offset = next;
        continue;
      }
      const { frameBytes } = header;
      headers += 1;
      try {
        const bytes = await readBlock(file, path, seed, { offset, frameBytes });
        const figures = page.load(bytes);
        if (figures === undefined) throw corrupt(path, offset, "this block holds no page");
        addBlock(content, offset, frameBytes, figures);
        await onPage(bytes);
      } catch (error) {
        problems.push(error as Error);
      }
      offset += BLOCK_HEADER_BYTES + frameBytes;
    }
  } finally {
    page.free();
  }
  return { ...content, problems };
}

function addBlock(content: Content, offset: number, frameBytes: number, figures: PageFigures): void {
  const { valueBytes, ...block } = figures;
  content.blocks.push({ offset, frameBytes, ...block });
  content.records += block.records;
  content.valueBytes += valueBytes;
  if (block.keyMin < content.keyMin) content.keyMin = block.keyMin;
  if (block.keyMax > content.keyMax) content.keyMax = block.keyMax;
}

const SEARCH_BYTES = 1 << 20;

/** The offset of the next valid block header from `offset` on. */
async function findBlock(file: DiskFile, offset: number, fileBytes: number, seed: number) {
  const magic = Buffer.from("NXRB", "latin1");
  for (let start = offset; start < fileBytes; start += SEARCH_BYTES) {
    const window = Buffer.from(await readAt(file, start, SEARCH_BYTES + BLOCK_HEADER_BYTES));
    for (let at = window.indexOf(magic); at >= 0; at = window.indexOf(magic, at + 1)) {
      if (at < SEARCH_BYTES && decodeBlockHeader(window.subarray(at), seed) !== undefined) return start + at;
    }
  }
  return undefined;
}
