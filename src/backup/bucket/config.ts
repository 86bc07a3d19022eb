/** The keys of an archive's bucket. Only declarations. */
import { z } from "zod";
import { filePath, integer, key } from "../../core/config/schema.ts";
import { PART_BYTES_MAX, PART_BYTES_MIN } from "./part-table.ts";

const MEBIBYTE = 1 << 20;

export const bucketConfig = z.strictObject({
  url: key(
    z
      .string()
      .regex(/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[^?#]*)?$/)
      .meta({ wanted: "s3://BUCKET/PREFIX" }),
    "The bucket, and the prefix below which this archive alone writes.",
    { example: "s3://backups/archive0" },
  ),
  mode: key(
    z.enum(["second", "primary"]).default("second"),
    "second: the archive keeps everything on its own disk, and the bucket follows. primary: bases and diffs are in the bucket, the disk holds what is used just then.",
  ),
  endpoint: key(
    z
      .string()
      .regex(/^https?:\/\/[^/?#\s]+$/)
      .meta({ wanted: "https://HOST or https://HOST:PORT" })
      .optional(),
    "The store. http:// sends data and signatures in the clear.",
    { absent: "AWS, in the region", example: "https://s3.example:9000" },
  ),
  region: key(
    z
      .string()
      .regex(/^[a-z0-9-]{1,64}$/)
      .optional(),
    "The region that requests are signed for.",
    {
      absent: "what the endpoint says, or auto",
      example: "eu-central-1",
    },
  ),
  addressing: key(
    z.enum(["path", "host"]).default("path"),
    "path: https://HOST/BUCKET/KEY. host: https://BUCKET.HOST/KEY.",
  ),
  credentialsFile: key(
    filePath().optional(),
    'File with {"accessKeyId": "…", "secretAccessKey": "…"}, and "sessionToken" where there is one. Must not be readable by other users.',
    {
      fileKind: "secrets",
      absent: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment",
      example: "bucket.json",
    },
  ),
  partBytes: key(
    integer(4 * MEBIBYTE, { min: PART_BYTES_MIN, max: PART_BYTES_MAX }),
    "Files are cut into objects of this size. Larger ones are fewer requests, and more memory.",
  ),
  uploadsAtOnce: key(integer(4, { min: 1, max: 64 }), "Objects that are sent at the same time."),
  timeoutMs: key(
    integer(60_000, { min: 100, max: 3_600_000 }),
    "A request that takes longer counts as failed and is repeated.",
  ),
  intervalMs: key(integer(1000, { min: 10, max: 3_600_000 }), "How often is looked for something to upload."),
  keepUnused: key(
    z
      .string()
      .regex(/^(\d{1,9}[smhd]?|\d{1,3}:\d\d:\d\d)$/)
      .meta({ wanted: "a period such as 90, 30m, 6h, 14d or 12:00:00" })
      .default("1d"),
    "Objects that no manifest names any more stay for this long, for restores that are under way.",
  ),
  cacheBytesMax: key(
    integer(10 * 1024 * MEBIBYTE, { min: MEBIBYTE }),
    "primary: what of the bucket is kept on the disk at most, beside what is not uploaded yet.",
  ),
  takesOver: key(
    z.boolean().default(false),
    "Go on where an archive of another name has written. Only when that one is gone for good.",
  ),
});

export type BucketConfig = z.output<typeof bucketConfig>;
