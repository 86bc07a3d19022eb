/**
 * Brings a release to a host: only the blocks of the executable that are not there, then the files.
 *
 * Invariant: when it resolves, the release is on the host whole, synced, with the SHA-256 that the manifest
 * says, and its executable has passed its self-test there; hosts that are one machine share one file, which was
 * checked and tried once. It may be repeated at any time; what has arrived is not sent again.
 */
import { constants as zlib, zstdCompressSync } from "node:zlib";
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { CheckedExecutable, ReleaseManifest } from "../agent/messages.ts";
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

/**
 * The executable on the machines that it is on its way to, by `machineId`, once it is checked there: it is brought to
 * hosts that are one machine once. Undefined when that failed.
 */
export type Arrivals = Map<string, Promise<CheckedExecutable | undefined>>;

export interface UploadOptions {
  manifest: ReleaseManifest;
  /** Contents in the order of the manifest. */
  files: readonly Uint8Array[];
  executable: Executable;
  fence: Fence;
  /** Of this executable in this rollout; empty at its begin. */
  arrivals: Arrivals;
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
  const { arrivals } = options;
  const { machineId } = agent;
  const arriving = arrivals.get(machineId);
  // Nothing is waited for otherwise: whoever comes first must be known before the next one asks.
  const checked = arriving === undefined ? undefined : await arriving;
  const arrived = bringRelease(agent, options, checked);
  if (machineId !== "" && arriving === undefined)
    arrivals.set(
      machineId,
      arrived.then(
        (done) => done.checked,
        () => undefined,
      ),
    );
  return (await arrived).upload;
}

async function bringRelease(
  agent: AgentClient,
  options: UploadOptions,
  elsewhere: CheckedExecutable | undefined,
): Promise<{ upload: Upload; checked: CheckedExecutable | undefined }> {
  const { manifest, files, fence } = options;
  const before = agent.sentBytes;
  const isAdopted = elsewhere !== undefined && (await adopted(agent, options, elsewhere));
  const sent = isAdopted ? nothingSent : await sendWhole(agent, options);
  const block = Buffer.concat([...files]);
  const { result } = await agent.call("write-release", { ...fence, manifest }, { block });
  return { upload: { ...sent, sentBytes: agent.sentBytes - before }, checked: result.checked };
}

type Sent = Omit<Upload, "sentBytes">;
const nothingSent: Sent = { sentBlocks: 0, rawBytes: 0 };

async function adopted(
  agent: AgentClient,
  { executable: { sha256 }, fence: { generation } }: UploadOptions,
  checked: CheckedExecutable,
): Promise<boolean> {
  return (await agent.call("adopt-executable", { generation, sha256, checked })).result.isAdopted;
}

function sendWhole(agent: AgentClient, options: UploadOptions): Promise<Sent> {
  return sendExecutable(agent, options).catch(async (error: unknown) => {
    // The host has thrown away what misled it: once more from what is really there.
    if (error instanceof NxError && error.code === "NX_UPLOAD_DAMAGED") return sendExecutable(agent, options);
    throw error;
  });
}

async function sendExecutable(agent: AgentClient, options: UploadOptions): Promise<Sent> {
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
