/**
 * `checkpoint.dat` of the originals: text, one line for each bucket file that was open, `<channel> <first key of the
 * bucket> <bytes known durable>`, numbers decimal. It is there only after a crash of an original; what is longer than it
 * says is then cut, as an original does at its start, and the file goes.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { isChannelName } from "../channel-name.ts";
import { withFile } from "../segments/read.ts";
import { bucketPath } from "./names.ts";

export const CHECKPOINT = "checkpoint.dat";

/** Returns the channels whose files were cut. */
export async function applyCheckpoint(disk: Disk, directory: string, log: Log): Promise<Set<string>> {
  const cut = new Set<string>();
  const path = `${directory}/${CHECKPOINT}`;
  if (!(await disk.exists(path))) return cut;
  const text = await withFile(disk, path, async (file) => {
    const bytes = new Uint8Array(await file.size());
    return Buffer.from(bytes.subarray(0, await file.read(bytes, 0))).toString("latin1");
  });
  for (const line of text.split("\n")) {
    const match = /^(\S+) (\d{1,20}) (\d{1,15})$/.exec(line.trim());
    if (match === null || !isChannelName(match[1] as string)) {
      if (line.trim() !== "") log.warn("a line of checkpoint.dat is none", { line: line.slice(0, 100) });
      continue;
    }
    const [, channel = "", key = "0", bytes = "0"] = match;
    const bucket = Number(BigInt(key) >> 12n);
    if (await cutFile(disk, `${directory}/${channel}/${bucketPath(bucket)}`, Number(bytes), log))
      cut.add(channel);
  }
  await disk.remove(path);
  await disk.syncDirectory(directory);
  return cut;
}

async function cutFile(disk: Disk, path: string, bytes: number, log: Log): Promise<boolean> {
  if (!(await disk.exists(path))) return false;
  const file = await disk.open(path, "readWrite");
  try {
    const size = await file.size();
    if (size <= bytes) return false;
    await file.truncate(bytes);
    await file.sync();
    log.warn("cut a bucket file back to what was known durable", { path, bytes, cut: size - bytes });
    return true;
  } finally {
    await file.close();
  }
}
