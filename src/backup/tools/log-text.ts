/** Logs as the original's tools print them, one line for a header, a pack, a record. */
import type { LogFileHeader } from "../../native/blocks.ts";
import type { LogPack, LogRecord } from "../formats/log-packs.ts";
import { uuidText } from "../formats/units.ts";

const right = (value: number | bigint, width: number) => String(value).padStart(width);
export const hex = (value: number) => value.toString(16).padStart(8, "0");

export function headerLine({ salt, physicalBytes, uuid, firstLsid, endLsid }: LogFileHeader): string {
  return `wlog_h: ver ${right(2, 3)} pbs ${right(physicalBytes, 4)} salt ${hex(salt)} uuid ${uuidText(uuid)} lsid ${firstLsid} ${endLsid}`;
}

export function packLine({ lsid, total, records, padding, checksum }: LogPack): string {
  return `wlog_p: lsid ${right(lsid, 10)} total ${right(total, 4)} n_rec ${right(records.length, 2)} n_pad ${right(padding, 2)} csum ${hex(checksum)}`;
}

export function recordLine(pack: LogPack, record: LogRecord): string {
  const { position, address, blocks, isPadding, isDiscard, checksum } = record;
  const flags = `E${isPadding ? "P" : "-"}${isDiscard ? "D" : "-"}`;
  return `wlog_r: lsid ${right(pack.lsid + BigInt(position), 10)} ${right(position, 4)} io ${right(address, 10)} ${right(blocks, 4)} flags ${flags} csum ${hex(checksum)}`;
}

export function packLines(pack: LogPack): string {
  return [packLine(pack), ...pack.records.map((record) => recordLine(pack, record))]
    .map((line) => `${line}\n`)
    .join("");
}

/** What a log holds; a name and a number for each line of `-stat`. */
export class LogStatistics {
  nrPacks = 0;
  normalLb = 0;
  discardLb = 0;
  paddingPb = 0;
  endLsid: bigint;
  readonly #header: LogFileHeader;

  constructor(header: LogFileHeader) {
    this.#header = header;
    this.endLsid = header.firstLsid;
  }

  add(pack: LogPack): void {
    this.nrPacks += 1;
    this.endLsid = pack.lsid + 1n + BigInt(pack.total);
    for (const { isPadding, isDiscard, blocks, physicalBlocks } of pack.records) {
      if (isPadding) this.paddingPb += physicalBlocks;
      else if (isDiscard) this.discardLb += blocks;
      else this.normalLb += blocks;
    }
  }

  entries(): [string, string][] {
    const { firstLsid, endLsid } = this.#header;
    const { nrPacks, normalLb, discardLb, paddingPb } = this;
    const all = {
      bgnLsid: firstLsid,
      endLsid,
      reallyEndLsid: this.endLsid,
      nrPacks,
      normalLb,
      discardLb,
      paddingPb,
    };
    return Object.entries(all).map(([name, value]) => [name, String(value)]);
  }
}
