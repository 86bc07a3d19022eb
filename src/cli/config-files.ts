/**
 * The configuration files that a word on the command line means: one file, or a cluster's prefix.
 *
 * `configs/local` means the files of `configs/` that match exactly `local.<role><n>.json`, sorted by name; where a whole cluster is
 * meant, also the text files of the original Diamond (`local0.config`, `local.tss.config`, `local.frontend0.config`).
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { filesOfPrefix, type MemberName } from "../cluster/topology/names.ts";
import type { ReplicaOfFile } from "../core/config/check.ts";
import { parseGroupFile } from "../core/config/group-file.ts";
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

/** What a whole cluster consists of: files of one instance each, and replicas of groups. Throws as `filesOf`. */
export function instancesOf(word: string, workingDirectory: string): (string | ReplicaOfFile)[] {
  const path = resolve(workingDirectory, word);
  if (isFile(word, workingDirectory)) return [word];
  const names = listed(dirname(path));
  const members = filesOfPrefix(basename(path), names, roleNames).members;
  const texts = members.filter(({ kind }) => kind !== "json");
  const files =
    texts.length === 0 || hasMembers(word, workingDirectory) ? filesOf(word, workingDirectory) : [];
  return [...files, ...texts.flatMap((member) => replicasOf(member, path, dirname(word)))];
}

function replicasOf(
  { name, kind }: MemberName,
  prefix: string,
  directory: string,
): (string | ReplicaOfFile)[] {
  const file = join(directory, name);
  if (kind !== "group") return [file];
  const path = join(dirname(prefix), name);
  const { members } = parseGroupFile(path, readFileSync(path), "group");
  // A file without a right address is read as one replica's: its mistakes are told then.
  return Array.from({ length: Math.max(1, members.length) }, (_, replica) => ({ file, replica }));
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
  return listed(directory).filter((name) => claimOfFileName(name, roleNames)?.prefix === prefix);
}

function listed(directory: string): string[] {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(directory).sort();
}
