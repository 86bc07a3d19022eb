/**
 * What an owner of a log gives and gets: settings, callbacks, figures.
 */
import type { Clock } from "../seams/clock.ts";
import type { Crc32c } from "../crc32c.ts";
import type { Disk } from "../seams/disk.ts";
import type { NxError } from "../errors.ts";
import type { Random } from "../seams/random.ts";

/** `full`: nothing is lost or acknowledged, it resumes by itself. `failed` and `closed` are final. */
export type LogState = "open" | "full" | "failed" | "closed";

export interface LogListener {
  /** Everything up to `position` survives power loss. Called once per group, never from inside `append`. */
  onDurable(position: number): void;
  /** `error` says why for "full" and "failed"; after "failed" the owner must stop. */
  onState?(state: LogState, error: NxError | undefined): void;
  /** Appends are welcome again after `isCongested` was true. */
  onDrain?(): void;
  /** One group was synced: for a histogram. */
  onGroup?(payloadBytes: number, durationMs: number): void;
}

export interface LogOptions {
  disk: Disk;
  clock: Clock;
  random: Random;
  crc32c: Crc32c;
  /** Created when missing. Holds nothing but this log. */
  directory: string;
  /** Version of the owner's payloads; another one is refused with NX_DATA_VERSION. */
  payloadFormat: number;
  listener: LogListener;
  /** Who appends waits until it is told, then appends again, as clients do: see cohort.ts. */
  servesClients?: boolean;
  /** A group takes appends up to this size (a larger single append makes a group of its own). */
  groupBytesMax?: number;
  /** The first segment after a start; each further one is twice as large, up to `segmentBytesMax`. */
  segmentBytesMin?: number;
  segmentBytesMax?: number;
  /** Idle time after which the last group is sealed. */
  sealDelayMs?: number;
  /** Pause between two attempts while the disk is full. */
  retryDelayMs?: number;
  /** Read at once while replaying. */
  readChunkBytes?: number;
}

export const defaults = {
  servesClients: false,
  groupBytesMax: 4 << 20,
  segmentBytesMin: 1 << 20,
  segmentBytesMax: 64 << 20,
  sealDelayMs: 50,
  retryDelayMs: 1000,
  readChunkBytes: 4 << 20,
};

export type Settings = LogOptions & typeof defaults;

export interface LogStats {
  state: LogState;
  position: number;
  durablePosition: number;
  /** Sequence of the segment that is written; 0 while there was no space to begin one. */
  segment: number;
  /** Frames behind the newest snapshot, in bytes. */
  logBytes: number;
  snapshotBytes: number;
  /** Groups synced since the start. */
  groups: number;
  /** True when no space could be allocated for the next segment: the disk is about to be full. */
  isSpaceShort: boolean;
  isCompacting: boolean;
  /** Of the torn tail that was cut at the start, in `tornPath`. */
  tornBytes: number;
  tornPath: string | undefined;
}
