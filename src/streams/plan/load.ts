/**
 * Brings an application's file into the process: any TypeScript file, from any directory, by the compiled executable.
 *
 * `import … from "node-x/stream"` finds no package beside such a file, so the module is registered by name before the
 * file is imported. The name is the only thing that is kept in the process; loading twice is harmless.
 */
import { dirname, isAbsolute, resolve } from "node:path";
import { importedFile, importsOf, isPath } from "../../core/config/imports.ts";
import type { App } from "../api/contract.ts";
import * as streamModule from "../api/index.ts";
import { invalid } from "../api/checks.ts";
import { messageOf, thrownAt } from "../thrown.ts";
import { builtInApps } from "../apps/index.ts";

export interface LoadedApp {
  app: App;
  /** The program's text, for the plan's hash. */
  text: string;
}

/** Reads a file; the disk seam of whoever asks. */
export type ReadText = (path: string) => Promise<string>;

const MODULE = "node-x/stream";

function registerModule(): void {
  Bun.plugin({
    name: MODULE,
    setup(build) {
      build.module(MODULE, () => ({ exports: { ...streamModule }, loader: "object" }));
    },
  });
}

/**
 * `name`: one of the applications that come along, or the path of a file, relative to `directory`. Throws
 * NX_STREAM_APP_INVALID.
 */
export async function loadApp(name: string, directory: string, readText: ReadText): Promise<LoadedApp> {
  const builtIn = Object.hasOwn(builtInApps, name) ? builtInApps[name] : undefined;
  if (builtIn !== undefined) return { app: await builtIn(), text: `built in: ${name}` };
  const path = isAbsolute(name) ? name : resolve(directory, name);
  registerModule();
  let module: { default?: unknown };
  try {
    module = (await import(path)) as { default?: unknown };
  } catch (error) {
    const names = Object.keys(builtInApps).join(", ");
    throw invalid(
      `the application ${path} cannot be loaded: ${messageOf(error)}${thrownAt(error)}`,
      `name a TypeScript file, or one of those that come along: ${names}`,
    );
  }
  const { default: app } = module;
  if (!isApp(app))
    throw invalid(`${path} has no application as its default export`, "export default app(name, …)");
  return { app, text: await programText(path, readText) };
}

/** The texts of the file and of those that it imports by their paths, in the order of the imports, wherever they lie. */
async function programText(entry: string, readText: ReadText): Promise<string> {
  const paths = new Set([entry]);
  const texts: string[] = [];
  // Grows while it is walked.
  for (const path of paths) {
    texts.push(await readText(path));
    for (const specifier of importsOf(path, () => {})) {
      const imported = isPath(specifier) ? importedFile(dirname(path), specifier) : undefined;
      if (imported !== undefined) paths.add(imported);
    }
  }
  return texts.length === 1 ? (texts[0] as string) : JSON.stringify(texts);
}

function isApp(value: unknown): value is App {
  const app = value as Partial<App> | null | undefined;
  return typeof app === "object" && typeof app?.name === "string" && typeof app.build === "function";
}
