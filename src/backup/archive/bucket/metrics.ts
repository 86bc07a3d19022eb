/** What an archive with a bucket tells monitoring: how far the bucket is behind, and what went there. */
import type { Metrics } from "../../../core/metrics.ts";
import type { VolumeLag } from "../../bucket/uploader.ts";
import type { BucketHomes } from "./homes.ts";

export function bucketMetrics(metrics: Metrics, homes: BucketHomes): void {
  const lags = (of: (lags: VolumeLag[]) => number) => () => of(homes.uploader.lags());
  metrics.gauge(
    "node_x_archive_bucket_lag_seconds",
    "Age of the oldest diff that is not in the bucket.",
    lags((all) => Math.max(0, ...all.map(({ lagSeconds }) => lagSeconds))),
  );
  metrics.gauge(
    "node_x_archive_bucket_missing_diffs",
    "Diffs that are not in the bucket.",
    lags((all) => all.reduce((sum, { diffsMissing }) => sum + diffsMissing, 0)),
  );
  metrics.gauge(
    "node_x_archive_bucket_missing_bytes",
    "Bytes of those.",
    lags((all) => all.reduce((sum, { bytesMissing }) => sum + bytesMissing, 0)),
  );
  metrics.gauge(
    "node_x_archive_bucket_failing_volumes",
    "Volumes whose last upload failed.",
    lags((all) => all.filter(({ error }) => error !== undefined).length),
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
