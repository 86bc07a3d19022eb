/**
 * What a record store is: named channels of byte-string records that may expire, whose every change leaves an
 * effect.
 *
 * Two implementations keep this contract and are tested against each other: the C store (store.ts) and a
 * plain TypeScript model (channels/store-model.ts). Times are milliseconds since 1970 and always come from
 * the caller.
 */

export interface StoredRecord {
  key: Uint8Array;
  value: Uint8Array;
  /** 0: never. */
  expiresAtMs: number;
}

export interface ScanStep {
  /** 0 when the scan is complete. */
  cursor: number;
  records: StoredRecord[];
}

export interface StoreStats {
  records: number;
  keyBytes: number;
  valueBytes: number;
  /** Everything that the store took from the system for records, tables and indexes. */
  memoryBytes: number;
  memoryPeakBytes: number;
  /** Records removed because their time had come. */
  expired: number;
  /** Records that have an expiry. */
  expiring: number;
}

/** The memory limit was reached; nothing was changed. */
export class OutOfMemory extends Error {}

/** Where effects are malformed: byte offset of the first effect that could not be applied. */
export class MalformedEffects extends Error {
  readonly offset: number;
  constructor(offset: number) {
    super(`malformed effect at offset ${offset}`);
    this.offset = offset;
  }
}

export interface RecordChannel {
  readonly name: string;
  /** A record whose time has come (`expiresAtMs <= nowMs`) is absent, and removed when met by key. */
  get(key: Uint8Array, nowMs: number): StoredRecord | undefined;
  /** Creates or replaces. Throws OutOfMemory, or RangeError for a key or value that is too long. */
  put(key: Uint8Array, value: Uint8Array, expiresAtMs?: number): void;
  /**
   * Overwrites from `offset`, zero-fills a gap, keeps the expiry, creates the record. Returns the new length.
   */
  patch(key: Uint8Array, offset: number, bytes: Uint8Array, nowMs: number): number;
  remove(key: Uint8Array, nowMs: number): boolean;
  /** Sets (0: clears) the expiry. False when there is no such record. */
  expire(key: Uint8Array, expiresAtMs: number, nowMs: number): boolean;
  /** A few records from `cursor` on; 0 starts. A record present all the while is met at least once. */
  scan(cursor: number, nowMs: number): ScanStep;
  /** Records, including those whose time has come but that were not met since. */
  readonly records: number;
}

export interface RecordStore {
  channelNames(): string[];
  /** Undefined when it does not exist. */
  channel(name: string): RecordChannel | undefined;
  /** Creates it when it does not exist. Throws RangeError for a bad name, OutOfMemory. */
  openChannel(name: string): RecordChannel;
  /** False when it does not exist. The channel object is dead afterwards. */
  removeChannel(name: string): boolean;
  setLogging(isOn: boolean): void;
  /** The effects since the last call, which are then forgotten. */
  takeEffects(): Uint8Array;
  /** Applies effects without logging them; returns how many. Throws MalformedEffects. */
  replay(effects: Uint8Array): number;
  /** The whole state as put effects, in slices of about `sliceBytes`; writes may go on between slices. */
  exportSlices(sliceBytes?: number): Iterable<Uint8Array>;
  /** Background work of at most about `stepsMax` records; returns the steps taken. */
  tick(nowMs: number, stepsMax: number): number;
  stats(): StoreStats;
  close(): void;
}
