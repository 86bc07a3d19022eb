/** What an archive with a bucket tells monitoring: how far the bucket is behind, and what went there. */
import type { Metrics } from "../../../core/metrics.ts";
import type { VolumeLag } from "../../bucket/uploader.ts";
import type { BucketHomes } from "./homes.ts";

/** How far the bucket is behind in all; nothing without one. */
export function bucketLag(homes: BucketHomes | undefined): { lagSeconds: number; missingDiffs: number } {
  const lags = homes?.uploader.lags() ?? [];
  return {
    lagSeconds: Math.max(0, ...lags.map(({ lagSeconds }) => lagSeconds)),
    missingDiffs: lags.reduce((sum, { diffsMissing }) => sum + diffsMissing, 0),
  };
}

export function bucketMetrics(metrics: Metrics, homes: BucketHomes | undefined): void {
  metrics.gauge(
    "node_x_archive_bucket_lag_seconds",
    "Age of the oldest diff that is not in the bucket; 0 without a bucket.",
    () => bucketLag(homes).lagSeconds,
  );
  metrics.gauge(
    "node_x_archive_bucket_missing_diffs",
    "Diffs that are not in the bucket; 0 without a bucket.",
    () => bucketLag(homes).missingDiffs,
  );
  if (homes === undefined) return;
  const sum = (of: (lag: VolumeLag) => number) => () =>
    homes.uploader.lags().reduce((total, lag) => total + of(lag), 0);
  metrics.gauge(
    "node_x_archive_bucket_missing_bytes",
    "Bytes of those diffs.",
    sum(({ bytesMissing }) => bytesMissing),
  );
  metrics.gauge(
    "node_x_archive_bucket_failing_volumes",
    "Volumes whose last upload failed.",
    sum(({ error }) => (error === undefined ? 0 : 1)),
  );
  metrics.counterFrom(
    "node_x_archive_bucket_put_bytes_total",
    "Bytes sent to the bucket.",
    () => homes.stats().bytesPut,
  );
  metrics.counterFrom(
    "node_x_archive_bucket_read_bytes_total",
    "Bytes read from the bucket.",
    () => homes.stats().bytesRead,
  );
}
