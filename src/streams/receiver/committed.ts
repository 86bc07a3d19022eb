/**
 * What a two-phase sink's directory holds for good: the ranges that were committed, in the order of their checkpoints.
 *
 * Invariant: the order of one key's records is exact, also where the key moved between workers, because a key only moves
 * at a committed checkpoint.
 */
import { join } from "node:path";
import type { Disk } from "../../core/seams/disk.ts";
import { fileChunks } from "../read-file.ts";
import type { OutputPart } from "../validate/verify.ts";
import { OUTPUT_STREAM } from "../wire/two-phase.ts";
import { checkpointOf, parseTransactionLog } from "./transaction-log.ts";

const PREFIX = "out.";
const SUFFIX = ".txnlog";

interface Committed {
  worker: string;
  order: number;
  seconds: number;
  start: number;
  end: number;
}

/** One part for each committed range. */
export async function committedParts(disk: Disk, directory: string): Promise<OutputPart[]> {
  const logs = (await disk.list(directory)).filter(
    ({ name }) => name.startsWith(PREFIX) && name.endsWith(SUFFIX),
  );
  const found: Committed[] = [];
  for (const { name } of logs) {
    const worker = name.slice(PREFIX.length, -SUFFIX.length);
    let text = "";
    for await (const chunk of fileChunks(disk, join(directory, name))) text += Buffer.from(chunk).toString();
    for (const { outcome, transaction, ranges, seconds } of parseTransactionLog(text).entries) {
      if (outcome !== "2-ok") continue;
      const order = checkpointOf(transaction) ?? seconds;
      for (const { streamId, start, end } of ranges)
        if (streamId === OUTPUT_STREAM && end > start) found.push({ worker, order, seconds, start, end });
    }
  }
  found.sort((a, b) => a.order - b.order || a.seconds - b.seconds || a.start - b.start);
  return found.map(({ worker, start, end }) => committedPart(disk, directory, worker, start, end));
}

/** One committed range. */
export function committedPart(
  disk: Disk,
  directory: string,
  worker: string,
  start: number,
  end: number,
): OutputPart {
  const path = join(directory, `${PREFIX}${worker}`);
  return { source: `${path} from byte ${start}`, chunks: fileChunks(disk, path, start, end) };
}
