/**
 * For how long a shard remembers what. Part of the replicated state: what is forgotten decides what is answered, so all replicas of
 * a group forget alike, whatever their files say.
 */
import type { ByteReader, ByteWriter } from "../wire/bytes.ts";

export interface Retention {
  /** Versions are kept for readers at timestamps that were issued this long ago. */
  retentionMs: number;
  /** A client that was silent this long will not ask for its outcomes again. */
  outcomeRetentionMs: number;
  /** The same for one that keeps a log. */
  keptOutcomeRetentionMs: number;
}

/** Until the group has been told: nothing is forgotten. */
export const FORGET_NOTHING: Retention = {
  retentionMs: Number.MAX_SAFE_INTEGER,
  outcomeRetentionMs: Number.MAX_SAFE_INTEGER,
  keptOutcomeRetentionMs: Number.MAX_SAFE_INTEGER,
};

export const retentionOf = ({
  retentionMs,
  outcomeRetentionMs,
  keptOutcomeRetentionMs,
}: Retention): Retention => ({ retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs });

/** The keys in which they differ. */
export function differences(one: Retention, other: Retention): (keyof Retention)[] {
  const keys = ["retentionMs", "outcomeRetentionMs", "keptOutcomeRetentionMs"] as const;
  return keys.filter((key) => one[key] !== other[key]);
}

/** u64 each. */
export function writeRetention(writer: ByteWriter, retention: Retention): void {
  const { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs } = retention;
  writer.u64(retentionMs).u64(outcomeRetentionMs).u64(keptOutcomeRetentionMs);
}

/** Throws WireError. */
export function readRetention(reader: ByteReader): Retention {
  return {
    retentionMs: reader.u64(),
    outcomeRetentionMs: reader.u64(),
    keptOutcomeRetentionMs: reader.u64(),
  };
}
