/**
 * The configuration files that a word on the command line means: one file, or a cluster's prefix.
 *
 * `configs/local` means the files of `configs/` that match exactly `local.<role><n>.json`, sorted by name.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { claimOfFileName } from "../core/config/instance-name.ts";
import { NxError } from "../core/errors.ts";
import { roleNames } from "../roles.ts";

/** Paths as the operator would write them. Throws NX_CONFIG_UNREADABLE when the word means nothing. */
export function filesOf(word: string, workingDirectory: string): string[] {
  const path = resolve(workingDirectory, word);
  const kind = statSync(path, { throwIfNoEntry: false });
  if (kind?.isFile()) return [word];
  const prefix = basename(path);
  const members = membersOf(dirname(path), prefix).map((name) => join(dirname(word), name));
  if (members.length > 0) return members;
  const isDirectory = kind?.isDirectory() === true;
  throw new NxError(
    "NX_CONFIG_UNREADABLE",
    `${path}: ${isDirectory ? "it is a directory" : `there is no such file, and no file matches ${prefix}.<role><n>.json`}`,
    {
      hint: isDirectory
        ? "give a file, or a cluster's prefix such as configs/local"
        : "`node-x init ROLE` writes a commented sample",
    },
  );
}

export function isFile(word: string, workingDirectory: string): boolean {
  return statSync(resolve(workingDirectory, word), { throwIfNoEntry: false })?.isFile() === true;
}

/** True when files of this prefix exist. */
export function hasMembers(word: string, workingDirectory: string): boolean {
  const path = resolve(workingDirectory, word);
  return membersOf(dirname(path), basename(path)).length > 0;
}

function membersOf(directory: string, prefix: string): string[] {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(directory)
    .filter((name) => claimOfFileName(name, roleNames)?.prefix === prefix)
    .sort();
}
