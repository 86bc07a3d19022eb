/**
 * The HTTP face of both roles: the URLs, status codes and bodies of the protocol.
 *
 * Versions 1 and 2 answer as the originals did: whatever is wrong with a body is said inside a 200 reply. Version 3 says
 * it with the status as well. Invariant: no body is read past its limit; nothing of a body, address or identifier
 * reaches the log.
 */
import { Hono, type Context } from "hono";
import { NxError } from "../../core/errors.ts";
import { isLoopback } from "../../core/config/schema.ts";
import { mapFile } from "../../core/seams/mapped-file.ts";
import { readBody } from "../../core/sockets/request-body.ts";
import type { HttpConnection } from "../../core/sockets/serve-http.ts";
import { concat, toHex } from "../protocol/bytes.ts";
import { isBatched, queryCount } from "../protocol/layout.ts";
import {
  decodeLookup,
  decodePirPayload,
  errorReply,
  LookupType,
  QUERY_COUNT_BYTES,
  registrationReply,
  RegistrationError,
  replyHead,
  ReplyStatus,
  type LookupRequest,
} from "../protocol/messages.ts";
import { encodeMetadata, metadataReply } from "../protocol/metadata.ts";
import type { PresenceConfig } from "./config.ts";
import type { Database, Databases } from "./databases.ts";
import type { Registrar } from "./registrar.ts";
import type { ScanPool } from "./scan-pool.ts";
import { DIGEST_HEADER, type Upstream } from "./upstream.ts";

type Hosted = { Bindings: HttpConnection };
type Request = Context<Hosted>;

export interface RoutesOptions {
  config: PresenceConfig;
  databases: Databases;
  /** Present on a registration server. */
  registrar: Registrar | undefined;
  /** Present on a lookup server that fetches its databases. */
  upstream: Upstream | undefined;
  pool: ScanPool;
  /** The public half of the signing key, on a registration server. */
  signer: Uint8Array | undefined;
  figures: RouteFigures;
}

export interface RouteFigures {
  requests: number;
  lookups: number;
  queries: number;
  downloads: number;
  /** Bodies that were not what the protocol allows. */
  malformed: number;
  errors: number;
}

/** Queries that versions 1 and 2 may send: the seed's client sends one or one hundred. */
const LEGACY_QUERIES_MAX = 1000;
/** Of a body that is refused anyway, so much is read. */
const UNWANTED_BYTES_MAX = 1 << 20;
/** Data files are sent in pieces of this length. */
const PIECE_BYTES = 1 << 20;
const BINARY = { "content-type": "application/octet-stream" };

export function presenceRoutes(options: RoutesOptions): Hono<Hosted> {
  const routes = new Routes(options);
  const app = new Hono<Hosted>({ strict: false });
  app.use("*", async (context, next) => {
    options.figures.requests += 1;
    await next();
    // What is served is public and asked for without credentials, so pages of any origin may run a client.
    if (context.req.path !== "/debugfastforward") context.header("access-control-allow-origin", "*");
  });
  app.get("/", (context) => routes.status(context));
  app.get("/healthz", (context) => context.text("ok\n"));
  app.all("/register/:epoch?", (context) => routes.register(context));
  app.all("/lookup/:epoch?", (context) => routes.lookup(context));
  app.get("/download/:epoch?", (context) => routes.download(context));
  app.get("/download/:epoch/:part", (context) => routes.downloadMetadata(context));
  app.get("/meta/:epoch?", (context) => routes.downloadMetadata(context));
  app.all("/debugfastforward", (context) => routes.fastForward(context));
  app.notFound((context) => context.text("there is nothing here\n", 404));
  return app;
}

/** The epoch of a URL, given as a part of its path or as `?epoch=`; undefined when it is no number. */
function epochOf(context: Request): number | undefined {
  const text = context.req.param("epoch") ?? context.req.query("epoch") ?? "";
  const epoch = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return epoch <= 0xffff_ffff ? epoch : undefined;
}

class Routes {
  readonly #options: RoutesOptions;
  readonly #isStrict: boolean;

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#isStrict = options.config.protocol === 3;
  }

  /** What the seed's clients ask first; version 3 says more. */
  status(context: Request): Response {
    const { registrar, upstream, databases, config, signer } = this.#options;
    const epoch = registrar?.epoch ?? upstream?.epoch ?? databases.newest ?? 0;
    const register = registrar !== undefined;
    if (!this.#isStrict) return context.html(JSON.stringify({ epoch, register }));
    const { protocol, combined, batchCodes, payloadBytes, maxBuddies, epochSeconds } = config;
    return context.json({
      ...{ epoch, register, protocol, combined, batchCodes, payloadBytes, maxBuddies, epochSeconds },
      ...(signer !== undefined && { signer: toHex(signer) }),
    });
  }

  async register(context: Request): Promise<Response> {
    const { registrar } = this.#options;
    // Read before anything is refused: a connection whose request was not read is closed.
    const body = await this.#body(context, registrar?.registrationBytesMax ?? UNWANTED_BYTES_MAX);
    if (registrar === undefined || epochOf(context) !== registrar.epoch)
      return this.#refuse(context, 403, "epoch");
    if (this.#isStrict && context.req.method !== "POST") return this.#refuse(context, 405, "method");
    if (body === undefined) return this.#refuse(context, 413, "length");
    try {
      const { error, nextEpoch } = await registrar.register(body);
      const isRefused = error !== RegistrationError.ok;
      if (isRefused) this.#options.figures.malformed += 1;
      return this.#binary(registrationReply(error, nextEpoch), isRefused && this.#isStrict ? 400 : 200);
    } catch (error) {
      return this.#unavailable(context, error);
    }
  }

  /**
   * Undefined when it is longer than `bytesMax`, or its sender went away. The answer ends the connection then: to keep
   * it, the server would have to take all that is still coming, which costs everybody else milliseconds of this thread.
   */
  async #body(context: Request, bytesMax: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const body = await readBody(context.req.raw, bytesMax).catch(() => undefined);
    if (body === undefined) context.header("connection", "close");
    return body;
  }

  async lookup(context: Request): Promise<Response> {
    const { config, figures } = this.#options;
    const epoch = epochOf(context);
    const isWanted = config.isLookupServer && epoch !== undefined;
    const database = isWanted ? await this.#database(epoch) : undefined;
    const bytesMax = database === undefined ? UNWANTED_BYTES_MAX : this.#lookupBytesMax(database);
    const body = await this.#body(context, bytesMax);
    if (!isWanted) return this.#refuse(context, 403, "epoch");
    if (this.#isStrict && context.req.method !== "POST") return this.#refuse(context, 405, "method");
    if (database === undefined) return this.#noDatabase(context, epoch);
    if (body === undefined) return this.#refuse(context, 413, "length");
    figures.lookups += 1;
    const request = decodeLookup(body);
    if (request === undefined || request.epoch !== epoch) return this.#malformed(body, epoch);
    if (request.type === LookupType.metadata)
      return this.#binary(new Uint8Array(metadataReply(database.metadata)));
    if (request.type === LookupType.database) return this.#wholeDatabase(database);
    return this.#answer(context, body, request, database);
  }

  /** The longest body of a lookup: as many queries as anybody may send. */
  #lookupBytesMax({ metadata }: Database): number {
    const count = this.#isStrict ? queryCount(metadata, metadata.maxBuddies) : LEGACY_QUERIES_MAX;
    const bytes = 5 + QUERY_COUNT_BYTES + count * metadata.rows;
    return Math.min(bytes, this.#options.config.limits.requestBytesMax);
  }

  async #answer(
    context: Request,
    body: Uint8Array,
    request: LookupRequest,
    database: Database,
  ): Promise<Response> {
    const { pool, figures } = this.#options;
    const { metadata } = database;
    const payload = decodePirPayload(request.payload, metadata.rows);
    const isCountRight =
      payload !== undefined &&
      (!this.#isStrict || payload.count === queryCount(metadata, metadata.maxBuddies)) &&
      payload.count <= LEGACY_QUERIES_MAX;
    if (payload === undefined || !isCountRight) return this.#malformed(body, request.epoch);
    figures.queries += payload.count;
    const head = replyHead(ReplyStatus.answers, request.epoch);
    if (database.bytes === 0) return this.#binary(head);
    try {
      const target = { path: database.path, layout: metadata };
      const count = isBatched(metadata) ? 1 : payload.count;
      const answers = await pool.answer(target, payload.queries, count, context.req.raw.signal);
      if (answers === undefined) return context.body(null, 408); // nobody reads this
      return this.#binary(concat(head, answers));
    } catch (error) {
      return this.#unavailable(context, error);
    }
  }

  /** The database of an epoch, waited for when it is being made, fetched when it can be had. */
  async #database(epoch: number): Promise<Database | undefined> {
    const { databases, upstream, registrar } = this.#options;
    const known = databases.get(epoch);
    if (known !== undefined) return known;
    if (registrar?.building === epoch) await registrar.whenBuilt();
    await upstream?.want(epoch);
    return databases.get(epoch);
  }

  #noDatabase(context: Request, epoch: number): Response {
    if (!this.#isStrict) return this.#refuse(context, 403, "epoch");
    const { registrar, upstream } = this.#options;
    const current = registrar?.epoch ?? upstream?.epoch;
    const isExpected = registrar?.building === epoch || (upstream !== undefined && current === epoch);
    return this.#refuse(context, isExpected || current === undefined ? 503 : 404, "epoch");
  }

  download(context: Request): Response {
    const epoch = epochOf(context);
    const database = epoch === undefined ? undefined : this.#options.databases.get(epoch);
    if (database === undefined) return this.#refuse(context, 403, "epoch");
    return this.#file(database, new Uint8Array(0));
  }

  downloadMetadata(context: Request): Response {
    const epoch = epochOf(context);
    const database = epoch === undefined ? undefined : this.#options.databases.get(epoch);
    if (database === undefined) return this.#refuse(context, 403, "epoch");
    return this.#binary(new Uint8Array(encodeMetadata(database.metadata)));
  }

  #wholeDatabase(database: Database): Response {
    return this.#file(database, replyHead(ReplyStatus.database, database.metadata.epoch));
  }

  /** `head` and the data file, piece by piece as fast as the peer reads. */
  #file(database: Database, head: Uint8Array<ArrayBuffer>): Response {
    this.#options.figures.downloads += 1;
    const data = mapFile(database.path);
    let at = 0;
    const stream = new ReadableStream<Uint8Array>({
      type: "bytes",
      start(controller) {
        if (head.byteLength > 0) controller.enqueue(head);
      },
      pull(controller) {
        if (at >= data.byteLength) return controller.close();
        // A copy: the piece may wait in a socket's queue longer than the file is mapped.
        controller.enqueue(data.slice(at, at + PIECE_BYTES));
        at += PIECE_BYTES;
      },
    });
    const headers = {
      ...BINARY,
      "content-length": String(head.byteLength + data.byteLength),
      [DIGEST_HEADER]: toHex(database.digest),
    };
    return new Response(stream, { headers });
  }

  async fastForward(context: Request): Promise<Response> {
    const { config, registrar } = this.#options;
    const peer = context.env.requestIP(context.req.raw)?.address.replace(/^::ffff:/, "") ?? "";
    if (!config.debug || registrar === undefined || !isLoopback(peer))
      return this.#refuse(context, 403, "debug");
    const epochs = await registrar.fastForward();
    return context.text(`Old: ${epochs.old} New: ${epochs.new}`);
  }

  #malformed(body: Uint8Array, epoch: number): Response {
    this.#options.figures.malformed += 1;
    return this.#binary(errorReply(body, epoch), this.#isStrict ? 400 : 200);
  }

  #refuse(context: Request, status: 403 | 404 | 405 | 413 | 503, what: keyof typeof reasons): Response {
    this.#options.figures.errors += 1;
    if (status === 503) context.header("retry-after", "1");
    return context.text(`${reasons[what]}\n`, status);
  }

  #unavailable(context: Request, error: unknown): Response {
    const isTemporary = error instanceof NxError && ["NX_DISK_FULL", "NX_NOT_READY"].includes(error.code);
    if (!isTemporary) throw error;
    return this.#refuse(context, 503, "busy");
  }

  #binary(bytes: Uint8Array<ArrayBuffer>, status = 200): Response {
    return new Response(bytes, { status, headers: BINARY });
  }
}

const reasons = {
  epoch: "not an epoch that this server serves in this way",
  method: "POST it",
  length: "the body is longer than any that the protocol knows",
  debug: "not allowed",
  busy: "not now",
};
