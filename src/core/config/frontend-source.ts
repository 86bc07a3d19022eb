/**
 * A frontend's text file (`prefix.frontend<n>.config`, one address) and the groups' files beside it as one configuration.
 *
 *   host, httpPort      the file's own address
 *   timestampServers    the addresses of prefix.tss.config
 *   shards              those of prefix0.config, prefix1.config, … one list each
 *
 * Invariant: every mistake has its file, line and column, also those of the files beside it.
 */
import { basename, dirname, join } from "node:path";
import { parseGroupFile, type GroupFile } from "./group-file.ts";
import { addressText } from "./group-source.ts";
import type { IniSource } from "./ini/source.ts";
import { ParsedText } from "./parse.ts";

const frontendName = /^(?<prefix>.+)\.frontend(?<index>\d+)\.config$/;
const SHARDS_MAX = 10_000;

export function isFrontendFile(file: string): boolean {
  return frontendName.test(basename(file));
}

/** `base`: the prefix of the groups' files with its path; the file's own when missing. `read` throws for a missing file. */
export function readFrontend(
  file: string,
  bytes: Uint8Array,
  { base, shardCount }: { base?: string; shardCount?: number },
  read: (file: string) => Uint8Array,
): IniSource {
  const { prefix = "", index } = frontendName.exec(basename(file))?.groups ?? {};
  const own = parseGroupFile(file, bytes, "single");
  const groups = groupsOf(base ?? join(dirname(file), prefix), shardCount, read);
  const parsed = new ParsedText(file, "");
  parsed.problems.push(...[own, ...groups].flatMap(({ problems }) => problems));
  const [timestampServers, ...shards] = groups.map(({ members }) => members.map(addressText));
  const [address] = own.members;
  parsed.value = { host: address?.host, httpPort: address?.port, timestampServers, shards };
  const claim = { role: "frontend", instance: `${prefix}.frontend${index}` };
  return { parsed, claim, notices: own.notices, defaults: {} };
}

/** The timestamp servers' group, then each shard's. Without a number, shards are counted until a file is missing. */
function groupsOf(
  base: string,
  shardCount: number | undefined,
  read: (file: string) => Uint8Array,
): GroupFile[] {
  const groupOf = (file: string) => parseGroupFile(file, read(file), "group");
  const groups = [groupOf(`${base}.tss.config`)];
  for (let index = 0; index < (shardCount ?? SHARDS_MAX); index++) {
    try {
      groups.push(groupOf(`${base}${index}.config`));
    } catch (error) {
      if (shardCount !== undefined || index === 0) throw error;
      break;
    }
  }
  return groups;
}
