/** Where a delivering sink brings the output of a checkpoint. */
export interface Target {
  /**
   * Brings the records of one checkpoint there, in their order; resolves when they are safe. Is called again, with the same
   * ones, after it failed, and after a crash that came before the worker had noted the delivery.
   */
  deliver(checkpoint: number, records: readonly Uint8Array[]): Promise<void>;
  /** What a checkpoint keeps of the target, asked for at its barrier; JSON. Absent: nothing. */
  position?(): unknown;
  /** The worker goes on behind a checkpoint that kept this; undefined: it begins. */
  resume?(position: unknown): void;
  close(): Promise<void>;
}

/** A record of a target that stores by key: what stands before the first TAB, and the rest. */
export function keyedRecord(record: Uint8Array): { key: string; value: Uint8Array } {
  const tab = record.indexOf(9);
  const key = Buffer.from(tab < 0 ? record : record.subarray(0, tab)).toString();
  return { key, value: tab < 0 ? new Uint8Array(0) : record.subarray(tab + 1) };
}
