/**
 * Where a bucket is: the key `bucket` of a configuration, or `s3://BUCKET/PREFIX` on a command line; and who asks.
 *
 * Invariant: secrets come from a private file or from the environment of the process, never from argv, and are in no
 * message. The file is JSON: `{ "accessKeyId": …, "secretAccessKey": …, "sessionToken": … }`.
 */
import { z } from "zod";
import { NxError } from "../../core/errors.ts";
import { readPrivateFile } from "../../core/secret-file.ts";
import type { BucketPlace } from "../../core/seams/object-store.ts";

const FILE_BYTES_MAX = 64 << 10;

const credentialsFile = z.strictObject({
  accessKeyId: z.string().min(1),
  secretAccessKey: z.string().min(1),
  sessionToken: z.string().min(1).optional(),
});

type Credentials = z.output<typeof credentialsFile>;
type Environment = Readonly<Record<string, string | undefined>>;

function unusable(path: string, what: string): NxError {
  return new NxError("NX_SECRET_UNUSABLE", `${path}, ${what}`, {
    hint: 'wanted {"accessKeyId": "…", "secretAccessKey": "…"} as JSON, mode 0600',
  });
}

/** Throws NX_SECRET_UNUSABLE, with nothing of the content. */
export function readCredentials(path: string): Credentials {
  const text = readPrivateFile(path, FILE_BYTES_MAX);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unusable(path, "which is not JSON");
  }
  const parsed = credentialsFile.safeParse(value);
  if (parsed.success) return parsed.data;
  const keys = parsed.error.issues.map(({ path: at }) => at.join(".") || "the whole").join(", ");
  throw unusable(path, `which is not the credentials of a bucket (see ${keys})`);
}

/** The credentials of a file, or those that the environment has under the names that S3 tools use. */
export function credentialsOf(file: string | undefined, environment: Environment): Credentials {
  if (file !== undefined) return readCredentials(file);
  const [accessKeyId, secretAccessKey, sessionToken] = [
    environment.AWS_ACCESS_KEY_ID,
    environment.AWS_SECRET_ACCESS_KEY,
    environment.AWS_SESSION_TOKEN,
  ];
  if (!accessKeyId || !secretAccessKey)
    throw new NxError("NX_SECRET_UNUSABLE", "there are no credentials for the bucket", {
      hint: "name a file of them (bucket.credentialsFile, -credentials FILE), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    });
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

/** `s3://BUCKET[/PREFIX]`. Undefined for anything else. */
export function parseBucketUrl(text: string): { bucket: string; prefix: string } | undefined {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([^?#]*))?$/.exec(text);
  if (match === null) return undefined;
  return { bucket: match[1] as string, prefix: (match[2] ?? "").replace(/^\/+|\/+$/g, "") };
}

export interface PlaceWords {
  url: string;
  endpoint?: string | undefined;
  region?: string | undefined;
  addressing: "path" | "host";
  timeoutMs: number;
  credentialsFile?: string | undefined;
}

/** Throws NX_USAGE for what is no URL of a bucket, NX_SECRET_UNUSABLE without credentials. */
export function placeOf(words: PlaceWords, environment: Environment): BucketPlace {
  const url = parseBucketUrl(words.url);
  if (url === undefined)
    throw new NxError("NX_USAGE", `"${words.url}" names no bucket`, { hint: "wanted s3://BUCKET/PREFIX" });
  const { endpoint, region, addressing, timeoutMs, credentialsFile: file } = words;
  const isPathStyle = addressing === "path";
  return { ...url, endpoint, region, isPathStyle, timeoutMs, ...credentialsOf(file, environment) };
}
