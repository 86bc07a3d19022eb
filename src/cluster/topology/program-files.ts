/**
 * Programs that an instance's configuration names (a worker's application) and that go to its host with the prefix: the file, and the
 * files that it imports.
 *
 * Invariant: on the host they have the same places to each other as here, in the release's `configs/`, so an import finds there what it
 * finds here, and they are named, replaced and rolled back with their release like the configuration. Only what lies beside the
 * prefix's files is deployed: a program at an absolute path or elsewhere is the host's own business, one that imports such a file is
 * a mistake.
 */
import { isBuiltin } from "node:module";
import { dirname, isAbsolute, join, relative } from "node:path";
import { isFile } from "../../core/config/files.ts";
import { configKeys } from "../../core/config/keys.ts";
import { importedFile, importsOf, isPath, isProgramFile } from "../../core/config/imports.ts";
import type { LoadedConfig } from "../../core/config/load.ts";
import type { Origin } from "../../core/config/origin.ts";
import type { Notice, Problem } from "../../core/config/problem.ts";
import { valueAt } from "../../core/config/validate.ts";

/** Comes with the executable. */
const OWN_MODULE = "node-x/stream";
/** What an agent accepts as the name of a file (agent/messages.ts). */
const PLAIN_NAME = /^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*$/;

export interface ProgramFiles {
  /** Relative to the prefix's directory, in the order in which they were found. */
  names: string[];
  /** By key, the name of the file that it names. */
  entries: Map<string, string>;
  problems: Problem[];
  notices: Notice[];
}

/** Those of a configuration. `directory` is that of the prefix, on the operator's machine. */
export function programFilesOf({ schema, config, origins }: LoadedConfig, directory: string): ProgramFiles {
  const found: ProgramFiles = { names: [], entries: new Map(), problems: [], notices: [] };
  for (const { name: key, path, isProgram } of configKeys(schema)) {
    const value = valueAt(config, path);
    // Without an ending it is the name of a program that the executable brings.
    if (!isProgram || typeof value !== "string" || !isProgramFile(value)) continue;
    const origin = origins.of(path);
    const entry = placeBeside(directory, isAbsolute(value) ? value : join(directory, value));
    if (isAbsolute(value) || entry === undefined || !isFile(join(directory, entry))) {
      const text = `${key}: ${value} is not beside the prefix's files, so it must be on the host`;
      found.notices.push({ level: "info", origin, text });
      continue;
    }
    found.entries.set(key, entry);
    follow(entry, { directory, found, origin, path: [...path] });
  }
  return found;
}

/** Words that tell the instance where its programs are on its host. */
export function wordsForPrograms({ entries }: ProgramFiles): string[] {
  return [...entries].flatMap(([key, name]) => ["--set", `${key}={configs}/${name}`]);
}

interface Following {
  directory: string;
  found: ProgramFiles;
  /** Of the key. */
  origin: Origin;
  path: string[];
}

/** Adds a file and whatever it imports. */
function follow(name: string, following: Following): void {
  const { directory, found, origin, path } = following;
  if (found.names.includes(name)) return;
  found.names.push(name);
  const mistake = (wanted: string, got: string) => found.problems.push({ origin, path, wanted, got });
  if (!name.split("/").every((part) => PLAIN_NAME.test(part)))
    mistake("files whose names are letters, digits and . _ @ + -", name);
  for (const specifier of importsOf(join(directory, name), (why) => mistake("a program", why))) {
    if (!isPath(specifier)) {
      if (specifier === OWN_MODULE || isBuiltin(specifier) || /^bun(:|$)/.test(specifier)) continue;
      const text = `${name} imports "${specifier}", which is not deployed and must be found on the host`;
      found.notices.push({ level: "info", origin, text });
      continue;
    }
    const imported = importedFile(join(directory, dirname(name)), specifier);
    const place = imported === undefined ? undefined : placeBeside(directory, imported);
    if (imported === undefined) mistake("imports that are there", `"${specifier}" in ${name}`);
    else if (place === undefined)
      mistake("imports beside the prefix's files, to be deployed with them", `"${specifier}" in ${name}`);
    else follow(place, following);
  }
}

/** The path from the directory to a file in it; undefined for one elsewhere. */
function placeBeside(directory: string, file: string): string | undefined {
  const place = relative(directory, file);
  return place === ".." || place.startsWith("../") || isAbsolute(place) ? undefined : place;
}
