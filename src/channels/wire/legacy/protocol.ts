/**
 * Codes, statuses and the rule of ownership of the legacy swarm protocol.
 *
 * A request is an i32 code and its fields, an answer an i32 status and, after 200, its fields; an array is a u64
 * length and its bytes. All integers are little-endian.
 */
import type { KeepAlive } from "../../../core/seams/net.ts";

export const Command = {
  Put: 1,
  Get: 7,
  Exists: 11,
  Remove: 12,
  GetChannels: 17,
  GetChannelSize: 18,
  GetSize: 19,
  GetResponsibleRange: 20,
  RemoveChannel: 22,
  GetNumConnections: 23,
  GetVersion: 24,
  Listen: 25,
  GetAll: 29,
  GetAllKeys: 30,
  GetAllFilter: 31,
  Redistribute: 33,
  PutBatch: 34,
} as const;

/** Codes of the queue node. */
export const QueueCommand = {
  Push: 1,
  Pop: 2,
  GetChannels: 3,
  GetChannelSize: 4,
  GetSize: 5,
  Consume: 6,
  GetSizeLimit: 7,
  GetNumConnections: 8,
  PushMulti: 9,
  Produce: 10,
  ProduceMulti: 11,
  RemoveChannel: 12,
} as const;

export const Status = {
  Ok: 200,
  InvalidRequest: 400,
  WrongNode: 404,
  NotSupported: 406,
  OutOfMemory: 407,
  EmptyValue: 408,
  BadChannelName: 409,
  ValueTooBig: 410,
  Error: 500,
} as const;

/** What GetVersion answers; a client works with a node of the same version only. */
export const PROTOCOL_VERSION = "20110401";

/** How the originals look whether a silent client is still there. */
export const SWARM_KEEP_ALIVE: KeepAlive = { idleSeconds: 5, intervalSeconds: 3, probes: 3 };

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** Reverses the 64 bits of a key: ranges of nodes are compared with the result. */
export function reverseBits(key: bigint): bigint {
  let result = 0n;
  for (let bit = 0; bit < 64; bit++) result = (result << 1n) | ((key >> BigInt(bit)) & 1n);
  return result;
}

/** Inclusive. min > max: no key at all. */
export interface Range {
  min: bigint;
  max: bigint;
}

export const isInRange = (key: bigint, { min, max }: Range): boolean => {
  const place = reverseBits(key);
  return min <= place && place <= max;
};

/** Whether the ranges cover every hash exactly once; empty ranges are left out. */
export function doTile(ranges: readonly Range[]): boolean {
  const parts = ranges.filter(({ min, max }) => min <= max).sort((a, b) => (a.min < b.min ? -1 : 1));
  let next = 0n;
  for (const { min, max } of parts) {
    if (min !== next) return false;
    next = max + 1n;
  }
  return next === U64_MAX + 1n;
}

/** 16 hex digits, most significant first. */
export const keyText = (key: bigint): string => key.toString(16).padStart(16, "0");
