/**
 * Where the originals keep a record: `<channel>/<slot>/<bucket>`.
 *
 * The slot is the top 40 bits of the key as 10 lower-case hex digits, the bucket the next 12 bits as 3; the low 12 bits
 * vary inside a bucket. Everywhere else here "bucket" is both together: key >> 12.
 */
const SLOT = /^[0-9a-f]{10}$/;
const BUCKET = /^[0-9a-f]{3}$/;

export const slotName = (bucket: number) =>
  Math.floor(bucket / 4096)
    .toString(16)
    .padStart(10, "0");
export const bucketName = (bucket: number) => (bucket % 4096).toString(16).padStart(3, "0");

/** `<slot>/<bucket>` */
export const bucketPath = (bucket: number) => `${slotName(bucket)}/${bucketName(bucket)}`;

export function parseSlot(name: string): number | undefined {
  return SLOT.test(name) ? Number.parseInt(name, 16) : undefined;
}

/** Undefined for names that are no bucket's, such as one that was compressed (`f0a.gz`). */
export function parseBucket(slot: number, name: string): number | undefined {
  return BUCKET.test(name) ? slot * 4096 + Number.parseInt(name, 16) : undefined;
}

export const firstKey = (bucket: number): bigint => BigInt(bucket) << 12n;
