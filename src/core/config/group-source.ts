/**
 * A group's file of addresses (group-file.ts) as a source of configuration: one instance is one of its lines.
 *
 *   prefix.tss.config     role tss,    instance prefix.tss.<replica>
 *   prefix<n>.config      role shard,  instance prefix.shard<n>.<replica>
 *
 * The line's address is `host` and `port`, all lines are `replicas`, the chosen one is `replica`. Invariant: each value has
 * the place of its line, so that later checks point there.
 */
import { basename } from "node:path";
import { parseGroupFile, type GroupMember } from "./group-file.ts";
import type { IniSource } from "./ini/source.ts";
import { decodeText } from "./parse.ts";

/** Whether a file is read as a group's addresses: by its name, as the original did. */
export function isGroupFile(file: string): boolean {
  return /\.config$/.test(file);
}

/** `replica`: from the command line; a group of one needs none. */
export function readGroup(
  file: string,
  bytes: Uint8Array,
  role: string | undefined,
  replica: number | undefined,
): IniSource {
  const parsed = decodeText(file, bytes);
  const source: IniSource = { parsed, claim: claimOf(file, role, replica ?? 0), notices: [], defaults: {} };
  if (parsed.problems.length > 0) return source;
  const { members, problems, notices } = parseGroupFile(file, bytes, "group");
  parsed.problems.push(...problems);
  source.notices.push(...notices);
  if (problems.length > 0) return source;
  if (replica === undefined && members.length > 1) {
    const wanted = `--replica (-i) with a number from 0 to ${members.length - 1}: the file lists ${members.length} replicas`;
    parsed.mistake(0, ["replica"], wanted, "none");
    return source;
  }
  const own = members[replica ?? 0];
  if (own === undefined) {
    parsed.mistake(0, ["replica"], `a replica from 0 to ${members.length - 1}`, String(replica));
    return source;
  }
  const offset = offsetOfLine(parsed.text, own.origin.line);
  const place = { keyOffset: offset, valueOffset: offset, valueLength: 0 };
  const shard = shardOf(file);
  const value = {
    replicas: members.map(addressText),
    replica: replica ?? 0,
    host: own.host,
    port: own.port,
    ...(source.claim?.role === "shard" && shard !== undefined && { shard }),
  };
  for (const key of Object.keys(value)) parsed.place([key], place);
  parsed.value = value;
  return source;
}

function claimOf(file: string, role: string | undefined, replica: number): IniSource["claim"] {
  const name = basename(file).replace(/\.config$/, "");
  const tss = /^(?<prefix>.+)\.tss$/.exec(name)?.groups?.prefix;
  if (tss !== undefined) return { role: "tss", instance: `${tss}.tss.${replica}` };
  const { prefix, index } = /^(?<prefix>.*?)(?<index>\d+)$/.exec(name)?.groups ?? {};
  if (prefix !== undefined && prefix !== "") {
    return { role: "shard", instance: `${prefix}.shard${index}.${replica}` };
  }
  return role === undefined ? undefined : { role, instance: `${name}.${replica}` };
}

/** The number of the shard that a file is of. */
function shardOf(file: string): number | undefined {
  const digits = /(\d+)\.config$/.exec(basename(file))?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export function addressText({ host, port }: GroupMember): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function offsetOfLine(text: string, line: number): number {
  let offset = 0;
  for (let current = 1; current < line; current++) offset = text.indexOf("\n", offset) + 1;
  return offset;
}
