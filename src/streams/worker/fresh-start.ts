/**
 * `node-x run worker --fresh`: a worker that begins as if its data directory were empty.
 *
 * What goes is what the worker itself kept there: its state log, the logs of its inputs, the dead letters. Outputs stay (a
 * file goes on behind what it has), and so do copies at replicas until the new life's own copy is whole.
 *
 * Invariant: all of it goes or none. A mark is written first and removed last; a start that finds it, asked to or not, goes
 * on where a crash ended the one before, so an input log never meets states that do not know of it.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { removeTree, writeFileAtomically } from "../../core/seams/durable-files.ts";

export const STATE_DIRECTORY = "state";
export const DEAD_LETTERS_FILE = "dead-letters.jsonl";
export const inputDirectory = (source: string): string => `input-${source}`;

const MARK = "fresh";
const isKeptByWorker = (name: string) =>
  name === STATE_DIRECTORY || name === DEAD_LETTERS_FILE || name.startsWith(inputDirectory(""));

/** Returns the names of what was removed. */
export async function startFresh(disk: Disk, dataDir: string, isAsked: boolean): Promise<string[]> {
  const mark = join(dataDir, MARK);
  if (isAsked) await writeFileAtomically(disk, mark, "what this worker kept is being removed\n");
  else if (!(await disk.exists(mark))) return [];
  const kept = (await disk.list(dataDir)).filter(({ name }) => isKeptByWorker(name));
  for (const { name, kind } of kept) {
    if (kind === "directory") await removeTree(disk, join(dataDir, name));
    else await disk.remove(join(dataDir, name));
  }
  await disk.syncDirectory(dataDir);
  await disk.remove(mark);
  await disk.syncDirectory(dataDir);
  return kept.map(({ name }) => name);
}
