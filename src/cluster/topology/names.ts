/**
 * Which files of a directory belong to which prefix, by their names alone.
 *
 *   prefix.<role><n>.json     one instance (JSON with comments)
 *   prefix<n>.config          shard n, a replicated group     } the text files
 *   prefix.tss.config         the timestamp servers' group    } of the original
 *   prefix.frontend<n>.config one frontend                    } Diamond
 *   prefix.cluster.json       hosts, placement, rollout; optional
 *
 * `p10.config` may be shard 10 of `p` or shard 0 of `p1`. Which one it is follows from the names that have only one
 * reading (`p.tss.config`, `p1.frontend0.config` …); when those speak for both, the file is claimed by two prefixes and
 * that is a mistake. Every other name in the directory is none of our business.
 */
import type { GroupKind } from "../../core/config/group-file.ts";

/** A file that is one instance or one group of a prefix. */
export interface MemberName {
  kind: "json" | GroupKind;
  prefix: string;
  role: string;
  /** The number in the name; undefined when there is none (`p.tss.config`, `p.hub.json`). */
  index: number | undefined;
  name: string;
}

export interface PrefixFiles {
  members: MemberName[];
  /** `prefix.cluster.json`, when it is there. */
  clusterFile: string | undefined;
  /** Shard files that other prefixes of the directory claim, too. */
  contested: { name: string; prefixes: string[] }[];
  /** Names that look like this prefix's, but say no role: perhaps a slip. */
  unclear: { name: string; role: string }[];
}

const PREFIX = "[A-Za-z0-9][A-Za-z0-9_-]*";
const INDEX = "0|[1-9][0-9]{0,5}";
const jsonName = new RegExp(`^(?<prefix>${PREFIX})\\.(?<role>[a-z]+)(?<index>${INDEX})?\\.jsonc?$`);
const tssName = new RegExp(`^(?<prefix>${PREFIX})\\.tss\\.config$`);
const frontendName = new RegExp(`^(?<prefix>${PREFIX})\\.frontend(?<index>${INDEX})\\.config$`);
const shardName = new RegExp(`^(?<stem>${PREFIX})\\.config$`);

export function isPrefix(text: string): boolean {
  return new RegExp(`^${PREFIX}$`).test(text);
}

/** The files of `prefix` among `names`. */
export function filesOfPrefix(
  prefix: string,
  names: readonly string[],
  roleNames: readonly string[],
): PrefixFiles {
  const plain = names.flatMap((name) => plainReading(name) ?? []);
  const isMember = (file: MemberName) => roleNames.includes(file.role) || file.kind !== "json";
  const certain = new Set(
    plain.filter((file) => isMember(file) || isClusterFile(file)).map((file) => file.prefix),
  );
  const own = plain.filter((file) => file.prefix === prefix);
  const found: PrefixFiles = {
    members: own.filter((file) => isMember(file) && !isClusterFile(file)),
    clusterFile: own.find(isClusterFile)?.name,
    contested: [],
    unclear: own.filter((file) => !isMember(file) && !isClusterFile(file)),
  };
  for (const name of names) {
    const readings = shardReadings(name);
    const reading = readings.find((file) => file.prefix === prefix);
    if (reading === undefined) continue;
    const rivals = readings
      .map((file) => file.prefix)
      .filter((other) => other !== prefix && certain.has(other));
    if (rivals.length === 0) found.members.push(reading);
    else if (certain.has(prefix)) found.contested.push({ name, prefixes: [prefix, ...rivals].sort() });
  }
  return found;
}

const isClusterFile = (file: MemberName) => file.role === "cluster" && file.index === undefined;

/** What a name says that can be read in one way only. */
function plainReading(name: string): MemberName | undefined {
  const read = (pattern: RegExp, kind: MemberName["kind"], role?: string): MemberName | undefined => {
    const { groups } = pattern.exec(name) ?? {};
    if (groups === undefined) return undefined;
    const index = groups.index === undefined ? undefined : Number(groups.index);
    return { kind, prefix: groups.prefix ?? "", role: role ?? groups.role ?? "", index, name };
  };
  return read(jsonName, "json") ?? read(tssName, "group", "tss") ?? read(frontendName, "single", "frontend");
}

/** Every way to read `p10.config`: shard 10 of `p`, shard 0 of `p1`. */
function shardReadings(name: string): MemberName[] {
  const stem = shardName.exec(name)?.groups?.stem ?? "";
  const digits = /[0-9]*$/.exec(stem)?.[0] ?? "";
  const readings: MemberName[] = [];
  for (let length = 1; length <= digits.length; length++) {
    const prefix = stem.slice(0, stem.length - length);
    const index = stem.slice(-length);
    if (isPrefix(prefix) && new RegExp(`^(${INDEX})$`).test(index))
      readings.push({ kind: "group", prefix, role: "shard", index: Number(index), name });
  }
  return readings;
}
