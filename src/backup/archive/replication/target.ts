/**
 * The target of a replication, which is the server of `repl-sync3` (drawn in source.ts).
 *
 * Invariant: a diff is acknowledged when it is synced under its name. A full copy that breaks is kept, synced, with how far
 * it came, and goes on from there; until it is complete the volume waits for a copy. A resync forgets the history before it
 * changes the base. The source's newest log is what we belong to from the first copy on, so that a proxy's diff meets
 * `too-new-diff`, never `different-uuid`, while we are behind.
 */
import { forgetBaseSums } from "../base-sums.ts";
import { isSameSnapshot, type MetaDiff, type MetaState, relation } from "../../algebra/snapshot.ts";
import { writeWdiffHeader } from "../../../native/blocks.ts";
import { type ByteSink, memorySource } from "../../formats/bytes.ts";
import { endPack, mergedRuns, openDiff } from "../../formats/diff-merge.ts";
import { EarlySync } from "../../formats/early-sync.ts";
import { writeRuns } from "../../formats/image.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import { sleep } from "../../../core/seams/clock.ts";
import { volumeOf, wordsAtLeast } from "../../server/control.ts";
import { ack, type Protocol, Refusal, type ServerCall } from "../../server/server.ts";
import { Writer } from "../../wire/serial.ts";
import { BULK_BLOCKS_MAX, receivePacks, sendHashes } from "../../wire/streams.ts";
import { readCompression, readDiff, readState, writeState } from "../../wire/values.ts";
import { BLOCKS_MAX, demandSize, receiveBase, receiveCompared, type ReceiveOptions } from "../receive.ts";
import type { ArchiveVolume } from "../volume.ts";
import { baseBulks, firstBlocks } from "../reading.ts";

const NAME = "a2aReplSyncServer";
const WAIT_MS = 20;
/** How long a proxy's diff that is coming in is waited for. */
const WAIT_MAX_MS = 10_000;

export function replicationTarget(options: ReceiveOptions): Protocol {
  return async (call) => {
    const [name = ""] = wordsAtLeast(await call.reader.texts(), 1);
    const volume = options.volume(volumeOf(name));
    volume.demandState(NAME, ["SyncReady", "Archived", "WdiffRecv"]);
    volume.demandNoAction(NAME);
    await options.server().foreground(NAME, async () => {
      await call.send(new Writer().text("accept"));
      await new Target(call, volume, options).run();
    });
  };
}

class Target {
  readonly #call: ServerCall;
  readonly #volume: ArchiveVolume;
  readonly #options: ReceiveOptions;
  /** The uuid of the source's newest log is known: that of an older diff does not replace it. */
  #hasNewestUuid = false;

  constructor(call: ServerCall, volume: ArchiveVolume, options: ReceiveOptions) {
    this.#call = call;
    this.#volume = volume;
    this.#options = options;
  }

  async run(): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const archiveUuid = await call.reader.raw(16);
    const wantsResync = await call.reader.bool();
    const hasBase = (await volume.world.images.baseBytes(volume.name)) !== undefined;
    const isReady = volume.state === "SyncReady";
    const isFull = isReady && !(wantsResync && hasBase);
    const isOther = !Buffer.from(archiveUuid).equals(volume.archiveUuid);
    const isResync = !isFull && (isOther || (wantsResync && hasBase));
    if (isResync && !wantsResync) throw new Refusal("resync is required but not allowed");
    await this.#answer(new Writer().text("accept").u64(isFull ? 0 : isResync ? 1 : 2));
    if (isFull) await volume.during("FullSync", () => this.#full(archiveUuid));
    else if (isResync) await this.#atRest("Resync", () => this.#resync());
    while (await this.#step());
    await this.#acknowledge();
  }

  /** A word of ours that a refusal could have stood for; behind it there is none until the next request. */
  async #answer(writer: Writer): Promise<void> {
    this.#call.isAnswered = true;
    await this.#call.send(writer);
  }

  /** Runs `work` in a temporary state, behind a diff that is being received. */
  async #atRest<Result>(state: string, work: () => Promise<Result>): Promise<Result> {
    const volume = this.#volume;
    for (let waited = 0; volume.state === "WdiffRecv" && waited < WAIT_MAX_MS; waited += WAIT_MS)
      await sleep(volume.world.clock, WAIT_MS);
    volume.demandState(NAME, ["SyncReady", "Archived"]);
    volume.demandNoAction(NAME);
    return await volume.during(state, work);
  }

  async #readCopy() {
    const { reader } = this.#call;
    this.#call.isAnswered = false;
    return {
      blocks: await reader.count(BLOCKS_MAX, "the size of a volume"),
      bulkBlocks: await reader.count(BULK_BLOCKS_MAX, "the blocks of a bulk"),
      state: await readState(reader),
      uuid: await reader.raw(16),
    };
  }

  async #adopt(state: MetaState, uuid: Uint8Array): Promise<void> {
    const volume = this.#volume;
    await volume.setUuid(uuid);
    await volume.setBase(state);
    await volume.setState("Archived");
    await volume.setFullReplication(undefined);
    volume.lastSyncTime = volume.nowSeconds;
    this.#hasNewestUuid = true;
  }

  // --- full --------------------------------------------------------------------------------------------------------

  async #full(archiveUuid: Uint8Array): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const request = await this.#readCopy();
    const compression = await readCompression(call.reader);
    const { state, blocks, bulkBlocks, uuid } = request;
    const fromBlock = await this.#resumePoint(archiveUuid, state, blocks, bulkBlocks);
    const timestamp = volume.nowSeconds;
    await volume.removePoints();
    if (fromBlock === 0) {
      await volume.setArchiveUuid(archiveUuid);
      await volume.setFullReplication({ state, progressBlocks: 0, timestamp });
    }
    await this.#answer(new Writer().text("ok").u64(fromBlock));
    const sums = await receiveBase(
      call,
      volume,
      { blocks, bulkBlocks, compression, fromBlock },
      this.#options.syncBytes,
      (progressBlocks) => volume.setFullReplication({ state, progressBlocks, timestamp }),
    );
    await sums.write(volume.world.disk, volume.directory, state.to);
    await this.#adopt(state, uuid);
    await this.#acknowledge();
  }

  /** Where a copy goes on: of the same lineage, from the same state, on a bulk's edge. */
  async #resumePoint(
    archiveUuid: Uint8Array,
    state: MetaState,
    blocks: number,
    bulkBlocks: number,
  ): Promise<number> {
    const volume = this.#volume;
    const before = volume.fullReplication;
    if (before === undefined || !Buffer.from(archiveUuid).equals(volume.archiveUuid)) return 0;
    const isSame =
      before.state.isApplying === state.isApplying &&
      before.state.timestamp === state.timestamp &&
      isSameSnapshot(before.state.from, state.from) &&
      isSameSnapshot(before.state.to, state.to);
    if (!isSame || (await volume.sizeBlocks()) < blocks) return 0;
    const done = Math.min(before.progressBlocks, blocks);
    return done - (done % bulkBlocks);
  }

  // --- resync ------------------------------------------------------------------------------------------------------

  async #resync(): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const { reader } = call;
    const { blocks, bulkBlocks, state, uuid } = await this.#readCopy();
    const archiveUuid = await reader.raw(16);
    await readCompression(reader);
    const seed = await reader.u32();
    // The whole history goes: the base of before cannot be wanted any more, whatever its size.
    await volume.forgetHistory();
    await demandSize(volume, blocks, true);
    await volume.setArchiveUuid(archiveUuid);
    await this.#answer(new Writer().text("ok"));
    await this.#rewriteBase(blocks, bulkBlocks, seed, state);
    await this.#adopt(state, uuid);
  }

  async #rewriteBase(blocks: number, bulkBlocks: number, seed: number, { to }: MetaState): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const base = await volume.world.images.openBase(volume.name, "readWrite");
    const target = { file: base.file, blocks: Math.floor(base.bytes / BLOCK_BYTES) };
    const early = new EarlySync(base.file);
    const bulks = firstBlocks(baseBulks(volume, bulkBlocks), blocks);
    const hashes = sendHashes(call.conversation, bulks, seed).catch((error: Error) =>
      call.conversation.terminate(error.message),
    );
    const sink: ByteSink = {
      append: async (pack) => {
        const whole = Buffer.concat([writeWdiffHeader("sorted", new Uint8Array(16)), pack, endPack()]);
        for await (const runs of mergedRuns([await openDiff(memorySource("a pack", whole))]))
          await writeRuns(target, runs, "zero");
        await early.wrote(pack.byteLength);
      },
    };
    try {
      await forgetBaseSums(volume.world.disk, volume.directory);
      const sums = await volume.beginBaseChange(base);
      await receivePacks(call.reader, blocks, volume.guarded(sink));
      await early.finish();
      await sums.finish(to);
    } finally {
      await hashes;
      await early.settled();
      await base.file.close();
    }
  }

  // --- the loop ----------------------------------------------------------------------------------------------------

  /** Tells where we are and takes what comes; false when the source has nothing more. */
  async #step(): Promise<boolean> {
    const call = this.#call;
    await call.send(writeState(new Writer(), this.#volume.newest));
    const kind = await call.reader.count(2, "a step of a replication");
    if (kind === 0) return false;
    call.isAnswered = false;
    await this.#atRest("ReplSyncAsServer", () => (kind === 1 ? this.#hashStep() : this.#diffStep()));
    return true;
  }

  async #adoptUuid(uuid: Uint8Array, isNewest: boolean): Promise<void> {
    if (!this.#hasNewestUuid) await this.#volume.setUuid(uuid);
    this.#hasNewestUuid ||= isNewest;
  }

  async #hashStep(): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const { reader } = call;
    const blocks = await reader.count(BLOCKS_MAX, "the size of a volume");
    const bulkBlocks = await reader.count(BULK_BLOCKS_MAX, "the blocks of a bulk");
    const diff = await readDiff(reader);
    const uuid = await reader.raw(16);
    await readCompression(reader);
    const seed = await reader.u32();
    await this.#demandFit(diff, blocks);
    await this.#answer(new Writer().text("ok"));
    await receiveCompared(call, volume, { blocks, bulkBlocks, uuid, seed, diff });
    await this.#adoptUuid(uuid, true);
  }

  async #diffStep(): Promise<void> {
    const call = this.#call;
    const volume = this.#volume;
    const { reader } = call;
    const blocks = await reader.count(BLOCKS_MAX, "the size of a volume");
    await reader.u32();
    const uuid = await reader.raw(16);
    const diff = await readDiff(reader);
    await this.#demandFit(diff, blocks);
    await this.#answer(new Writer().text("ok"));
    await volume.diffs.add(diff, async (sink) => {
      await sink.append(writeWdiffHeader("sorted", uuid));
      await receivePacks(reader, blocks, volume.guarded(sink));
      await sink.append(endPack());
    });
    await this.#adoptUuid(uuid, false);
    await volume.removeContained(diff);
    volume.lastDiffTime = volume.nowSeconds;
    await this.#acknowledge();
  }

  async #acknowledge(): Promise<void> {
    await this.#options.bucket?.inStep(this.#volume);
    await this.#call.send(ack());
  }

  async #demandFit(diff: MetaDiff, blocks: number): Promise<void> {
    const volume = this.#volume;
    if (relation(volume.newest.to, diff) !== "applicable")
      throw new Refusal(`${NAME}:the diff does not fit the newest state`);
    // A copy of a grown volume: what is missing reads as zeros.
    await demandSize(volume, blocks, true);
  }
}
