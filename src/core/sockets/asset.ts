/**
 * Files that a role serves to browsers, kept ready to send, compressed and not.
 *
 * Invariant: pages load nothing from elsewhere and their policy (CSP) lets them load nothing else; what has its digest in its
 * name may be kept by a browser for ever.
 */
import { createHash } from "node:crypto";
import type { Context } from "hono";

/** For `cache-control`. */
export const KEEP_FOR_EVER = "public, max-age=31536000, immutable";
export const ASK_EACH_TIME = "no-cache";

const securityHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

export class Asset {
  readonly #type: string;
  readonly #cacheControl: string;
  readonly #plain: Uint8Array<ArrayBuffer>;
  readonly #gzipped: Uint8Array<ArrayBuffer>;
  readonly #etag: string;
  readonly #headers: Record<string, string>;

  constructor(type: string, text: string, cacheControl: string, headers: Record<string, string> = {}) {
    this.#type = type;
    this.#headers = headers;
    this.#cacheControl = cacheControl;
    this.#plain = new TextEncoder().encode(text);
    this.#gzipped = Bun.gzipSync(this.#plain);
    this.#etag = `"${digestOf(text)}"`;
  }

  respond(context: Context): Response {
    const headers = {
      ...securityHeaders,
      ...this.#headers,
      "content-type": this.#type,
      "cache-control": this.#cacheControl,
      etag: this.#etag,
      vary: "accept-encoding",
    };
    if (context.req.header("if-none-match") === this.#etag)
      return new Response(null, { status: 304, headers });
    if (!/\bgzip\b/.test(context.req.header("accept-encoding") ?? ""))
      return new Response(this.#plain, { headers });
    return new Response(this.#gzipped, { headers: { ...headers, "content-encoding": "gzip" } });
  }
}

/** Names a content. */
export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** A page of one script and one style. `template` is HTML with %SCRIPT% and %STYLE% where their addresses belong. */
export function pageFiles(
  name: string,
  { template, script, style }: { template: string; script: string; style: string },
): { page: Asset; files: Map<string, Asset> } {
  const scriptPath = `/${name}-${digestOf(script)}.js`;
  const stylePath = `/${name}-${digestOf(style)}.css`;
  const html = template.replace("%SCRIPT%", scriptPath).replace("%STYLE%", stylePath);
  return {
    page: new Asset("text/html; charset=utf-8", html, ASK_EACH_TIME),
    files: new Map([
      [scriptPath, new Asset("text/javascript; charset=utf-8", script, KEEP_FOR_EVER)],
      [stylePath, new Asset("text/css; charset=utf-8", style, KEEP_FOR_EVER)],
    ]),
  };
}
