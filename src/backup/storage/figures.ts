/** What a storage says of itself in `/stats` and as metrics. */
import type { Metrics } from "../../core/metrics.ts";
import type { Lag } from "./lag.ts";
import type { Shipper } from "./shipper.ts";
import type { StorageVolume } from "./volume.ts";
import type { Volumes } from "../volume/volumes.ts";

export interface FigureSources {
  volumes: Volumes;
  backups: ReadonlyMap<string, StorageVolume>;
  shipper(volume: StorageVolume): Shipper | undefined;
  lag: Lag;
}

export function volumeFigures({ volumes, backups, shipper, lag }: FigureSources) {
  return [...volumes.all.values()].map(({ engine, clients }) => {
    const backup = [...backups.values()].find((each) => each.engine === engine);
    const sender = backup && shipper(backup);
    return {
      ...engine.figures(),
      clients,
      backup: backup?.name,
      isOverflow: backup?.isOverflow ?? false,
      state: backup?.state ?? "Clear",
      queuedMarks: backup?.queue.length ?? 0,
      shippedLogs: sender?.shippedLogs ?? 0,
      shippedBytes: sender?.shippedBytes ?? 0,
      shipError: sender?.lastError,
      lagSeconds: backup && lag.seconds(backup.name),
    };
  });
}

/** What must be looked at, for `/readyz` and the overview. */
export function troubles(sources: FigureSources): string[] {
  const homeless = [...sources.backups.values()].filter(({ engine }) => engine === undefined);
  const missing = homeless.map(
    ({ name, path }) => `${name} cannot be backed up: the volume ${path} is not there`,
  );
  const found = volumeFigures(sources).flatMap(({ name, failure, stalled, isOverflow, state }) => [
    ...(failure === undefined ? [] : [`${name} has failed: ${failure}`]),
    ...(stalled === undefined ? [] : [`${name} is stalled: ${stalled}`]),
    ...(isOverflow && state !== "Clear"
      ? [`the log of ${name} has overflowed: reset-vol, then hash-bkp`]
      : []),
  ]);
  return [...missing, ...found];
}

export function storageMetrics(metrics: Metrics, sources: FigureSources): void {
  const sum = (figure: (each: ReturnType<typeof volumeFigures>[number]) => number) => () =>
    volumeFigures(sources).reduce((total, each) => total + figure(each), 0);
  metrics.counterFrom("node_x_storage_reads_total", "Reads of NBD clients.", sum(({ reads }) => reads));
  metrics.counterFrom("node_x_storage_writes_total", "Writes of NBD clients.", sum(({ writes }) => writes));
  metrics.counterFrom("node_x_storage_read_bytes_total", "Bytes of those reads.", sum(({ readBytes }) => readBytes));
  metrics.counterFrom("node_x_storage_written_bytes_total", "Bytes of those writes.", sum(({ writtenBytes }) => writtenBytes));
  metrics.counterFrom("node_x_storage_flushes_total", "Flushes of NBD clients.", sum(({ flushes }) => flushes));
  metrics.counterFrom("node_x_storage_shipped_bytes_total", "Log that proxies have acknowledged.", sum(({ shippedBytes }) => shippedBytes));
  metrics.gauge("node_x_storage_log_used_bytes", "Log that is not shipped yet, of all volumes.", sum(({ logUsedBytes }) => logUsedBytes));
  metrics.gauge("node_x_storage_log_overflows", "Volumes whose log has overflowed: they need a hash backup.", sum(({ isOverflow, state }) => (isOverflow && state !== "Clear" ? 1 : 0)));
  metrics.gauge("node_x_storage_held_requests", "Writes that wait for room in a log.", sum(({ heldRequests }) => heldRequests));
  metrics.gauge("node_x_storage_failed_volumes", "Volumes that ended with a disk error.", sum(({ failure }) => (failure === undefined ? 0 : 1)));
} // prettier-ignore
