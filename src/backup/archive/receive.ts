/**
 * What an archive takes in: full copies and hash comparisons from a storage, diffs from proxies.
 *
 * Invariant: nothing is acknowledged before it is synced under its name, and in the bucket where that is the primary. A transfer that breaks leaves the volume as it
 * was, but for a full copy, whose base is thrown away with the next one.
 */
import { NxError } from "../../core/errors.ts";
import { Codec, writeWdiffHeader } from "../../native/blocks.ts";
import { isSameSnapshot, type MetaDiff, relation, steady } from "../algebra/snapshot.ts";
import { endPack } from "../formats/diff-merge.ts";
import { EarlySync } from "../formats/early-sync.ts";
import { BLOCK_BYTES } from "../formats/units.ts";
import { volumeOf } from "../server/control.ts";
import { ack, type Protocol, Refusal, type ServerCall, type WalbServer } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { BULK_BLOCKS_MAX, receiveBulks, receivePacks, sendHashes } from "../wire/streams.ts";
import { readCompression, readDiff, readSnapshot, writeSnapshot } from "../wire/values.ts";
import { forgetBaseSums, NewBaseSums } from "./base-sums.ts";
import { clearTail } from "./resize.ts";
import { firstBlocks, imageAt } from "./reading.ts";
import type { ArchiveVolume } from "./volume.ts";

export interface ReceiveOptions {
  server(): WalbServer;
  /** The volume of this name; one in state Clear when there is none. */
  volume(name: string): ArchiveVolume;
  grows: boolean;
  /** The base is synced at least after this many bytes. */
  syncBytes: number;
  /** Where an acknowledgement waits for a bucket. */
  bucket?: AwaitedBucket | undefined;
}

/** A bucket that has to have a thing before it is acknowledged. */
export interface AwaitedBucket {
  /** Something of the volume is not in the bucket. */
  isBehind(volume: ArchiveVolume): boolean;
  /** Resolves when nothing is missing there. */
  inStep(volume: ArchiveVolume): Promise<void>;
}

/** As long as the longest bulk. */
const ZEROS = new Uint8Array(BULK_BLOCKS_MAX * BLOCK_BYTES);

export const BLOCKS_MAX = Math.floor(Number.MAX_SAFE_INTEGER / BLOCK_BYTES);

/** What a storage says before it sends an image. */
async function readSyncRequest(call: ServerCall, name: string) {
  const { reader } = call;
  const hostType = await reader.text();
  const volume = volumeOf(await reader.text());
  const blocks = await reader.count(BLOCKS_MAX, "the size of a volume");
  const timestamp = await reader.u64();
  const bulkBlocks = await reader.count(8192, "the blocks of a bulk");
  const compression = await readCompression(reader);
  if (hostType !== "storage") throw new Refusal(`${name}:bad hostType:${hostType}`);
  if (bulkBlocks === 0) throw new Refusal(`${name}:bad bulk size:0`);
  return { volume, blocks, timestamp, bulkBlocks, compression };
}

/** The base must hold `blocks`; it is grown where that is allowed. */
export async function demandSize(volume: ArchiveVolume, blocks: number, grows: boolean): Promise<void> {
  if ((await volume.sizeBlocks()) >= blocks) return;
  if (!grows) throw new Refusal("smaller-lv-size");
  const before = await volume.sizeBlocks();
  await volume.world.images.growBase(volume.name, blocks * BLOCK_BYTES);
  await clearTail(volume, before);
}

export function fullSync(options: ReceiveOptions): Protocol {
  const name = "dirtyFullSyncServer";
  return async (call) => {
    const request = await readSyncRequest(call, name);
    const volume = options.volume(request.volume);
    volume.demandState(name, ["SyncReady"]);
    volume.demandNoAction(name);
    await options.server().foreground(name, () =>
      volume.during("FullSync", async () => {
        await call.answer("accept");
        const uuid = await call.reader.raw(16);
        await call.send(ack());
        // A replication that was interrupted has nothing to go on from any more.
        await volume.setFullReplication(undefined);
        // An interrupted `clear-vol` or resync leaves some.
        await volume.removePoints();
        const sums = await receiveBase(call, volume, request, options.syncBytes);
        await call.send(ack());
        const snapshot = await readSnapshot(call.reader);
        const { random } = volume.world;
        await volume.setUuid(uuid);
        await volume.setArchiveUuid(random.bytes(16));
        await sums.write(volume.world.disk, volume.directory, snapshot);
        await volume.setBase(steady(snapshot, Number(request.timestamp)));
        await options.bucket?.inStep(volume);
        await volume.setState("Archived");
        volume.lastSyncTime = volume.nowSeconds;
        await call.send(ack());
      }),
    );
  };
}

export interface BaseRequest {
  blocks: number;
  bulkBlocks: number;
  compression: { id: number };
  fromBlock?: number;
}

/**
 * Writes the bulks that come into the base, from nothing or from where an earlier transfer ended. `onSynced` is told how far
 * the base is durable, also when the transfer breaks. Returns its checksums.
 */
export async function receiveBase(
  call: Pick<ServerCall, "reader">,
  volume: ArchiveVolume,
  { blocks, bulkBlocks, compression, fromBlock = 0 }: BaseRequest,
  syncBytes: number,
  onSynced: (block: number) => Promise<void> = async () => undefined,
): Promise<NewBaseSums> {
  const { images, disk } = volume.world;
  const sums = new NewBaseSums();
  if (fromBlock === 0) await forgetBaseSums(disk, volume.directory);
  const base =
    fromBlock === 0
      ? await images.createBase(volume.name, blocks * BLOCK_BYTES)
      : await images.openBase(volume.name, "readWrite");
  const codec = new Codec();
  let [written, synced] = [fromBlock, fromBlock];
  const early = new EarlySync(base.file);
  const sync = async () => {
    await early.finish();
    synced = written;
    await onSynced(written);
  };
  try {
    await sums.addWritten(base, fromBlock * BLOCK_BYTES);
    const bulks = receiveBulks(call.reader, {
      codec,
      compression: compression.id,
      bulkBlocks,
      fromBlock,
      blocks,
    });
    for await (const { block, content, bytes } of bulks) {
      volume.throwIfForced();
      const isWritten = content !== undefined || !images.newBaseIsZero;
      if (isWritten) await base.file.write(content ?? ZEROS.subarray(0, bytes), block * BLOCK_BYTES);
      sums.add(content ?? ZEROS.subarray(0, bytes));
      if (isWritten) await early.wrote(bytes);
      written = block + bytes / BLOCK_BYTES;
      volume.progressBlocks = written;
      if ((written - synced) * BLOCK_BYTES >= syncBytes) await sync();
    }
    await early.finish();
    return sums;
  } catch (error) {
    // The next transfer may go on from here.
    if (written > synced) await sync().catch(() => undefined);
    throw error;
  } finally {
    volume.progressBlocks = 0;
    codec.close();
    await early.settled();
    await base.file.close();
  }
}

export function hashSync(options: ReceiveOptions): Protocol {
  const name = "dirtyHashSyncServer";
  return async (call) => {
    const request = await readSyncRequest(call, name);
    const volume = options.volume(request.volume);
    volume.demandState(name, ["Archived"]);
    volume.demandNoAction(name);
    await demandSize(volume, request.blocks, options.grows);
    await options.server().foreground(name, async () => {
      const { to: latest } = volume.newest;
      await call.answer("accept");
      await call.send(writeSnapshot(new Writer(), latest));
      const uuid = await call.reader.raw(16);
      // Until here a diff of the old log is still taken, as by the original.
      volume.demandState(name, ["Archived"]);
      if (!isSameSnapshot(volume.newest.to, latest))
        throw new Refusal(`${name}:the newest snapshot has changed`);
      await volume.during("HashSync", async () => {
        await call.send(ack());
        const diff: MetaDiff = {
          isMergeable: latest.begin !== latest.end,
          isComparison: false,
          timestamp: Number(request.timestamp),
          from: latest,
          to: latest,
          dataBytes: 0,
        };
        await receiveCompared(call, volume, {
          ...request,
          diff,
          uuid,
          seed: Number(request.timestamp & 0xffff_ffffn),
        });
        await volume.setUuid(uuid);
        await options.bucket?.inStep(volume);
        volume.lastSyncTime = volume.nowSeconds;
        await call.send(ack());
      });
    });
  };
}

export interface ComparisonRequest {
  blocks: number;
  bulkBlocks: number;
  uuid: Uint8Array;
  seed: number;
  diff: MetaDiff;
}

/**
 * Sends the hashes of our newest image and stores the packs with what differs. The end of the diff comes behind them as
 * a snapshot, unless `diff` has it already.
 */
export async function receiveCompared(
  call: ServerCall,
  volume: ArchiveVolume,
  request: ComparisonRequest,
): Promise<void> {
  const { blocks, bulkBlocks, uuid, seed, diff } = request;
  const hasEnd = diff.to.begin !== diff.from.begin;
  let whole = diff;
  let failure: Error | undefined;
  const chunkBytes = bulkBlocks * BLOCK_BYTES;
  const hashes = sendHashes(
    call.conversation,
    firstBlocks(imageAt(volume, undefined, chunkBytes), blocks),
    seed,
  ).catch((error: Error) => {
    failure = error;
    call.conversation.terminate(error.message);
  });
  const store = volume.diffs.addLater(async (sink) => {
    await sink.append(writeWdiffHeader("sorted", uuid));
    await receivePacks(call.reader, blocks, volume.guarded(sink));
    await hashes;
    if (failure !== undefined) throw failure;
    await sink.append(endPack());
    if (!hasEnd) whole = { ...diff, to: await readSnapshot(call.reader) };
    return whole;
  });
  try {
    await store;
  } finally {
    await hashes;
  }
}

/** A diff arrives from a proxy. */
export function diffTransfer(options: ReceiveOptions): Protocol {
  const name = "p2aWdiffTransferServer";
  return async (call) => {
    const { reader } = call;
    const volumeName = volumeOf(await reader.text());
    const hostType = await reader.text();
    const uuid = await reader.raw(16);
    await reader.u32();
    const blocks = await reader.count(BLOCKS_MAX, "the size of a volume");
    const diff = await readDiff(reader);
    const volume = options.volume(volumeName);
    if (hostType !== "proxy") throw new Refusal(`${name}:bad hostType:${hostType}`);
    await options.server().foreground(name, async () => {
      await demandDiff(volume, { uuid, blocks, diff }, options);
      await volume.during("WdiffRecv", async () => {
        await call.answer("accept");
        await volume.diffs.add(diff, async (sink) => {
          await sink.append(writeWdiffHeader("sorted", uuid));
          await receivePacks(reader, blocks, volume.guarded(sink));
          await sink.append(endPack());
        });
        await options.bucket?.inStep(volume);
        volume.lastDiffTime = volume.nowSeconds;
        await call.send(ack());
      });
    });
  };
}

/** The checks before a diff is taken, in the original's order; the words are those of the protocol. */
async function demandDiff(
  volume: ArchiveVolume,
  { uuid, blocks, diff }: { uuid: Uint8Array; blocks: number; diff: MetaDiff },
  { grows, bucket }: ReceiveOptions,
): Promise<void> {
  demandTaking(volume);
  if ((await volume.world.images.baseBytes(volume.name)) === undefined)
    throw new Refusal("archive-not-found");
  if (!Buffer.from(uuid).equals(volume.uuid)) throw new Refusal("different-uuid");
  await demandSize(volume, blocks, grows);
  // A stop or a comparison may have begun since.
  demandTaking(volume);
  if (!Buffer.from(uuid).equals(volume.uuid)) throw new Refusal("different-uuid");
  // One that is here and not there yet would be too old, and its sender would throw it away.
  if (bucket?.isBehind(volume) === true) throw new Refusal("wdiff-recv");
  const related = relation(volume.newest.to, diff);
  if (related === "tooNew") throw new Refusal("too-new-diff");
  if (related === "tooOld") throw new Refusal("too-old-diff");
}

/** Refuses unless the volume takes a diff at this moment. */
function demandTaking({ state, stopState }: ArchiveVolume): void {
  if (stopState !== "NotStopping" || state === "Stopped") throw new Refusal("stopped");
  if (state === "WdiffRecv") throw new Refusal("wdiff-recv");
  if (state === "HashSync" || state === "ReplSyncAsServer" || state === "FullSync")
    throw new Refusal("syncing");
  if (state !== "Archived") throw new Refusal(`p2aWdiffTransferServer:bad state:${state}`);
}

/** A storage asks how far its volumes have come: list of volumes in, one line of figures for each out. */
export function gatherLatestSnapshots(options: ReceiveOptions): Protocol {
  return async (call) => {
    const { reader } = call;
    const word = await reader.text();
    if (word !== "ok") throw new NxError("NX_CONNECT_FAILED", `the storage says ${word}`);
    const names = await reader.texts();
    await call.answer("accept");
    const writer = new Writer().u64(names.length);
    for (const name of names) {
      const volume = options.volume(volumeOf(name));
      const none = 0xffff_ffff_ffff_ffffn;
      const latest = volume.isActive || volume.state === "Stopped" ? volume.newest : undefined;
      writer
        .text(name)
        .u64(latest?.to.begin ?? none)
        .u64(latest?.timestamp ?? 0)
        .u64(none);
    }
    await call.send(writer.text("ok"));
  };
}
