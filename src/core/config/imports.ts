/**
 * What a program's file imports, as files: for whoever brings a program to another host, or has to know whether two are the same.
 *
 * Only words that do not have to be computed count. Invariant: a path means the file that the runtime would take for it.
 */
import { extname, isAbsolute, join } from "node:path";
import { isFile } from "./files.ts";
import { readConfigFile } from "./load.ts";

/** The languages of files that can import others, by the endings of their names, as Bun tells them. */
const loaders: Record<string, "ts" | "tsx" | "js" | "jsx"> = {
  ...{ ".ts": "ts", ".mts": "ts", ".cts": "ts", ".tsx": "tsx" },
  ...{ ".js": "js", ".mjs": "js", ".cjs": "js", ".jsx": "jsx" },
};

export const isProgramFile = (name: string): boolean => loaders[extname(name)] !== undefined;

/** Not the name of a package. */
export const isPath = (specifier: string): boolean => /^\.{0,2}\//.test(specifier);

/** What a file imports; text and JSON import nothing. */
export function importsOf(file: string, onMistake: (why: string) => void): string[] {
  const loader = loaders[extname(file)];
  if (loader === undefined) return [];
  try {
    const text = new TextDecoder().decode(readConfigFile(file));
    return new Bun.Transpiler({ loader }).scanImports(text).map(({ path }) => path);
  } catch (error) {
    onMistake(`${file}: ${(error as Error).message}`);
    return [];
  }
}

/** The file that an import of this path means: itself, with an ending, the source of a compiled one, or a directory's index. */
export function importedFile(directory: string, specifier: string): string | undefined {
  const path = isAbsolute(specifier) ? specifier : join(directory, specifier);
  const endings = [...Object.keys(loaders), ".json"];
  const bare = /\.[cm]?jsx?$/.test(path) ? path.slice(0, -extname(path).length) : path;
  const candidates = [
    path,
    ...endings.map((ending) => `${path}${ending}`),
    ...Object.keys(loaders).map((ending) => `${bare}${ending}`),
    ...endings.map((ending) => join(path, `index${ending}`)),
  ];
  return candidates.find(isFile);
}
