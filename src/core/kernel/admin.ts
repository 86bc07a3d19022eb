/**
 * The admin endpoint of an instance: is it alive, is it ready, what does it do, how was it configured.
 *
 * Invariant: it answers from the first moment the data directory is locked until the last step of the shutdown,
 * so an operator can always ask why an instance is not ready. It shows no secrets. The unix socket is guarded by
 * its mode (0600), the TCP listener by a token; where it has none, web pages in a browser on this host cannot use
 * it: requests that change something are refused when they come from a page, and rebound names are.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { hostname } from "node:os";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { Metrics } from "../metrics.ts";
import type { Stats } from "../role.ts";
import { isCertainHost } from "../sockets/certain-host.ts";

export type InstanceState = "starting" | "ready" | "draining" | "stopped";

export interface AdminView {
  state(): InstanceState;
  /** Why not ready; empty when ready. */
  reasons(): string[];
  /** Everything /stats shows. */
  stats(): Stats;
  /** Keys with values and origins, secrets redacted. */
  config(): unknown;
  metrics: Metrics;
  /** Refuses new work and finishes what was begun; the instance stays so until it is started anew. */
  drain(): Promise<void>;
}

export interface AdminOptions {
  /** What the role itself adds (rolePages); undefined while there is nothing. */
  pages(): Hono | undefined;
  /** Over TCP: whoever is on this host can reach it, browsers included. */
  isOnPort?: boolean;
  /** Every request must then carry `Authorization: Bearer <token>`. */
  token?: string;
}

/** An app for the pages that a role adds. What their handlers throw is reported where all failed requests are. */
export function rolePages(add: (pages: Hono) => void): Hono {
  const app = new Hono();
  app.onError((error) => {
    throw error;
  });
  app.notFound((context) => noSuchPage(app, context));
  add(app);
  return app;
}

export function adminApp(view: AdminView, { pages, token, isOnPort = false }: AdminOptions): Hono {
  const app = new Hono();
  if (token !== undefined) app.use(demandToken(token));
  if (token === undefined && isOnPort) app.use(refuseWebPages);
  app.get("/", (context) => context.text(`${pageLines([app, pages()])}\n`));
  app.get("/livez", (context) => context.json({ live: true, state: view.state() }));
  app.get("/readyz", (context) => {
    const reasons = view.reasons();
    const isReady = reasons.length === 0;
    return context.json({ ready: isReady, state: view.state(), reasons }, isReady ? 200 : 503);
  });
  app.get("/metrics", async (context) =>
    context.body(await view.metrics.text(), 200, { "content-type": view.metrics.contentType }),
  );
  app.get("/stats", (context) => context.json(view.stats()));
  app.post("/drain", async (context) => {
    if (view.state() === "starting") return context.json({ error: "it is still starting" }, 409);
    await view.drain();
    return context.json({ state: view.state() });
  });
  app.get("/config", (context) => context.json(view.config()));
  app.notFound((context) => {
    const own = pages();
    if (own !== undefined && methodsOf(app, context.req.path).length === 0) return own.fetch(context.req.raw);
    // It may be one of the role's own, which come with the role.
    if (view.state() === "starting")
      return context.json({ error: `it is still starting: ${view.reasons().join(", ")}` }, 503);
    return noSuchPage(app, context);
  });
  return app;
}

/** `GET /livez` and so on, a line for each. */
function pageLines(apps: (Hono | undefined)[]): string {
  const routes = apps.flatMap((app) => app?.routes ?? []).filter(({ method }) => method !== "ALL");
  return routes.map(({ method, path }) => `${method} ${path}`).join("\n");
}

function methodsOf(app: Hono, path: string): string[] {
  return app.routes
    .filter((route) => route.path === path && route.method !== "ALL")
    .map(({ method }) => method);
}

function noSuchPage(app: Hono, context: Context): Response {
  const { method, path } = context.req;
  const allow = methodsOf(app, path).join(", ");
  if (allow === "") return context.text(`no such page: ${path}; see /\n`, 404);
  return context.text(`${path} takes ${allow}, not ${method}\n`, 405, { allow });
}

/** Browsers name the page's origin with whatever may change something; programs name none. */
const refuseWebPages: MiddlewareHandler = async (context, next) => {
  const { method } = context.req;
  if (method !== "GET" && method !== "HEAD" && context.req.header("origin") !== undefined)
    return context.text("requests of web pages are refused: ask with a program\n", 403);
  if (!isCertainHost(context.req.header("host") ?? "", hostname()))
    return context.text("the admin port has no token and answers only as localhost or by address\n", 421);
  return next();
};

function demandToken(token: string): MiddlewareHandler {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const wanted = digest(`Bearer ${token}`);
  return async (context, next) => {
    // Digests have one length, so the comparison tells nothing about the token's.
    if (timingSafeEqual(digest(context.req.header("authorization") ?? ""), wanted)) return next();
    return context.text("the admin token is missing or wrong\n", 401, { "www-authenticate": "Bearer" });
  };
}
