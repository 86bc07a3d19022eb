/** The words of `replicate`: VOL gid GID|size MB ADDR:PORT [RESYNC] [DONTMERGE] [CMPR] [MAXMERGE] [BULK]. */
import type { Compression } from "../../formats/compression.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import { gidOf, wordsAtLeast } from "../../server/control.ts";
import { Refusal } from "../../server/server.ts";
import { addressOf, bulkOf, compressionOf, flagOf, sizeOf } from "../words.ts";
import type { ReplicationRequest } from "./source.ts";

const MERGE_BYTES_MAX = 2 ** 30;

export function replicationRequest(
  words: string[],
  { compression, mergeDiffsMax }: { compression: Compression; mergeDiffsMax: number },
): ReplicationRequest {
  const [, kind = "", end = "", to = "", resync, dontMerge, cmpr, maxMerge, bulk] = wordsAtLeast(words, 4);
  if (kind !== "gid" && kind !== "size") throw new Refusal(`c2aReplicateServer:bad type:${kind}`);
  return {
    to: addressOf(to),
    isResync: flagOf(resync),
    compression: compressionOf(cmpr, compression),
    bulkBlocks: bulkOf(bulk) / BLOCK_BYTES,
    limits: {
      ...(kind === "gid" ? { upTo: gidOf(end) } : { remainingBytesMax: Number(gidOf(end)) * 2 ** 20 }),
      mergeBytesMax: sizeOf(maxMerge, MERGE_BYTES_MAX),
      mergeDiffsMax: flagOf(dontMerge) ? 1 : mergeDiffsMax,
    },
  };
}
