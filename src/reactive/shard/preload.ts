/**
 * Gives an empty shard its first keys, from a file with one key per line, each with the text `null`: what the original's `-f` and `-k`
 * do.
 *
 * Invariant: it is a command of the group, so all replicas have the same keys, whichever of them has the file; and one that changes
 * nothing where anything was committed already. After a crash it is begun again.
 */
import { NxError } from "../../core/errors.ts";
import { OutcomeUnknownError, RefusedError } from "../failures.ts";
import type { Group } from "../engines/builtin/coordinator.ts";
import { shardOf } from "../engines/builtin/placement.ts";
import { encodeCommand } from "./commands.ts";
import { encodeOperations } from "./operations.ts";
import { KEY_BYTES_MAX } from "./transaction.ts";

export interface PreloadOptions {
  /** What the file holds. */
  text: string;
  /** Lines that are taken; 0: all. */
  count: number;
  shard: number;
  shards: number;
}

/** The first that there is: frontends ask for one before they serve anybody, so no transaction has it. */
export const PRELOAD_TIMESTAMP = 1;
/** What is done to each key. */
export const PRELOADED = encodeOperations([
  { kind: "put", value: { type: "bytes", bytes: new TextEncoder().encode("null") } },
]);
const KEYS_PER_COMMAND = 1000;

/** The keys of this shard among the lines. Throws NX_CONFIG_INVALID. */
export function keysOf({ text, count, shard, shards }: PreloadOptions): Uint8Array[] {
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  const taken = count === 0 ? lines : lines.slice(0, count);
  const keys = taken.map((line) => new TextEncoder().encode(line));
  const tooLong = keys.findIndex(({ byteLength }) => byteLength > KEY_BYTES_MAX);
  if (tooLong >= 0)
    throw new NxError(
      "NX_CONFIG_INVALID",
      `preloadFile: line ${tooLong + 1} has ${keys[tooLong]?.byteLength} bytes, a key has ${KEY_BYTES_MAX} at most`,
    );
  return keys.filter((key) => key.byteLength > 0 && shardOf(key, shards) === shard);
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
