/**
 * The shape of a database: a table of buckets, all of one length, or in a batch layout many small such tables.
 *
 * A record lies in the bucket that a public hash of its id names. In the batch layout it lies in three of the
 * `partitions` tables, chosen by the same hash; a client then needs one bucket of each partition instead of one hundred
 * of the whole.
 *
 *   digest      = SHA-256(prf key ‖ id)
 *   bucket      = bytes 0-7, little-endian, modulo the number of buckets
 *   partitions  = bytes 8-11, 12-15, 16-19, little-endian, modulo the number of partitions; one that is taken by
 *                 an earlier choice moves up to the next free number
 *
 * A row of the data file is a bucket (records right-aligned, zeros before them), then its Merkle path (version 3).
 */
import { concat, viewOf } from "./bytes.ts";
import type { Primitives } from "./primitives.ts";

/** What a row's place and length depend on. */
export interface Layout {
  partitions: number;
  /** Buckets in each partition. */
  rows: number;
  /** Records in each bucket. */
  bucketSize: number;
  recordBytes: number;
  /** Behind the records of a bucket; 0 before version 3. */
  proofBytes: number;
}

/** Tables that a record lies in, in the batch layout. */
export const PARTITION_CHOICES = 3;

export const rowBytes = ({ bucketSize, recordBytes, proofBytes }: Layout): number =>
  bucketSize === 0 ? 0 : bucketSize * recordBytes + proofBytes;

export const dataBytes = (layout: Layout): number => layout.partitions * layout.rows * rowBytes(layout);

export const isBatched = ({ partitions }: Pick<Layout, "partitions">): boolean => partitions > 1;

/** Partitions for clients with `maxBuddies` friends: at 1.5 times as many, three choices nearly always suffice. */
export const partitionsFor = (maxBuddies: number): number => Math.ceil(1.5 * maxBuddies);

/** Queries that every lookup sends, whatever the user's list of friends is. */
export const queryCount = (layout: Pick<Layout, "partitions">, maxBuddies: number): number =>
  isBatched(layout) ? layout.partitions : maxBuddies;

/** The square root of the table: what makes sending a query and its answer cost the least together. */
export function bucketCount(records: number, recordBytes: number): number {
  return Math.max(1, Math.ceil(Math.sqrt(Math.max(records, 1) * recordBytes)));
}

export interface Place {
  bucket: number;
  /** One partition, or the three choices. */
  partitions: number[];
}

/** Where records with this id lie. */
export function placeOf(
  primitives: Pick<Primitives, "sha256">,
  prfKey: Uint8Array,
  id: Uint8Array,
  { rows, partitions }: Pick<Layout, "rows" | "partitions">,
): Place {
  const view = viewOf(primitives.sha256(concat(prfKey, id)));
  const bucket = Number(view.getBigUint64(0, true) % BigInt(Math.max(rows, 1)));
  if (partitions <= 1) return { bucket, partitions: [0] };
  const chosen: number[] = [];
  for (let choice = 0; choice < PARTITION_CHOICES; choice++) {
    let partition = view.getUint32(8 + 4 * choice, true) % partitions;
    while (chosen.includes(partition)) partition = (partition + 1) % partitions;
    chosen.push(partition);
  }
  return { bucket, partitions: chosen };
}
