/** Diffs as the original's tools print them. */
import { readWdiffHeader, WDIFF_HEADER_BYTES } from "../../native/blocks.ts";
import type { DiffCounts } from "../../native/diff-merge.ts";
import { compressionName } from "../formats/compression.ts";
import type { Diff } from "../formats/diff-merge.ts";
import type { DiffRecord } from "../formats/diff-records.ts";
import { uuidText } from "../formats/units.ts";
import { hex } from "./log-text.ts";

/** The four lines of a file header. */
export function headLines(diff: Diff, header: Uint8Array): string {
  const checksum = new DataView(header.buffer, header.byteOffset).getUint32(0, true);
  const { type, uuid } = readWdiffHeader(header) ?? diff;
  return `wdiff_h:\n  checksum: ${hex(checksum)}\n  version: 2\n  type: ${type}\n  uuid: ${uuidText(uuid)}\n`;
}

export function recordText(type: Diff["type"], record: DiffRecord): string {
  const { address, blocks, kind, codec, offset, bytes, imageBlocks, imageStart, checksum, recordChecksum } =
    record;
  const flags = `${kind === "zero" ? "Z" : "-"}${kind === "discard" ? "D" : "-"}`;
  const common = [address, blocks, compressionName(codec) ?? `unknown(${codec})`, offset, bytes];
  const own =
    type === "sorted" ? [hex(checksum)] : [imageBlocks, imageStart, hex(checksum), hex(recordChecksum)];
  return `wdiff_${type}_rec:\t${[...common, ...own, flags].join("\t")}\n`;
}

export class DiffStatistics {
  wdiffNr = 0;
  normalNr = 0;
  allZeroNr = 0;
  discardNr = 0;
  normalLb = 0;
  allZeroLb = 0;
  discardLb = 0;
  dataSize = 0;

  add({ type }: Diff, { kind, blocks, bytes }: DiffRecord): void {
    if (kind === "zero") {
      this.allZeroNr += 1;
      this.allZeroLb += blocks;
    } else if (kind === "discard") {
      this.discardNr += 1;
      this.discardLb += blocks;
    } else {
      this.normalNr += 1;
      this.normalLb += blocks;
      // Records of an indexed diff share images: there it is the area of all images that counts.
      if (type === "sorted") this.dataSize += bytes;
    }
  }

  nextFile({ type, indexOffset }: Diff): void {
    if (type === "sorted") return;
    this.wdiffNr += 1;
    this.dataSize += indexOffset - WDIFF_HEADER_BYTES;
  }

  entries(): [string, number][] {
    const { wdiffNr, normalNr, allZeroNr, discardNr, normalLb, allZeroLb, discardLb, dataSize } = this;
    return Object.entries({
      wdiffNr,
      normalNr,
      allZeroNr,
      discardNr,
      normalLb,
      allZeroLb,
      discardLb,
      dataSize,
    });
  }
}

/** One line of a merge's statistics. */
export function mergeLine(name: string, files: number, counts: DiffCounts): string {
  const { normal, zero, discard, normalBlocks, zeroBlocks, discardBlocks, dataBytes } = counts;
  return `${name.padEnd(8)} wdiffNr ${files} nrN ${normal} nrZ ${zero} nrD ${discard}  lbN ${normalBlocks} lbZ ${zeroBlocks} lbD ${discardBlocks}  dataSize ${dataBytes}\n`;
}

/** What `wdiff redo` prints of what came in and what was written. */
export function ioLines(title: string, counts: DiffCounts): string {
  const { normal, zero, discard, normalBlocks, zeroBlocks, discardBlocks } = counts;
  const line = (name: string, value: number) => `${name.padEnd(14)}${value}\n`;
  return (
    `${title} statistics:\n` +
    line("nIoTotal:", normal + zero + discard) +
    line("  nIoNormal:", normal) +
    line("  nIoDiscard:", discard) +
    line("  nIoAllZero:", zero) +
    line("nBlocks:", normalBlocks + zeroBlocks + discardBlocks)
  );
}
