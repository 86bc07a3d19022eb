/**
 * The frontend's HTTP interface: keys, snapshots, ranges and transactions as JSON, so that curl is a client.
 *
 *   GET    /v1/keys/KEY[?at=TIMESTAMP]     the value, its version and the timestamp of the read; 404 when absent
 *   PUT    /v1/keys/KEY                    the body becomes the value
 *   DELETE /v1/keys/KEY
 *   POST   /v1/read                        { keys, at? }: all as of one timestamp;
 *                                          { keys, level: "readCommitted" }: each as of its own, waiting for nothing
 *   GET    /v1/scan?prefix=&after=&limit=&at=
 *   GET    /v1/watch?key=…                 runs as server-sent events (http-watch.ts)
 *   POST   /v1/transactions                transactionSchema of json.ts; 409 with the reason when it is refused
 *
 * Invariant: 2xx for a write means that it is committed and durable. 503 with `"outcome": "unknown"` means that nobody knows:
 * send the same id again.
 */
import { Hono, type Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Log } from "../../core/logging/log.ts";
import type { Random } from "../../core/seams/random.ts";
import type { CommitResult } from "../engines/engine.ts";
import { FutureError, LimitError, OutcomeUnknownError, RefusedError, TooOldError } from "../failures.ts";
import type { ReadVersion } from "../shard/query-messages.ts";
import { decodeValue } from "../shard/operations.ts";
import type { TransactionId } from "../shard/transaction.ts";
import type { GuardedStore } from "./access/guarded-store.ts";
import type { Identity, Principals } from "./access/principals.ts";
import { AccessError } from "./access/tables.ts";
import type { WatchStreams } from "./http-watch.ts";
import {
  type JsonTransaction,
  keySchema,
  toJson,
  toJsonBytes,
  transactionOf,
  transactionSchema,
  versionJson,
} from "./json.ts";

const methods = [
  ["/v1/keys/*", "GET, PUT, DELETE"],
  ["/v1/read", "POST"],
  ["/v1/scan", "GET"],
  ["/v1/watch", "GET"],
  ["/v1/transactions", "POST"],
] as const;

const SCAN_COUNT_MAX = 1000;
const KEYS_MAX = 10_000;

export interface HttpFigures {
  requests: number;
}

/** What hono keeps for a request. */
interface Visit {
  Variables: { principal: Identity };
}

/** Names the transactions of clients that name none themselves. */
class Names {
  readonly #client: number;
  #number = 0;
  /** Those under way, in order. */
  readonly #open = new Set<number>();

  constructor(random: Random) {
    const bytes = random.bytes(8);
    // Below those that keep a log.
    this.#client = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) >> 12n);
  }

  open(): { client: number; number: number } {
    this.#number += 1;
    this.#open.add(this.#number);
    return { client: this.#client, number: this.#number };
  }

  close({ number }: { number: number }): void {
    this.#open.delete(number);
  }

  /** Nobody asks again for what is below. */
  get floor(): number {
    const [oldest] = this.#open;
    return oldest ?? this.#number;
  }
}

function timestampOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timestamp = Number(text);
  if (!Number.isSafeInteger(timestamp) || timestamp < 1)
    throw new HTTPException(400, { message: `at: wanted a timestamp, got "${text}"` });
  return timestamp;
}

function keyOfPath(path: string): string {
  const parsed = keySchema.safeParse(decoded(path));
  if (parsed.success) return parsed.data;
  throw new HTTPException(400, { message: `the key: ${parsed.error.issues[0]?.message ?? ""}` });
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new HTTPException(400, { message: `"${path.slice(0, 100)}" is not percent-encoded UTF-8` });
  }
}

async function jsonBody(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch {
    throw new HTTPException(400, { message: "the body is not JSON" });
  }
}

export function frontendApp(
  store: GuardedStore,
  random: Random,
  principals: Principals,
  figures: HttpFigures,
  streams: WatchStreams,
): Hono {
  const app = new Hono<Visit>();
  const names = new Names(random);
  app.use("/v1/*", async (context, next) => {
    figures.requests += 1;
    const token = tokenOf(context.req.header("authorization"));
    const principal = principals.of(token);
    if (principal === undefined) {
      const headers = { "www-authenticate": "Bearer" };
      const error = token === "" ? "a token is wanted: Authorization: Bearer …" : "the token is not known";
      return context.json({ error }, 401, headers);
    }
    context.set("principal", principal);
    await next();
  });
  const keyOf = (context: Context<Visit>) => keyOfPath(context.req.path.slice("/v1/keys/".length));

  const commit = async (context: Context<Visit>, json: JsonTransaction) => {
    const id = names.open();
    try {
      const whole = transactionOf(json, id);
      // What a client does not name itself it cannot ask for again.
      const floor = json.id === undefined ? names.floor : whole.floor;
      return answer(context, whole.id, await store.commit(context.var.principal.name, { ...whole, floor }));
    } finally {
      names.close(id);
    }
  };
  const answer = (context: Context<Visit>, id: TransactionId, result: CommitResult) => {
    if (result.kind === "committed")
      return context.json({ outcome: "committed", timestamp: result.timestamp, id });
    const reason = result.kind === "refused" ? result.reason : result.kind;
    const key = result.kind === "refused" ? toJsonBytes(result.key) : undefined;
    return context.json({ outcome: "aborted", reason, key, id }, 409);
  };
  const write = (context: Context<Visit>, operation: JsonTransaction["operations"][number]) =>
    commit(context, { floor: 0, reads: [], operations: [operation] });

  app.get("/v1/keys/*", async (context) => {
    const { timestamp, versions } = await store.read(
      context.var.principal.name,
      [new Uint8Array(Buffer.from(keyOf(context)))],
      timestampOf(context.req.query("at")),
    );
    const found = versionJson(versions[0] as ReadVersion);
    return context.json({ timestamp, ...found }, versions[0]?.type === 0 ? 404 : 200);
  });
  app.put("/v1/keys/*", async (context) => {
    const base64 = Buffer.from(await context.req.arrayBuffer()).toString("base64");
    return write(context, { op: "put", key: keyOf(context), value: { type: "bytes", base64 } });
  });
  app.delete("/v1/keys/*", (context) => write(context, { op: "delete", key: keyOf(context) }));
  app.post("/v1/read", async (context) => {
    const body = (await jsonBody(context)) as { keys?: unknown; at?: unknown; level?: unknown } | null;
    const { keys, at, level, ...others } = body ?? {};
    const [other] = Object.keys(others);
    if (other !== undefined) throw new HTTPException(400, { message: `Unrecognized key: "${other}"` });
    if (
      !Array.isArray(keys) ||
      keys.length > KEYS_MAX ||
      !keys.every((key) => keySchema.safeParse(key).success)
    )
      throw new HTTPException(400, { message: `keys: wanted a list of at most ${KEYS_MAX} keys` });
    if (level !== undefined && (level !== "readCommitted" || at !== undefined))
      throw new HTTPException(400, { message: 'level: only "readCommitted", and without "at"' });
    const names = keys.map((key: string) => new Uint8Array(Buffer.from(key)));
    const principal = context.var.principal.name;
    const { timestamp, versions } =
      level === undefined
        ? await store.read(principal, names, at === undefined ? undefined : timestampOf(String(at)))
        : await store.readCommitted(principal, names);
    return context.json({
      ...(level === undefined && { timestamp }),
      values: versions.map((version, place) => ({ key: keys[place] as string, ...versionJson(version) })),
    });
  });
  app.get("/v1/scan", async (context) => {
    const { prefix = "", after, limit = "100", at } = context.req.query();
    const count = Number(limit);
    if (!Number.isSafeInteger(count) || count < 1 || count > SCAN_COUNT_MAX)
      throw new HTTPException(400, { message: `limit: wanted 1 to ${SCAN_COUNT_MAX}, got "${limit}"` });
    const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
    const { timestamp, entries, isMore } = await store.scan(
      context.var.principal.name,
      { prefix: bytesOf(prefix), after: after === undefined ? undefined : bytesOf(after) },
      count,
      timestampOf(at),
    );
    return context.json({
      timestamp,
      isMore,
      values: entries.map(({ key, start: version, type, value }) => ({
        key: toJsonBytes(key),
        version,
        value: toJson(decodeValue(type, value)),
      })),
    });
  });
  app.get("/v1/watch", (context) => streams.answer(context, context.var.principal));
  app.post("/v1/transactions", async (context) => {
    const parsed = transactionSchema.safeParse(await jsonBody(context));
    if (parsed.success) return commit(context, parsed.data);
    const [issue] = parsed.error.issues;
    const place = issue?.path.join(".") ?? "";
    throw new HTTPException(400, { message: `${place}${place === "" ? "" : ": "}${issue?.message ?? ""}` });
  });
  for (const [path, allow] of methods)
    app.all(path, (context) =>
      context.json({ error: `${context.req.method} is not for ${path}, ${allow} is` }, 405, { allow }),
    );
  return new Hono().route("/", app);
}

/** The token of a header; "": none. */
function tokenOf(header: string | undefined): string {
  return /^Bearer +(.*)$/i.exec(header ?? "")?.[1] ?? "";
}

/**
 * The answer to a request that failed, for `onError` of the app: what a client did wrong, or cannot be told now, is its answer;
 * all else is a defect of ours and goes to the log.
 */
export function failureAnswer(error: Error, context: Context, log: Log): Response {
  if (error instanceof HTTPException)
    return error.res ?? context.json({ error: error.message }, error.status);
  if (error instanceof AccessError)
    return context.json({ error: error.message, code: error.code }, error.code === "forbidden" ? 403 : 400);
  if (error instanceof LimitError) return context.json({ error: error.message, code: error.code }, 413);
  if (error instanceof FutureError) return context.json({ error: error.message }, 400);
  if (error instanceof TooOldError) return context.json({ error: error.message }, 410);
  if (error instanceof OutcomeUnknownError)
    return context.json({ outcome: "unknown", error: error.message }, 503);
  if (error instanceof RefusedError) return context.json({ outcome: "none", error: error.message }, 503);
  log.error("a request failed", { path: context.req.path, reason: error.message, stack: error.stack });
  return context.json({ error: "internal error; the log has more" }, 500);
}
