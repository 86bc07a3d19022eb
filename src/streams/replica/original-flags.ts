/** The one word of the original's file server: `node-x run replica --config FILE -- DIRECTORY`. */
import { NxError } from "../../core/errors.ts";

/** Throws NX_USAGE. */
export function replicaFlags(words: readonly string[]): string[] {
  const [directory, ...more] = words;
  if (directory === undefined) return [];
  if (more.length > 0 || directory.startsWith("-"))
    throw new NxError("NX_USAGE", "the replica takes one word: the directory of the copies");
  return [`filesDir=${directory}`];
}
