/**
 * The real side of object-store.ts: Bun's S3 client.
 *
 * This is the one place where node-x uses the network past the network seam: the client opens its own connections in Bun's
 * HTTP thread. Its limits are met here: it has no deadline (a timer ends the wait; the request itself ends with its
 * connection), no conditions (`replace` signs a URL with the client and sends it by fetch with If-Match), and takes private
 * certificate authorities only from NODE_EXTRA_CA_CERTS, which Bun reads when the process starts.
 */
import { S3Client } from "bun";
import { connectReason } from "../connect-reason.ts";
import { NxError } from "../errors.ts";
import { type Clock, sleep } from "./clock.ts";
import type { BucketPlace, ObjectEntry, ObjectStore, ObjectTag } from "./object-store.ts";

const URL_SECONDS = 300;
const PRECONDITION_FAILED = 412;

const hints: Record<string, string> = {
  InvalidAccessKeyId: "check accessKeyId in the credentials file, or AWS_ACCESS_KEY_ID",
  SignatureDoesNotMatch: "check secretAccessKey in the credentials file, and this host's clock",
  AccessDenied: "this key may not do that: it needs to get, put, list and delete objects below the prefix",
  NoSuchBucket: "make the bucket first, or check bucket and endpoint",
  DEPTH_ZERO_SELF_SIGNED_CERT: "name the certificate's authority in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "name the certificate's authority in NODE_EXTRA_CA_CERTS",
};

/** Pauses before another try of a call that met something that passes. */
const PAUSES_MS = [100, 400];

/**
 * What passes: a store that is busy, and a connection that was kept open and closed at its other end just when it was used
 * again. The client tells nothing of a failed HEAD, so that counts as one.
 */
const passing = new Set([
  ...["ConnectionClosed", "ECONNRESET", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"],
  "UnknownError",
]);
const codeOf = (error: unknown) => String((error as { code?: unknown }).code ?? "");
const isMissing = (error: unknown) => ["NoSuchKey", "NotFound"].includes(codeOf(error));

class S3Store implements ObjectStore {
  readonly name: string;
  readonly #client: S3Client;
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  /** Ends each wait that is under way. */
  readonly #waits = new Set<(error: Error) => void>();
  #isClosed = false;

  constructor(place: BucketPlace, clock: Clock) {
    const { bucket, prefix, endpoint, region, accessKeyId, secretAccessKey, sessionToken } = place;
    this.name = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#clock = clock;
    this.#timeoutMs = place.timeoutMs;
    this.#client = new S3Client({
      ...{ bucket, accessKeyId, secretAccessKey, virtualHostedStyle: !place.isPathStyle },
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
      ...(sessionToken !== undefined && { sessionToken }),
    });
  }

  /** Runs a call, again where what it met passes; its failure says what was done to which object. */
  async #call<Value>(
    what: string,
    key: string,
    work: () => Promise<Value>,
    pauses: readonly number[] = PAUSES_MS,
  ): Promise<Value> {
    try {
      return await this.#within(work);
    } catch (error) {
      if (error instanceof NxError || isMissing(error)) throw error;
      const [pauseMs, ...rest] = pauses;
      if (pauseMs === undefined || !passing.has(codeOf(error))) throw this.#failure(what, key, error);
      await sleep(this.#clock, pauseMs);
      return await this.#call(what, key, work, rest);
    }
  }

  #failure(what: string, key: string, error: unknown): NxError {
    const code = codeOf(error);
    const reason =
      connectReason(error) ?? [code, (error as Error).message].filter((each) => each !== "").join(": ");
    const call = [what, key].filter((each) => each !== "").join(" ");
    return new NxError("NX_CONNECT_FAILED", `${this.name}: ${call}: ${reason}`, {
      hint: hints[code] ?? "is the store up, and are endpoint, region and credentials right?",
      cause: error,
    });
  }

  #closedError(): NxError {
    return new NxError("NX_NOT_RUNNING", `${this.name}: closed while it was asked`);
  }

  /** Waits for one try until the deadline, or until this is closed. */
  async #within<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#isClosed) throw this.#closedError();
    const ended = Promise.withResolvers<never>();
    const timer = this.#clock.after(this.#timeoutMs, () =>
      ended.reject(new Error(`no complete answer within ${this.#timeoutMs} ms`)),
    );
    this.#waits.add(ended.reject);
    const running = work();
    // After the end of the wait nobody hears of it any more.
    running.catch(() => undefined);
    try {
      return await Promise.race([running, ended.promise]);
    } finally {
      timer.cancel();
      this.#waits.delete(ended.reject);
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#call("put", key, () =>
      this.#client.write(this.#prefix + key, bytes as Uint8Array<ArrayBuffer>),
    );
  }

  replace(key: string, bytes: Uint8Array, tag: ObjectTag | undefined): Promise<ObjectTag | "changed"> {
    const replace = async () => {
      const url = this.#client.presign(this.#prefix + key, { method: "PUT", expiresIn: URL_SECONDS });
      const condition: Record<string, string> =
        tag === undefined ? { "If-None-Match": "*" } : { "If-Match": tag };
      const body = bytes as Uint8Array<ArrayBuffer>;
      const answer = await fetch(url, { method: "PUT", body, headers: condition, redirect: "error" });
      const text = await answer.text();
      if (answer.status === PRECONDITION_FAILED) return "changed";
      if (!answer.ok) {
        const code = /<Code>([^<]{1,80})/.exec(text)?.[1] ?? `status ${answer.status}`;
        throw Object.assign(new Error(/<Message>([^<]{1,200})/.exec(text)?.[1] ?? ""), { code });
      }
      return answer.headers.get("etag") ?? (await this.#client.stat(this.#prefix + key)).etag;
    };
    // Once only: a replacement that happened would meet its own result.
    return this.#call("replace", key, replace, []);
  }

  async get(key: string, bytesMax: number): Promise<Uint8Array | undefined> {
    try {
      const file = this.#client.file(this.#prefix + key);
      const bytes = await this.#call("get", key, () => file.slice(0, bytesMax + 1).bytes());
      if (bytes.byteLength <= bytesMax) return bytes;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    throw new NxError(
      "NX_DATA_CORRUPT",
      `${this.name}/${key} is longer than the ${bytesMax} bytes expected`,
      {
        hint: "something else than node-x wrote it",
      },
    );
  }

  async stat(key: string): Promise<{ bytes: number; tag: ObjectTag } | undefined> {
    try {
      const { size, etag } = await this.#call("stat", key, () => this.#client.stat(this.#prefix + key));
      return { bytes: size, tag: etag };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    for (let continuationToken: string | undefined; ;) {
      const page = await this.#call("list", prefix, () =>
        this.#client.list({
          prefix: this.#prefix + prefix,
          ...(continuationToken !== undefined && { continuationToken }),
        }),
      );
      for (const { key, size } of page.contents ?? [])
        yield { key: key.slice(this.#prefix.length), bytes: size ?? 0 };
      continuationToken = page.nextContinuationToken;
      if (page.isTruncated !== true || continuationToken === undefined) return;
    }
  }

  async sha256(bytes: Uint8Array): Promise<string> {
    const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
    return Buffer.from(digest).toString("hex");
  }

  close(): void {
    this.#isClosed = true;
    for (const end of this.#waits) end(this.#closedError());
  }

  async remove(key: string): Promise<void> {
    try {
      await this.#call("remove", key, () => this.#client.delete(this.#prefix + key));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}

export function openS3(place: BucketPlace, clock: Clock): ObjectStore {
  return new S3Store(place, clock);
}
