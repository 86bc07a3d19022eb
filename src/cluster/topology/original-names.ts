/**
 * Words and names that Diamond's own tools use, kept so that scripts around them go on working.
 */
import type { MemberName } from "./names.ts";
import type { Instance } from "./types.ts";

/**
 * The original's words, which `run` takes: `-c FILE -i REPLICA`, for a frontend `-b PREFIX -N SHARDS`. The instance is named,
 * because `p10.config` alone does not say whose it is (names.ts).
 */
export function groupWords(
  { role, name }: MemberName,
  instance: string,
  replica: number | undefined,
  prefix: string,
  all: readonly MemberName[],
): string[] {
  const words = [role, "-c", `{configs}/${name}`, "--set", `instance=${instance}`];
  if (replica !== undefined) words.push("-i", String(replica));
  if (role === "frontend")
    words.push("-b", `{configs}/${prefix}`, "-N", String(all.filter((file) => file.role === "shard").length));
  return words;
}

/** Names of the original for its roles (`output.backend.0.1.txt`), the same form for all others. */
export function outputFileOf({ role, index, replica }: Pick<Instance, "role" | "index" | "replica">): string {
  if (role === "tss") return `output.tss.${replica ?? index}.txt`;
  const name = role === "shard" ? "backend" : role;
  return `output.${name}.${index}${role === "shard" ? `.${replica ?? 0}` : replica === undefined ? "" : `.${replica}`}.txt`;
}
