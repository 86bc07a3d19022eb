/**
 * The page's files, embedded in the executable and kept ready to send, compressed and not.
 *
 * Invariant: the page loads nothing from elsewhere and its policy (CSP) lets it load nothing else; scripts and styles
 * have their digest in their name, so that a browser may keep them for ever.
 */
import { createHash } from "node:crypto";
import type { Context } from "hono";
import script from "../../dist/hub/page.js.txt" with { type: "text" };
import templateText from "./page/index.html" with { type: "text" };
import style from "./page/page.css" with { type: "text" };

// The declared type of an HTML import is that of a bundler's entry point; as text it is a string.
const template = templateText as unknown as string;

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

  constructor(type: string, text: string, cacheControl: string) {
    this.#type = type;
    this.#cacheControl = cacheControl;
    this.#plain = new TextEncoder().encode(text);
    this.#gzipped = Bun.gzipSync(this.#plain);
    this.#etag = `"${digestOf(text)}"`;
  }

  respond(context: Context): Response {
    const headers = {
      ...securityHeaders,
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

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Assets by path. */
export function pageAssets(): Map<string, Asset> {
  const forEver = "public, max-age=31536000, immutable";
  const scriptPath = `/page-${digestOf(script)}.js`;
  const stylePath = `/page-${digestOf(style)}.css`;
  const html = template.replace("%SCRIPT%", scriptPath).replace("%STYLE%", stylePath);
  return new Map([
    ["/", new Asset("text/html; charset=utf-8", html, "no-cache")],
    [scriptPath, new Asset("text/javascript; charset=utf-8", script, forEver)],
    [stylePath, new Asset("text/css; charset=utf-8", style, forEver)],
  ]);
}
