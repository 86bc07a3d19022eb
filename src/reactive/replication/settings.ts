/**
 * Usual sizes and times of a group, each with its reason.
 */
import type { ReplicaSettings } from "./types.ts";

const MEBIBYTE = 1024 * 1024;

export const replicaDefaults: Omit<ReplicaSettings, "replica" | "replicas"> = {
  heartbeatMs: 50,
  // Six heartbeats have to be missing: a busy event loop or a slow sync is no reason to change the primary.
  electionMinMs: 300,
  electionMaxMs: 600,
  leaseMs: 250,
  // Quartz is off by some ten parts per million; a suspended or badly disciplined clock may be worse by far.
  leaseMargin: 0.1,
  retryMs: 100,
  // Enough to keep disk and network busy at once; more would only make batches smaller.
  pipelineMax: 8,
  entryBytesMax: MEBIBYTE,
  entryRequestsMax: 4096,
  waitingBytesMax: 64 * MEBIBYTE,
  transferBytesMax: MEBIBYTE,
  retainEntriesMax: 20_000,
  retainBytesMax: 16 * MEBIBYTE,
  heldBytesMax: 256 * MEBIBYTE,
};
