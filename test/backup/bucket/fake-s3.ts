/**
 * A small S3-compatible server of our own, for what s3rver cannot be made to do: fail, cut, dawdle, judge conditions and
 * signatures. It keeps objects in memory.
 */
import type { Server } from "bun";
import { refusalOf } from "./signature.ts";

export type Fault = "500" | "503" | "412" | "cut" | "silent" | "garbage";

interface Request_ {
  method: string;
  key: string;
}

export const BUCKET = "backups";
export const CREDENTIALS = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };

const xml = (status: number, code: string) =>
  new Response(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`, {
    status,
    headers: { "content-type": "application/xml" },
  });

const tagOf = (bytes: Uint8Array) => `"${Bun.hash(bytes).toString(16)}"`;

export class FakeS3 implements AsyncDisposable {
  readonly objects = new Map<string, Uint8Array>();
  readonly requests: Request_[] = [];
  /** What happens to a request; nothing: it is served. */
  fault: (request: Request_) => Fault | undefined = () => undefined;
  readonly #server: Server<undefined>;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (each) => this.#serve(each),
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  count(method: string, part = ""): number {
    return this.requests.filter((each) => each.method === method && each.key.includes(part)).length;
  }

  async #serve(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const key = decodeURIComponent(url.pathname).slice(`/${BUCKET}/`.length);
    const { method } = request;
    const body = new Uint8Array(await request.arrayBuffer());
    this.requests.push({ method, key });
    const fault = this.fault({ method, key });
    if (fault === "500" || fault === "503") return xml(Number(fault), "InternalError");
    if (fault === "412") return xml(412, "PreconditionFailed");
    if (fault === "silent") return await new Promise(() => undefined);
    const refusal = refusalOf(request, CREDENTIALS);
    if (refusal !== undefined) return xml(403, refusal);
    if (!url.pathname.startsWith(`/${BUCKET}`)) return xml(404, "NoSuchBucket");
    if (url.searchParams.get("list-type") === "2") return this.#list(url.searchParams.get("prefix") ?? "");
    if (method === "PUT") return this.#put(key, body, request.headers);
    if (method === "DELETE") {
      this.objects.delete(key);
      return new Response(null, { status: 204 });
    }
    return this.#get(key, request.headers.get("range"), fault);
  }

  #put(key: string, body: Uint8Array, headers: Headers): Response {
    const present = this.objects.get(key);
    const ifMatch = headers.get("if-match");
    if (headers.get("if-none-match") === "*" && present !== undefined) return xml(412, "PreconditionFailed");
    if (ifMatch !== null && (present === undefined || tagOf(present) !== ifMatch))
      return xml(412, "PreconditionFailed");
    this.objects.set(key, body);
    return new Response(null, { headers: { etag: tagOf(body) } });
  }

  #get(key: string, range: string | null, fault: Fault | undefined): Response {
    const whole = this.objects.get(key);
    if (whole === undefined) return xml(404, "NoSuchKey");
    const match = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
    const bytes =
      match === null
        ? whole
        : whole.slice(Number(match[1]), match[2] === "" ? undefined : Number(match[2]) + 1);
    const headers = { etag: tagOf(whole), "last-modified": new Date(0).toUTCString() };
    const status = match === null ? 200 : 206;
    if (fault === "garbage")
      return new Response(
        bytes.map((byte) => byte ^ 1),
        { status, headers },
      );
    const sent = fault === "cut" ? bytes.subarray(0, bytes.byteLength / 2) : bytes;
    return new Response(sent as Uint8Array<ArrayBuffer>, { status, headers });
  }

  #list(prefix: string): Response {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const contents = keys.map(
      (key) => `<Contents><Key>${key}</Key><Size>${this.objects.get(key)?.byteLength}</Size></Contents>`,
    );
    return new Response(
      `<?xml version="1.0"?><ListBucketResult><Name>${BUCKET}</Name><IsTruncated>false</IsTruncated><KeyCount>${keys.length}</KeyCount>${contents.join("")}</ListBucketResult>`,
      { headers: { "content-type": "application/xml" } },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
