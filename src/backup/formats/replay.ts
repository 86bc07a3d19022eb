/**
 * Replaying a log on an image.
 *
 * Invariant: a pack is written only when all data before it was sound; later writes win, within a part that is gathered
 * in memory as well as from part to part.
 */
import { OwnedBuffer } from "../../native/blocks.ts";
import { type LogCounts, LogReader, runsOf } from "../../native/log-reader.ts";
import { type DiscardRule, type ImageTarget, writeRuns } from "./image.ts";
import { assertEnded, logError } from "./log-to-diff.ts";

/** Gathered before it is written in the order of addresses. */
const GATHER_BYTES = 16 << 20;
const GATHER_WRITES = 1 << 18;

export interface Replayed {
  firstLsid: bigint;
  endLsid: bigint;
  counts: LogCounts;
  /** Writes of which something was left to write, and the others. */
  visible: number;
  overwritten: number;
  /** Blocks that were written to. */
  visibleBlocks: number;
}

export async function replayLog(
  name: string,
  log: AsyncIterable<Uint8Array>,
  image: ImageTarget,
  rule: DiscardRule,
  onProgress?: (lsid: bigint) => void,
): Promise<Replayed> {
  const reader = new LogReader({ codec: 0, level: 0, outOffset: 0 });
  const [runs, data] = [new OwnedBuffer(), new OwnedBuffer()];
  let gathered = 0;
  let visible = 0;
  let visibleBlocks = 0;
  const flush = async () => {
    visible += reader.runs(runs, data);
    gathered = reader.counts.writes;
    const stretches = runsOf(runs.view());
    for (const { blocks } of stretches) visibleBlocks += blocks;
    await writeRuns(image, { runs: stretches, data: data.view() }, rule);
    onProgress?.(reader.lsid);
  };
  try {
    for await (const chunk of log) {
      if (reader.feed(chunk) === "failed") throw logError(name, reader);
      if (reader.out.length >= GATHER_BYTES || reader.counts.writes - gathered >= GATHER_WRITES)
        await flush();
    }
    assertEnded(name, reader);
    await flush();
    const { firstLsid, lsid: endLsid, counts } = reader;
    return { firstLsid, endLsid, counts, visible, overwritten: counts.writes - visible, visibleBlocks };
  } finally {
    reader.free();
    runs.free();
    data.free();
  }
}
