/** The keys of an archive's bucket. Only declarations. */
import { z } from "zod";
import { crossCheck, filePath, integer, isLoopback, key } from "../../core/config/schema.ts";
import { PART_BYTES_MAX, PART_BYTES_MIN } from "./part-table.ts";

const MEBIBYTE = 1 << 20;

const hostOf = (endpoint: string) => new URL(endpoint).hostname.replace(/^\[|\]$/g, "");

const bucketKeys = z.strictObject({
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
    "With second, the archive keeps everything on its own disk and the bucket follows. With primary, bases and diffs are in the bucket, nothing is acknowledged before it is there, and the disk holds what is used just then.",
  ),
  endpoint: key(
    z
      .string()
      .regex(/^https?:\/\/[^/?#\s]+$/)
      .meta({ wanted: "https://HOST or https://HOST:PORT" })
      .optional(),
    "The store. Beyond loopback http:// needs allowsPlain.",
    { absent: "AWS, in the region", example: "https://s3.example:9000" },
  ),
  allowsPlain: key(
    z.boolean().default(false),
    "Speak http:// to a store on another host: everybody between reads what is backed up.",
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
    "Where the bucket's name goes: https://HOST/BUCKET/KEY (path) or https://BUCKET.HOST/KEY (host).",
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
    "With primary: what of the bucket is kept on the disk at most, beside what is not uploaded yet and restored images.",
  ),
  takesOver: key(
    z.boolean().default(false),
    "Go on where an archive of another name has written. Only when that one is gone for good.",
  ),
});

export const bucketConfig = crossCheck(bucketKeys, {
  path: ["endpoint"],
  wanted: "https://, an address of loopback, or allowsPlain beside it",
  holds: (value) => {
    const { endpoint, allowsPlain } = value as Partial<z.output<typeof bucketKeys>>;
    return (
      endpoint === undefined ||
      endpoint.startsWith("https://") ||
      allowsPlain === true ||
      isLoopback(hostOf(endpoint))
    );
  },
});

export type BucketConfig = z.output<typeof bucketConfig>;
