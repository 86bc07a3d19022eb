/**
 * Brings a release to a host: only the blocks of the executable that are not there, then the files.
 *
 * Invariant: when it resolves, the release is on the host whole, synced, with the SHA-256 that the manifest
 * says, and its executable has passed its self-test there. It may be repeated at any time; what has arrived
 * is not sent again.
 */
import { constants as zlib, zstdCompressSync } from "node:zlib";
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { ReleaseManifest } from "../agent/messages.ts";
import { decodeBitmap, type Block } from "./blocks.ts";
import type { Executable } from "./executable.ts";
import { BATCH_BYTES_MAX } from "./incoming.ts";

/** Batches on their way at once: enough to keep the wire busy, little enough for memory. */
const IN_FLIGHT_MAX = 2;
const ZSTD_LEVEL = 3;

export interface Fence {
  generation: number;
  operation: string;
  operator: string;
}

export interface UploadOptions {
  manifest: ReleaseManifest;
  /** Contents in the order of the manifest. */
  files: readonly Uint8Array[];
  executable: Executable;
  fence: Fence;
  onProgress(sentBytes: number, totalBytes: number): void;
}

export interface Upload {
  sentBlocks: number;
  /** Of the executable, before compression. */
  rawBytes: number;
  /** Everything that this upload wrote to the connection. */
  sentBytes: number;
}

export async function uploadRelease(agent: AgentClient, options: UploadOptions): Promise<Upload> {
  const { manifest, files, fence } = options;
  const before = agent.sentBytes;
  const sent = await sendExecutable(agent, options).catch(async (error: unknown) => {
    // The host has thrown away what misled it: once more from what is really there.
    if (error instanceof NxError && error.code === "NX_UPLOAD_DAMAGED") return sendExecutable(agent, options);
    throw error;
  });
  await agent.call("write-release", { ...fence, manifest }, { block: Buffer.concat([...files]) });
  return { ...sent, sentBytes: agent.sentBytes - before };
}

async function sendExecutable(agent: AgentClient, options: UploadOptions) {
  const { executable, fence, onProgress } = options;
  const { sha256, bytes, blocks, table } = executable;
  const { generation } = fence;
  const announced = { generation, sha256, bytes: bytes.byteLength };
  const { result, block: bitmap } = await agent.call("have-blocks", announced, { block: table });
  let rawBytes = 0;
  let sentBlocks = 0;
  if (!result.isComplete) {
    const missing = decodeBitmap(bitmap, blocks.length).map((index) => blocks[index] as Block);
    const inFlight = new Set<Promise<unknown>>();
    for (const batch of batchesOf(missing)) {
      const raw = Buffer.concat(
        batch.map(({ offset, bytes: length }) => bytes.subarray(offset, offset + length)),
      );
      const params = {
        generation,
        sha256,
        first: sentBlocks,
        blocks: batch.length,
        rawBytes: raw.byteLength,
      };
      const block = zstdCompressSync(raw, { params: { [zlib.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
      const put = agent.call("put-blocks", params, { block });
      inFlight.add(put);
      void put.finally(() => inFlight.delete(put)).catch(() => undefined);
      if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight);
      sentBlocks += batch.length;
      rawBytes += raw.byteLength;
      onProgress(rawBytes, result.missingBytes);
    }
    await Promise.all(inFlight);
  }
  await agent.call("finish-executable", { generation, sha256 });
  return { sentBlocks, rawBytes };
}

function* batchesOf(blocks: readonly Block[]): Generator<Block[]> {
  let batch: Block[] = [];
  let bytes = 0;
  for (const block of blocks) {
    if (bytes + block.bytes > BATCH_BYTES_MAX) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(block);
    bytes += block.bytes;
  }
  if (batch.length > 0) yield batch;
}

/** `43 %`; of nothing, all of it. */
export function percentText(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.floor((part / whole) * 100)} %`;
}

export function mebibytesText(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}
