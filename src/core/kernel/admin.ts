/**
 * The admin endpoint of an instance: is it alive, is it ready, what does it do, how was it configured.
 *
 * Invariant: it answers from the first moment the data directory is locked until the last step of the shutdown,
 * so an operator can always ask why an instance is not ready. It shows no secrets. The unix socket is guarded by
 * its mode (0600), the TCP listener by a token.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { Hono, type MiddlewareHandler } from "hono";
import type { Metrics } from "../metrics.ts";
import type { Stats } from "../role.ts";

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
  /** Answers what the role itself adds; undefined while there is nothing. */
  pages(request: Request): Response | Promise<Response> | undefined;
  /** Every request must then carry `Authorization: Bearer <token>`. */
  token?: string;
}

export function adminApp(view: AdminView, { pages, token }: AdminOptions): Hono {
  const app = new Hono();
  if (token !== undefined) app.use(demandToken(token));
  app.get("/", (context) => context.text("/livez /readyz /metrics /stats /config; POST /drain\n"));
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
  app.notFound(async (context) => {
    const page = await pages(context.req.raw);
    if (page !== undefined) return page;
    // It may be one of the role's own, which come with the role.
    if (view.state() === "starting")
      return context.json({ error: `it is still starting: ${view.reasons().join(", ")}` }, 503);
    return context.text(`no such page: ${context.req.path}; see /\n`, 404);
  });
  return app;
}

function demandToken(token: string): MiddlewareHandler {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const wanted = digest(`Bearer ${token}`);
  return async (context, next) => {
    // Digests have one length, so the comparison tells nothing about the token's.
    if (timingSafeEqual(digest(context.req.header("authorization") ?? ""), wanted)) return next();
    return context.text("the admin token is missing or wrong\n", 401, { "www-authenticate": "Bearer" });
  };
}
