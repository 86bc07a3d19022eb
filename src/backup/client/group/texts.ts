/** The values of the controller's library: options of transfers, and parsers of what servers print about points in time. */
import { NxError } from "../../../core/errors.ts";
import type { MetaDiff, MetaState, Snapshot } from "../../algebra/snapshot.ts";
import { compressionNames } from "../../formats/compression.ts";
import { parseTime } from "../../formats/units.ts";

/** `CompressOpt(kind, level, nrCpu)`. */
export class CompressOpt {
  readonly kind: (typeof compressionNames)[number];
  readonly level: number;
  readonly nrCpu: number;

  constructor(kind: (typeof compressionNames)[number] = "snappy", level = 0, nrCpu = 1) {
    this.kind = kind;
    this.level = level;
    this.nrCpu = nrCpu;
  }

  toString(): string {
    return `${this.kind}:${this.level}:${this.nrCpu}`;
  }
}

/** How an archive is sent to. */
export class SyncOpt {
  readonly cmprOpt: CompressOpt;
  readonly delayS: number;
  readonly maxWdiffMergeSizeU: string;
  readonly bulkSizeU: string;

  constructor({
    cmprOpt = new CompressOpt(),
    delayS = 0,
    maxWdiffMergeSizeU = "1G",
    bulkSizeU = "64K",
  }: { cmprOpt?: CompressOpt; delayS?: number; maxWdiffMergeSizeU?: string; bulkSizeU?: string } = {}) {
    this.cmprOpt = cmprOpt;
    this.delayS = delayS;
    this.maxWdiffMergeSizeU = maxWdiffMergeSizeU;
    this.bulkSizeU = bulkSizeU;
  }
}

function unreadable(what: string, text: string): NxError {
  return new NxError("NX_DATA_CORRUPT", `"${text}" is no ${what}`, { hint: "which server printed it?" });
}

const SNAP = String.raw`\|(\d+)(?:,(\d+))?\|`;

function snapshotFrom(begin: string | undefined, end: string | undefined): Snapshot {
  const from = BigInt(begin as string);
  return { begin: from, end: end === undefined ? from : BigInt(end) };
}

/** `|5|` or `|5,7|`. */
export function parseSnapshot(text: string): Snapshot {
  const match = new RegExp(`^${SNAP}$`).exec(text);
  if (match === null) throw unreadable("snapshot", text);
  return snapshotFrom(match[1], match[2]);
}

/** `|0|-->|1| M- 2026-11-22T08:22:06 4128`. */
export function parseDiff(text: string): MetaDiff {
  const match = new RegExp(`^${SNAP}-->${SNAP} ([M-])([C-]) (\\S+) (\\d+)$`).exec(text);
  const timestamp = match?.[7] === "---" ? 0 : parseTime(match?.[7] ?? "");
  if (match === null || timestamp === undefined) throw unreadable("diff", text);
  return {
    from: snapshotFrom(match[1], match[2]),
    to: snapshotFrom(match[3], match[4]),
    isMergeable: match[5] === "M",
    isComparison: match[6] === "C",
    timestamp,
    dataBytes: Number(match[8]),
  };
}

/** `<|5|>-20261122082206` or `<|5|-->|7|>-…`. */
export function parseMetaState(text: string): MetaState {
  const match = new RegExp(`^<${SNAP}(?:-->${SNAP})?>-(\\d{14})$`).exec(text);
  const timestamp = parseTime(match?.[5] ?? "");
  if (match === null || timestamp === undefined) throw unreadable("state", text);
  const from = snapshotFrom(match[1], match[2]);
  const isApplying = match[3] !== undefined;
  return { isApplying, timestamp, from, to: isApplying ? snapshotFrom(match[3], match[4]) : from };
}

/** A running job of an archive, as `get all-actions` tells: how many, and when the last one began (0: never). */
export type ActionInfo = Record<string, { count: number; timestamp: number }>;

/** `vol1 Merge 0 --- Apply 1 2026-11-22T08:22:06 …`. */
export function parseActions(line: string): [volume: string, actions: ActionInfo] {
  const [volume = "", ...words] = line.split(" ");
  const actions: ActionInfo = {};
  for (let index = 0; index + 2 < words.length; index += 3) {
    const [name, count, time = ""] = words.slice(index, index + 3) as [string, string, string];
    actions[name] = { count: Number(count), timestamp: parseTime(time) ?? 0 };
  }
  return [volume, actions];
}

/** A line of `get restorable`. */
export interface GidInfo {
  gid: bigint;
  timestamp: number;
  isExplicit: boolean;
}

export function parseGidInfo(text: string): GidInfo {
  const match = /^(\d+) (\S+) ([01])$/.exec(text);
  const timestamp = match?.[2] === "---" ? 0 : parseTime(match?.[2] ?? "");
  if (match === null || timestamp === undefined) throw unreadable("point in time", text);
  return { gid: BigInt(match[1] as string), timestamp, isExplicit: match[3] === "1" };
}
