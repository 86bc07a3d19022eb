/**
 * How far an instance is behind what it follows, beyond what is usual: archives, buckets, mirrors, epochs, checkpoints.
 * (Replicas of a group are compared with each other: replication-lag.ts.)
 */
import { durationText } from "../core/duration-text.ts";
import { isRecord } from "../core/watch/answer-shape.ts";
import type { Watched } from "../core/watch/watched.ts";
import { numberAt } from "./figures.ts";

export const lagLimits = {
  archiveSeconds: 900,
  bucketSeconds: 900,
  mirrorBytes: 64 * 1024 * 1024,
  epochs: 1,
  checkpointSeconds: 60,
} as const;

type Own = Record<string, unknown>;

interface LagKind {
  role: string;
  /** Nothing, when the instance does not say. */
  read(own: Own, newestEpoch: number): number | undefined;
  /** More than this is a lag. */
  limit: number;
  /** `archive is 20 min behind`. */
  text(value: number): string;
}

function largestOfVolumes({ volumes }: Own, path: string): number {
  const all = Array.isArray(volumes) ? volumes.filter(isRecord) : [];
  return Math.max(0, ...all.map((volume) => numberAt(volume, path) ?? 0));
}

const kinds: readonly LagKind[] = [
  {
    role: "storage",
    read: (own) => largestOfVolumes(own, "lagSeconds"),
    limit: lagLimits.archiveSeconds,
    text: (seconds) => `archive is ${durationText(seconds)} behind`,
  },
  {
    role: "archive",
    read: (own) => numberAt(own, "bucketLagSeconds"),
    limit: lagLimits.bucketSeconds,
    text: (seconds) => `bucket is ${durationText(seconds)} behind`,
  },
  {
    role: "dht",
    read: (own) => numberAt(own, "mirror.follower.behindBytes"),
    limit: lagLimits.mirrorBytes,
    text: (bytes) => `copy is ${Math.round(bytes / 2 ** 20)} MiB behind`,
  },
  {
    role: "lookup",
    read: (own, newestEpoch) => newestEpoch - (numberAt(own, "epoch") ?? newestEpoch),
    limit: lagLimits.epochs,
    text: (epochs) => `epoch is ${epochs} behind`,
  },
  {
    role: "worker",
    read: (own) => (numberAt(own, "cluster.checkpointAgeMs") ?? 0) / 1000,
    limit: lagLimits.checkpointSeconds,
    text: (seconds) => `checkpoint is ${durationText(seconds)} old`,
  },
];

/** The newest epoch that anybody serves. */
export function newestEpochOf(watched: readonly Watched[]): number {
  return Math.max(0, ...watched.map(({ latest }) => numberAt(latest?.answer.own, "epoch") ?? 0));
}

/** What an instance lags in; undefined while that is nothing to look at. */
export function lagOf({ snapshot, latest }: Watched, newestEpoch: number): string | undefined {
  const kind = kinds.find(({ role }) => role === snapshot.role);
  if (kind === undefined || latest === undefined) return undefined;
  const value = kind.read(latest.answer.own, newestEpoch);
  return value !== undefined && value > kind.limit ? kind.text(value) : undefined;
}
