/** What others read of this family's metrics protocol: the hub takes what workers tell (../wire/metrics.ts draws the bytes). */
export { FrameReader } from "../wire/frame.ts";
export {
  HISTOGRAM_BINS,
  METRICS_BODY_BYTES_MAX,
  type MetricsEntry,
  metricsFrame,
  readMetrics,
} from "../wire/metrics.ts";
