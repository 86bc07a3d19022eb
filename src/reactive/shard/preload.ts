/**
 * Gives an empty shard its first keys, from a file with one key per line, each with the text `null`: what the original's `-f` and `-k`
 * do.
 *
 * Invariant: it is a command of the group, so all replicas have the same keys, whichever of them has the file; and one that changes
 * nothing where anything was committed already. After a crash it is begun again.
 */
import { OutcomeUnknownError, RefusedError } from "../failures.ts";
import type { Group } from "../engines/builtin/coordinator.ts";
import { shardOf } from "../engines/builtin/placement.ts";
import { encodeCommand } from "./commands.ts";

export interface PreloadOptions {
  /** What the file holds. */
  text: string;
  /** Lines that are taken; 0: all. */
  count: number;
  shard: number;
  shards: number;
}

const KEYS_PER_COMMAND = 1000;

/** The keys of this shard among the lines. */
export function keysOf({ text, count, shard, shards }: PreloadOptions): Uint8Array[] {
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  const taken = count === 0 ? lines : lines.slice(0, count);
  return taken
    .filter((line) => line !== "")
    .map((line) => new TextEncoder().encode(line))
    .filter((key) => shardOf(key, shards) === shard);
}

/** Resolves when the group has them, or `isOver`; asks as long as it does not answer. */
export async function preload(
  group: Pick<Group, "command">,
  keys: readonly Uint8Array[],
  isOver: () => boolean,
): Promise<void> {
  for (let first = 0; first < keys.length && !isOver();) {
    const body = encodeCommand({ kind: "preload", keys: keys.slice(first, first + KEYS_PER_COMMAND) });
    try {
      await group.command(body);
      first += KEYS_PER_COMMAND;
    } catch (error) {
      if (!(error instanceof OutcomeUnknownError) && !(error instanceof RefusedError)) throw error;
    }
  }
}
