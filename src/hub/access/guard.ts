/**
 * The guard before everything that the hub tells or does.
 *
 * Invariant: without a session nothing is told but whether a login is needed. A page of somebody else cannot use the reader's
 * browser: the cookie goes to this site only, requests that change something carry a token that only our page knows, and a hub
 * without login answers only under names that are certain to be this host (a rebound name is refused).
 */
import type { Context, MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import { isSame, type Session, type Sessions } from "./sessions.ts";
import { createHash } from "node:crypto";
import { isCertainHost } from "../../core/sockets/certain-host.ts";

export const COOKIE = "node_x_hub";
export const CSRF_HEADER = "x-node-x-csrf";

/** The session of a request: by cookie, by bearer token for programs, or the open one. */
export function sessionOf(sessions: Sessions, context: Context): Session | undefined {
  const bearer = /^Bearer (.+)$/.exec(context.req.header("authorization") ?? "")?.[1];
  if (bearer !== undefined && sessions.demandsLogin && sessions.isPassword(bearer)) return { csrf: "" };
  return sessions.of(getCookie(context, COOKIE));
}

/** Lets nobody pass who has no session. */
export function demandSession(sessions: Sessions): MiddlewareHandler {
  return async (context, next) => {
    if (sessionOf(sessions, context) !== undefined) return next();
    return context.json({ error: "log in first" }, 401, { "cache-control": "no-store" });
  };
}

/** Lets only our own page change something. */
export function demandOwnPage(sessions: Sessions): MiddlewareHandler {
  return async (context, next) => {
    const site = context.req.header("sec-fetch-site");
    const session = sessionOf(sessions, context);
    const given = context.req.header(CSRF_HEADER) ?? "";
    const isOwn = site === undefined || site === "same-origin";
    const isJson = context.req.header("content-type")?.startsWith("application/json") === true;
    const wanted = createHash("sha256")
      .update(session?.csrf ?? "")
      .digest();
    if (session !== undefined && session.csrf !== "" && isOwn && isJson && isSame(given, wanted))
      return next();
    return context.json({ error: "this request does not come from the hub's own page: load it again" }, 403);
  };
}

/** Refuses rebound names where no login protects the page. */
export function demandCertainHost(sessions: Sessions, own: string): MiddlewareHandler {
  return async (context, next) => {
    if (sessions.demandsLogin || isCertainHost(context.req.header("host") ?? "", own)) return next();
    return context.text("this hub has no login and answers only as localhost or by address\n", 421);
  };
}
