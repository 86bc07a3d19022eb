/**
 * What a frontend serves to browsers: the client library, its types and, where the configuration says so, the sample applications.
 *
 * Invariant: all of it is the same for everybody and says nothing of what is stored; data goes over the client protocol only,
 * to whoever has a right to it.
 */
import type { Hono } from "hono";
import client from "../../dist/reactive/client.js.txt" with { type: "text" };
import types from "../../dist/reactive/client.d.ts.txt" with { type: "text" };
import script from "../../dist/reactive/samples.js.txt" with { type: "text" };
import { ASK_EACH_TIME, Asset, pageFiles } from "../core/sockets/asset.ts";
import style from "./samples/page.css" with { type: "text" };
import templateText from "./samples/page.html" with { type: "text" };

/** Where pages import the client library from. */
export const CLIENT_PATH = "/client.js";

// The declared type of an HTML import is that of a bundler's entry point; as text it is a string.
const template = templateText as unknown as string;

export function servePages(app: Hono, hasSamples: boolean): void {
  // Pages of other origins may import it too.
  const library = new Asset("text/javascript; charset=utf-8", client, ASK_EACH_TIME, {
    "access-control-allow-origin": "*",
  });
  app.get(CLIENT_PATH, (context) => library.respond(context));
  const declarations = new Asset("text/plain; charset=utf-8", types, ASK_EACH_TIME);
  app.get("/client.d.ts", (context) => declarations.respond(context));
  if (!hasSamples) {
    app.get("/", (context) =>
      context.text(`A frontend. ${CLIENT_PATH} is its client library, /v1/ its HTTP interface.\n`),
    );
    return;
  }
  const { page, files } = pageFiles("samples", { template, script, style });
  for (const path of ["/samples", "/samples/game", "/samples/chat", "/samples/retwis"])
    app.get(path, (context) => page.respond(context));
  for (const [path, file] of files) app.get(path, (context) => file.respond(context));
  app.get("/", (context) => context.redirect("/samples"));
}
