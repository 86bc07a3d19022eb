/**
 * What the hub serves.
 *
 *   GET  /                       the page and its files
 *   GET  /api/session            is a login needed, may this page act
 *   POST /api/login, /api/logout
 *   GET  /api/events?view=…      server-sent events: everything once, then each round
 *   GET  /api/instances          the overview as JSON
 *   GET  /api/instances/NAME     one instance, with all that it says of itself
 *   GET  /api/history?…          figures over time
 *   GET  /api/happenings         what happened
 *   GET  /api/logs?…             a search in a log store
 *   POST /api/actions/ACTION     changes the cluster, where the configuration allows it
 *   GET  /metrics                all instances for Prometheus
 *
 * Everything but the page's files and the login stands behind the guard (access/guard.ts).
 */
import { Hono, type Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { keepOpen, type HttpConnection } from "../core/sockets/serve-http.ts";
import { COOKIE, demandCertainHost, demandOwnPage, demandSession, sessionOf } from "./access/guard.ts";
import type { Sessions } from "./access/sessions.ts";
import { actionRequest, type Actions } from "./actions.ts";
import { pageAssets } from "./assets.ts";
import type { ClusterView } from "./cluster-view.ts";
import { detailOf } from "./details.ts";
import type { Federation } from "./federation/federate.ts";
import type { History } from "./history/history.ts";
import { LINES_MAX, LogSearchError, searchLogs } from "./log-search.ts";
import type { HistoryAnswer } from "./messages.ts";
import type { Viewers } from "./viewers.ts";

export type Hosted = { Bindings: HttpConnection };

export interface RoutesOptions {
  view: ClusterView;
  viewers: Viewers;
  history: History;
  federation: Federation;
  sessions: Sessions;
  actions: Actions;
  /** The host that the page is served on, and whether over TLS. */
  host: string;
  isSecure: boolean;
  allowsActions(): boolean;
  /** The authorities for https log stores. */
  ca(): string | undefined;
  nowMs(): number;
}

const NO_STORE = { "cache-control": "no-store" };
const LINES_OF_HISTORY_MAX = 200;
const HAPPENINGS_SHOWN = 500;
const RANGE_DAYS_MAX = 3650;

export function hubRoutes(options: RoutesOptions): Hono<Hosted> {
  const app = new Hono<Hosted>();
  const { sessions } = options;
  app.use(demandCertainHost(sessions, options.host));
  for (const [path, asset] of pageAssets()) app.get(path, (context) => asset.respond(context));
  addLogin(app, options);
  app.use("/api/*", demandSession(sessions));
  app.use("/metrics", demandSession(sessions));
  addReading(app, options);
  app.get("/api/logs", (context) => search(context, options));
  app.post("/api/actions/:action", demandOwnPage(sessions), (context) => act(context, options));
  app.notFound((context) => context.text("there is only one page here: /\n", 404));
  return app;
}

function addLogin(app: Hono<Hosted>, { sessions, allowsActions, isSecure }: RoutesOptions): void {
  app.get("/api/session", (context) => {
    const session = sessionOf(sessions, context);
    const body = {
      demandsLogin: sessions.demandsLogin,
      isOpen: session !== undefined,
      ...(session !== undefined && allowsActions() && { csrf: session.csrf }),
    };
    return context.json(body, 200, NO_STORE);
  });
  app.post("/api/login", async (context) => {
    if (sessions.isThrottled)
      return context.json({ error: "too many wrong passwords: wait a minute" }, 429, { "retry-after": "60" });
    const parsed = z.object({ password: z.string().max(1000) }).safeParse(await bodyOf(context));
    const token = parsed.success ? sessions.begin(parsed.data.password) : undefined;
    if (token === undefined) return context.json({ error: "this is not the password" }, 401, NO_STORE);
    setCookie(context, COOKIE, token, { httpOnly: true, sameSite: "Strict", path: "/", secure: isSecure });
    return context.json({}, 200, NO_STORE);
  });
  app.post("/api/logout", (context) => {
    const token = deleteCookie(context, COOKIE, { path: "/" });
    if (token !== undefined) sessions.end(token);
    return context.json({}, 200, NO_STORE);
  });
}

function addReading(app: Hono<Hosted>, options: RoutesOptions): void {
  const { view, viewers, history, federation, nowMs } = options;
  app.get("/api/events", (context) => {
    const isProgram = sessionOf(options.sessions, context)?.csrf === "";
    const cookie = getCookie(context, COOKIE);
    // A stream outlives its request: it ends with the session that it was opened in.
    const mayLook = () => isProgram || options.sessions.of(cookie) !== undefined;
    const stream = viewers.open(context.req.query("view"), mayLook);
    if (stream === undefined) return context.text("too many pages are open\n", 503);
    keepOpen(context.env, context.req.raw);
    return new Response(stream, {
      headers: { "content-type": "text/event-stream", "x-accel-buffering": "no", ...NO_STORE },
    });
  });
  app.get("/api/instances", (context) => context.json(view.instances, 200, NO_STORE));
  app.get("/api/instances/:name", (context) => {
    const watched = view.find(context.req.param("name"));
    if (watched === undefined) return context.json({ error: "there is no such instance" }, 404);
    const process = watched.latest?.answer.process;
    return context.json({ ...watched.snapshot, process, ...detailOf(watched) }, 200, NO_STORE);
  });
  app.get("/api/happenings", (context) =>
    context.json(history.happenings(nowMs() - RANGE_DAYS_MAX * 86_400_000, HAPPENINGS_SHOWN), 200, NO_STORE),
  );
  app.get("/api/history", (context) => {
    const question = historyQuestion.safeParse(context.req.query());
    const wanted = context.req.queries("line") ?? [];
    if (!question.success || wanted.length > LINES_OF_HISTORY_MAX)
      return context.json(
        { error: "wanted from and to in milliseconds, and at most 200 of line=INSTANCE/FIGURE" },
        400,
      );
    const { from: fromMs, to: toMs } = question.data;
    const lines = wanted.map((word) => {
      const slash = word.lastIndexOf("/");
      const [instance, figure] = [word.slice(0, slash), word.slice(slash + 1)];
      return { instance, figure, line: history.read(instance, figure, fromMs, toMs) };
    });
    return context.json({ fromMs, toMs, lines } satisfies HistoryAnswer, 200, NO_STORE);
  });
  app.get("/metrics", (context) =>
    context.body(federation.text(), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
    }),
  );
}

const historyQuestion = z
  .object({ from: z.coerce.number().min(0), to: z.coerce.number().min(0) })
  .refine(({ from, to }) => to > from && to - from <= RANGE_DAYS_MAX * 86_400_000);

const logQuestion = z.object({
  instance: z.string(),
  channel: z.string().min(1).max(200),
  contains: z.string().max(1000).optional(),
  regex: z.string().max(1000).optional(),
  ignoreCase: z
    .literal("true")
    .transform(() => true)
    .optional(),
  from: z.string().max(40).optional(),
  to: z.string().max(40).optional(),
  limit: z.coerce.number().int().min(1).max(LINES_MAX).default(100),
});

async function search(context: Context<Hosted>, { view, ca }: RoutesOptions): Promise<Response> {
  const parsed = logQuestion.safeParse(context.req.query());
  if (!parsed.success) return context.json({ error: "wanted an instance and a channel" }, 400);
  const { instance, ...question } = parsed.data;
  const watched = view.find(instance);
  const target = view.targets.find(({ name }) => name === instance);
  if (watched?.snapshot.role !== "logfiles" || target === undefined)
    return context.json({ error: `${instance} is no log store that answers` }, 404);
  const authorities = ca();
  try {
    const tls = authorities === undefined ? {} : { ca: authorities };
    return context.json(await searchLogs(target, watched, question, tls), 200, NO_STORE);
  } catch (error) {
    return context.json({ error: (error as Error).message }, error instanceof LogSearchError ? 400 : 502);
  }
}

async function act(context: Context<Hosted>, options: RoutesOptions): Promise<Response> {
  if (!options.allowsActions())
    return context.json({ error: "this hub only looks: allowsActions is false in its configuration" }, 403);
  const action = context.req.param("action") ?? "";
  const parsed = actionRequest.safeParse(await bodyOf(context));
  if (!parsed.success) return context.json({ error: "wanted the instance" }, 400);
  try {
    return context.json({ done: await options.actions.run(action, parsed.data) });
  } catch (error) {
    return context.json({ error: (error as Error).message }, 409);
  }
}

async function bodyOf(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch {
    return undefined;
  }
}
