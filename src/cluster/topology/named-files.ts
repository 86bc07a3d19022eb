/**
 * Files that an instance's configuration names (keys, certificates, tokens, credentials) and that go to its host with the prefix:
 * those that lie beside the prefix's own files.
 *
 * Invariant: what is in them is nowhere but in the file itself and on its way to the host. Here are only their paths; a command line
 * holds the path on the host. A path that is absolute, or not beside the prefix's files, is the host's own business.
 */
import { isAbsolute, join, resolve } from "node:path";
import { fileProblems, isThere } from "../../core/config/files.ts";
import { configKeys } from "../../core/config/keys.ts";
import type { LoadedConfig } from "../../core/config/load.ts";
import type { Notice, Problem } from "../../core/config/problem.ts";
import { valueAt } from "../../core/config/validate.ts";
import { NAMED_FILES } from "./layout.ts";
import type { Host, NamedFile } from "./types.ts";

/** Those of a configuration, by key. `directory` is that of the prefix, on the operator's machine. */
export function namedFilesOf({ schema, config }: LoadedConfig, directory: string): NamedFile[] {
  return configKeys(schema).flatMap(({ name, path, fileKind }) => {
    const value = valueAt(config, path);
    if (fileKind === undefined || typeof value !== "string" || isAbsolute(value)) return [];
    const file = join(directory, value);
    return isThere(file) ? [{ key: name, path: file }] : [];
  });
}

/** Words that tell the instance where they are on its host. */
export function wordsFor(files: readonly NamedFile[]): string[] {
  return files.flatMap(({ key }) => ["--set", `${key}=${NAMED_FILES}/${key}`]);
}

/**
 * What is wrong with files that can be looked at here: those that are deployed, and all of a host that is this machine. Others are
 * looked at when the instance starts.
 */
export function namedFileProblems(config: LoadedConfig, files: readonly NamedFile[], host: Host): Problem[] {
  const values = host.access.kind === "local" ? structuredClone(config.config) : {};
  for (const { key, path } of files) setAt(values, key.split("."), path);
  return fileProblems({ ...config, config: values, workingDirectory: host.workingDirectory });
}

/** A relative path on another host that is not beside the files: perhaps somebody forgot to put it there. */
export function strayFileNotices(
  { schema, config, origins }: LoadedConfig,
  files: readonly NamedFile[],
  directory: string,
  host: Host,
): Notice[] {
  if (host.access.kind === "local") return [];
  return configKeys(schema).flatMap(({ name, path, fileKind }): Notice[] => {
    const value = valueAt(config, path);
    if (fileKind === undefined || typeof value !== "string" || isAbsolute(value)) return [];
    if (files.some(({ key }) => key === name)) return [];
    const there = resolve(host.workingDirectory, value);
    const text = `${name}: ${join(directory, value)} is not there to be deployed, so ${there} must be on ${host.name}`;
    return [{ level: "info", origin: origins.of(path), text }];
  });
}

function setAt(object: Record<string, unknown>, path: readonly string[], value: string): void {
  const [first = "", ...rest] = path;
  if (rest.length === 0) object[first] = value;
  else setAt((object[first] ??= {}) as Record<string, unknown>, rest, value);
}
