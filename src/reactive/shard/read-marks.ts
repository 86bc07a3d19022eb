/**
 * The largest timestamp at which each key was read. Keys share slots, so a mark may be larger than a key's own, never smaller: what
 * asks here is only refused more often.
 */
import type { ByteReader, ByteWriter } from "../wire/bytes.ts";

const SLOTS = 1 << 12;

export class ReadMarks {
  readonly #slots = new Float64Array(SLOTS);

  of(key: Uint8Array): number {
    return this.#slots[slotOf(key)] as number;
  }

  mark(key: Uint8Array, timestamp: number): void {
    const slot = slotOf(key);
    if (timestamp > (this.#slots[slot] as number)) this.#slots[slot] = timestamp;
  }

  clear(): void {
    this.#slots.fill(0);
  }

  /** u32 count, then slot u32 and timestamp u64 each: those above `horizon`. */
  write(writer: ByteWriter, horizon: number): void {
    const kept = [...this.#slots.entries()].filter(([, timestamp]) => timestamp > horizon);
    writer.u32(kept.length);
    for (const [slot, timestamp] of kept) writer.u32(slot).u64(timestamp);
  }

  static read(reader: ByteReader): ReadMarks {
    const marks = new ReadMarks();
    for (let left = reader.count(12, SLOTS); left > 0; left--)
      marks.#slots[reader.u32() & (SLOTS - 1)] = reader.u64();
    return marks;
  }
}

/** FNV-1a, folded. */
export function slotOf(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.byteLength; index++)
    hash = Math.imul(hash ^ (key[index] as number), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
