/**
 * Watching over plain HTTP: a stream of server-sent events, so that curl sees every run and a page needs no library.
 *
 *   GET /v1/watch?key=KEY&key=…&prefix=PREFIX&…[&at=TIMESTAMP]
 *
 *   event: run         id: its timestamp; data: { at, since, cause, changes, values: [{ key, version, validUntil, value }] }
 *   event: progress    id: a timestamp up to which nothing is missing; data: { at }
 *   event: denied      the last one, when the reader's token does not count any more; data: { error }
 *
 * The first event of a run brings all values, later ones those that changed. A browser's EventSource comes back by itself and
 * says the last id that it saw (`Last-Event-ID`): it is told what changed since, and nothing twice.
 *
 * Invariant: a reader that does not read costs a few events and a mark; it gets the latest state when it reads again.
 */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { type HttpConnection, keepOpen } from "../../core/sockets/serve-http.ts";
import { decodeServerMessage } from "../client-wire/codec.ts";
import { NOW, type ServerMessage } from "../client-wire/messages.ts";
import { FutureError } from "../failures.ts";
import type { Identity, Principals } from "./access/principals.ts";
import type { GuardedStore } from "./access/guarded-store.ts";
import { versionJson } from "./json.ts";
import type { Outlet, Watcher } from "./watches/watcher.ts";
import type { Watching } from "./watches/watching.ts";

const EVENTS_KEPT = 8;
const KEYS_MAX = 1000;
const encoder = new TextEncoder();

function eventOf(message: ServerMessage): string[] {
  if (message.type === "progress") return [event("progress", message.at, { at: message.at })];
  if (message.type !== "runs") return [];
  return message.runs.map(({ since, cause, changes, values }) => {
    const shown = values.map(({ key, ...version }) => ({
      key: new TextDecoder().decode(key),
      ...versionJson(version),
    }));
    return event("run", message.at, { at: message.at, since, cause, changes, values: shown });
  });
}

const event = (name: string, id: number | undefined, data: unknown) =>
  `event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;

/** The events of one reader, as an outlet of its watcher. */
class EventStream implements Outlet {
  readonly body: ReadableStream<Uint8Array>;
  readonly reader: Identity;
  watcher: Watcher | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(reader: Identity, onEnd: () => void) {
    this.reader = reader;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.watcher?.pump(),
        cancel: onEnd,
      },
      { highWaterMark: EVENTS_KEPT },
    );
  }

  get isCongested(): boolean {
    return (this.#controller?.desiredSize ?? 0) <= 0;
  }

  send(bytes: Uint8Array): void {
    const message = decodeServerMessage(bytes);
    for (const text of eventOf(message)) this.#say(text);
    if (message.type === "runs") this.watcher?.acknowledge(message.at);
  }

  deny(): void {
    this.#say(event("denied", undefined, { error: "the token does not count any more" }));
    this.end();
  }

  end(): void {
    this.#controller?.close();
  }

  #say(text: string): void {
    this.#controller?.enqueue(encoder.encode(text));
  }
}

export class WatchStreams {
  readonly #store: GuardedStore;
  readonly #watching: Watching;
  readonly #streamsMax: () => number;
  readonly #open = new Set<EventStream>();

  constructor(store: GuardedStore, watching: Watching, streamsMax: () => number) {
    this.#store = store;
    this.#watching = watching;
    this.#streamsMax = streamsMax;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Answers a request of a principal. Throws AccessError, HTTPException. */
  async answer(context: Context, reader: Identity): Promise<Response> {
    const read = (name: string) => (context.req.queries(name) ?? []).map((text) => encoder.encode(text));
    const [keys, prefixes] = [read("key"), read("prefix")];
    const count = keys.length + prefixes.length;
    if (count === 0 || count > KEYS_MAX || keys.some(({ byteLength }) => byteLength === 0))
      throw new HTTPException(400, { message: `wanted 1 to ${KEYS_MAX} of key=… and prefix=…` });
    const at = momentOf(context.req.header("last-event-id") ?? context.req.query("at"));
    this.#store.tables.checkKeys(reader.name, "read", keys);
    for (const prefix of prefixes) this.#store.tables.checkRange(reader.name, prefix);
    if (this.#open.size >= this.#streamsMax())
      throw new HTTPException(503, { message: "too many watch here: try another frontend" });
    return this.#stream(context, reader, { keys, prefixes }, at);
  }

  async #stream(
    context: Context,
    reader: Identity,
    read: { keys: Uint8Array[]; prefixes: Uint8Array[] },
    at: number,
  ): Promise<Response> {
    const stream = new EventStream(reader, () => this.#forget(stream));
    const watcher = this.#watching.open(stream, 1);
    stream.watcher = watcher;
    this.#open.add(stream);
    try {
      await watcher.watch(1, read, at, 0);
    } catch (error) {
      this.#forget(stream);
      if (error instanceof FutureError) throw new HTTPException(400, { message: error.message });
      throw error;
    }
    watcher.pump();
    keepOpen(context.env as HttpConnection, context.req.raw);
    return new Response(stream.body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }

  /** Ends the streams of those whose token does not count any more. */
  recheck(principals: Principals): void {
    for (const stream of [...this.#open]) {
      if (principals.isKnown(stream.reader)) continue;
      this.#forget(stream);
      stream.deny();
    }
  }

  #forget(stream: EventStream): void {
    this.#open.delete(stream);
    if (stream.watcher !== undefined) this.#watching.close(stream.watcher);
  }

  /** Ends all streams: their readers come back, here or elsewhere. */
  close(): void {
    for (const stream of [...this.#open]) {
      this.#forget(stream);
      stream.end();
    }
  }
}

function momentOf(text: string | undefined): number {
  if (text === undefined) return NOW;
  const at = Number(text);
  if (Number.isSafeInteger(at) && at >= 0) return at;
  throw new HTTPException(400, { message: `wanted a timestamp, got "${text}"` });
}
