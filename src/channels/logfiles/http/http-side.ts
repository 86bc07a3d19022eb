/**
 * HTTP of the logfiles node: writing, searching and following records.
 *
 *   GET    /channels                     names and sizes
 *   GET    /channels/NAME                one of them
 *   POST   /channels/NAME/records        one JSON object a line (ingest.ts)
 *   GET    /channels/NAME/records?…      the records of a time, filtered (query.ts), one a line
 *   GET    /channels/NAME/follow?…       those written from now on
 *   DELETE /channels/NAME                removes it
 *
 * Errors are `{"error":"…"}`. There is no authentication: the node listens on loopback unless told otherwise, and `tls` with
 * `clientCa` demands a certificate.
 */
import { type Context, Hono } from "hono";
import { NxError } from "../../../core/errors.ts";
import type { Log } from "../../../core/logging/log.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import type { TlsMaterial } from "../../../core/seams/net.ts";
import {
  type HttpConnection,
  type HttpServer,
  keepOpen,
  serveHttp,
} from "../../../core/sockets/serve-http.ts";
import { isChannelName } from "../channel-name.ts";
import type { Channel } from "../store/channels.ts";
import type { LogStore } from "../store/log-store.ts";
import { Follower } from "./follow.ts";
import { ingest } from "./ingest.ts";
import { parseQuery, type Query } from "./query.ts";
import { LineLimit, streamOf } from "./search.ts";

export interface HttpSideOptions {
  clock: Clock;
  log: Log;
  tls: TlsMaterial | undefined;
  host: string;
  port: number;
  requestBytesMax: number;
  channelsMax: number;
  store: LogStore;
}

type Hosted = { Bindings: HttpConnection };
type Asked = Context<Hosted>;

const STOP_MS = 1000;
const FOLLOWERS_MAX = 1000;
const LINES = {
  "content-type": "application/x-ndjson",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

export class HttpSide {
  readonly #options: HttpSideOptions;
  readonly #followers = new Set<Follower>();
  #server: HttpServer | undefined;
  requests = 0;

  constructor(options: HttpSideOptions) {
    this.#options = options;
  }

  get followers(): number {
    return this.#followers.size;
  }

  /** Starts to listen; returns the port. */
  listen(): number {
    const { host, port, tls, clock, log, requestBytesMax } = this.#options;
    const address = { host, port, ...(tls !== undefined && { tls }) };
    this.#server = serveHttp(this.#routes() as unknown as Hono, address, clock, log, { requestBytesMax });
    return this.#server.port;
  }

  #routes(): Hono<Hosted> {
    const app = new Hono<Hosted>();
    app.use(async (_context, next) => {
      this.requests += 1;
      await next();
    });
    app.get("/channels", (context) => context.json(this.#options.store.channels().map(describe)));
    app.get("/channels/:name", (context) =>
      this.#withChannel(context, (channel) => context.json(describe(channel))),
    );
    app.delete("/channels/:name", (context) => this.#withChannel(context, () => this.#remove(context)));
    app.post("/channels/:name/records", (context) => this.#ingest(context));
    app.get("/channels/:name/records", (context) =>
      this.#withChannel(context, (channel) => this.#search(context, channel)),
    );
    app.get("/channels/:name/follow", (context) =>
      this.#withChannel(context, (channel) => this.#follow(context, channel)),
    );
    app.notFound((context) => context.json({ error: "no such address; /channels lists the channels" }, 404));
    return app;
  }

  #withChannel(context: Asked, use: (channel: Channel) => Response | Promise<Response>) {
    const name = context.req.param("name") ?? "";
    const channel = isChannelName(name) ? this.#options.store.channel(name) : undefined;
    if (channel === undefined) return context.json({ error: `there is no channel "${name}"` }, 404);
    return use(channel);
  }

  async #remove(context: Asked): Promise<Response> {
    const { store } = this.#options;
    if (store.refusal !== undefined) return context.json({ error: store.refusal }, 507);
    store.remove(context.req.param("name") as string);
    await store.whenDurable();
    return context.body(null, 204);
  }

  async #ingest(context: Asked): Promise<Response> {
    const { store, clock, channelsMax } = this.#options;
    const name = context.req.param("name") ?? "";
    if (!isChannelName(name))
      return context.json({ error: "a channel is called by 1 to 240 letters, digits, _ or -" }, 400);
    if (store.channel(name) === undefined && store.channels().length >= channelsMax)
      return context.json({ error: `there are ${channelsMax} channels, and no more are allowed` }, 507);
    keepOpen(context.env, context.req.raw);
    const body = context.req.raw.body as unknown as AsyncIterable<Uint8Array> | null;
    if (body === null) return context.json({ accepted: 0 });
    const { accepted, error } = await ingest(store, clock, name, body);
    if (error !== undefined) return context.json({ accepted, error: error.message }, error.status);
    return context.json({ accepted });
  }

  /** The question that the address asks, or the answer to one that is none. */
  #query(context: Asked): Query | Response {
    const query = parseQuery(context.req.query());
    return typeof query === "string" ? context.json({ error: query }, 400) : query;
  }

  async #search(context: Asked, channel: Channel): Promise<Response> {
    const query = this.#query(context);
    if (query instanceof Response) return query;
    keepOpen(context.env, context.req.raw);
    const { low, high, filter, limit } = query;
    const { store } = this.#options;
    const request = { low, high, filter, output: "lines" as const, batchBytes: 0 };
    const pieces = store.scan(channel.name, request) ?? store.scanNothing(request);
    try {
      const first = await pieces.next();
      return new Response(streamOf(store, pieces, first, new LineLimit(limit)), { headers: LINES });
    } catch (error) {
      await pieces.close();
      if (!(error instanceof NxError)) throw error;
      return context.json({ error: error.message }, error.code === "NX_INPUT_INVALID" ? 400 : 500);
    }
  }

  async #follow(context: Asked, channel: Channel): Promise<Response> {
    const query = this.#query(context);
    if (query instanceof Response) return query;
    if (this.#followers.size >= FOLLOWERS_MAX) return context.json({ error: "too many are following" }, 503);
    // An expression that cannot be used is told at once, not with the first record.
    const { low, high, filter } = query;
    const trial = this.#options.store.scanNothing({ low, high, filter, output: "lines", batchBytes: 0 });
    try {
      await trial.next();
    } catch (error) {
      return context.json({ error: (error as Error).message }, 400);
    } finally {
      await trial.close();
    }
    keepOpen(context.env, context.req.raw);
    const { store, clock } = this.#options;
    const follower = new Follower({ store, clock }, channel, query);
    this.#followers.add(follower);
    context.req.raw.signal.addEventListener("abort", () => this.#end(follower));
    return new Response(follower.stream(), { headers: LINES });
  }

  #end(follower: Follower): void {
    follower.end();
    this.#followers.delete(follower);
  }

  async stop(): Promise<void> {
    for (const follower of [...this.#followers]) this.#end(follower);
    await this.#server?.stop(STOP_MS);
  }
}

function describe({ name, figures: { records, valueBytes } }: Channel) {
  return { name, records, valueBytes };
}
