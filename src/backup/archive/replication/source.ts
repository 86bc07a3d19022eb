/**
 * The source of a replication, which is the client of `repl-sync3`: it brings a volume of ours to another archive.
 *
 *   > [volume]                                            < accept
 *   > archive uuid, bool resync                           < accept, kind: 0 full, 1 resync, 2 neither (or a refusal)
 *   full     > blocks, bulk, base state, uuid, compression           < ok, first block   > bulks             < ack
 *   resync   > blocks, bulk, base state, uuid, archive uuid,
 *              compression, seed                                     < ok, hashes, end   > packs, end
 *   then until 0:   < newest state   > 0 done, 1 hash, 2 diff                            at the end          < ack
 *   hash     > blocks, bulk, diff, uuid, compression, seed           < ok, hashes, end   > packs, end
 *   diff     > blocks, 0, uuid, diff                                 < ok                > packs, end        < ack
 *
 * Invariant: nothing here changes; the target answers for what it has stored. A broken connection is met by repeating the
 * command: it goes on from what the target has.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { Net } from "../../../core/seams/net.ts";
import { Codec } from "../../../native/blocks.ts";
import type { Compression } from "../../formats/compression.ts";
import { compressedPacks } from "../../formats/compressed-packs.ts";
import type { Diff } from "../../formats/diff-merge.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import type { MetaState } from "../../algebra/snapshot.ts";
import { firstLine, openProtocol, readAck, Refusal } from "../../server/server.ts";
import { sendDiffering } from "../../wire/compare.ts";
import type { Conversation } from "../../wire/conversation.ts";
import type { RateLimit } from "../../wire/rate-limit.ts";
import { Writer } from "../../wire/serial.ts";
import { sendBulk, sendPacks } from "../../wire/streams.ts";
import { type AddressPort, readState, writeCompression, writeDiff, writeState } from "../../wire/values.ts";
import { baseBulks, imageAt } from "../reading.ts";
import type { ArchiveVolume } from "../volume.ts";
import { nextStep, type ReplicationLimits, type ReplicationStep } from "./plan.ts";

export interface SourceOptions {
  net: Net;
  clock: Clock;
  nodeId: string;
  timeoutMs: number;
  /** That all replications share. */
  limit?: RateLimit;
}

export interface ReplicationRequest {
  to: AddressPort;
  isResync: boolean;
  compression: Compression;
  bulkBlocks: number;
  limits: ReplicationLimits;
}

const KIND = { full: 0, resync: 1, none: 2 } as const;
const STEP = { done: 0, hash: 1, diff: 2 } as const;

async function expectWord(conversation: Conversation, word: string): Promise<void> {
  const answer = firstLine(await conversation.reader.text());
  if (answer !== word) throw new Refusal(answer);
}

/** One replication: `open` asks the target whether it may begin, `run` sends. */
export class ReplicationSource {
  readonly #volume: ArchiveVolume;
  readonly #request: ReplicationRequest;
  readonly #conversation: Conversation;
  readonly #kind: number;
  /** The target's name. */
  readonly #target: string;
  #reached: MetaState | undefined;

  private constructor(
    volume: ArchiveVolume,
    request: ReplicationRequest,
    { conversation, serverId }: { conversation: Conversation; serverId: string },
    kind: number,
  ) {
    this.#volume = volume;
    this.#request = request;
    this.#conversation = conversation;
    this.#target = serverId;
    this.#kind = kind;
  }

  /** Throws a Refusal with the target's words. */
  static async open(
    volume: ArchiveVolume,
    request: ReplicationRequest,
    { net, clock, nodeId, timeoutMs, limit }: SourceOptions,
  ): Promise<ReplicationSource> {
    const ids = { clientId: nodeId, protocol: "repl-sync3" };
    const opened = await openProtocol(net, request.to, ids, { clock, timeoutMs, limit });
    const { conversation } = opened;
    try {
      await conversation.send(new Writer().texts([volume.name]));
      await expectWord(conversation, "accept");
      await conversation.send(new Writer().raw(volume.archiveUuid).bool(request.isResync));
      await expectWord(conversation, "accept");
      const kind = await conversation.reader.count(KIND.none, "the kind of a replication");
      return new ReplicationSource(volume, request, opened, kind);
    } catch (error) {
      conversation.terminate("the replication was refused");
      throw error;
    }
  }

  /** Resolves with where the target is then. */
  async run(): Promise<bigint> {
    const conversation = this.#conversation;
    try {
      if (this.#kind === KIND.full) await this.#full();
      if (this.#kind === KIND.resync) await this.#resync();
      while (await this.#step());
      await readAck(conversation.reader);
      const reached = this.#reached as MetaState;
      this.#volume.replicas.set(this.#target, reached);
      return reached.to.begin;
    } finally {
      conversation.end();
    }
  }

  async #blocks(): Promise<number> {
    return await this.#volume.sizeBlocks();
  }

  /** Hands on the chunks of an image until a forced stop. */
  async *#guarded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#volume.throwIfForced();
      yield chunk;
    }
  }

  async #full(): Promise<void> {
    const { compression, bulkBlocks } = this.#request;
    const volume = this.#volume;
    const conversation = this.#conversation;
    const blocks = await this.#blocks();
    const writer = writeState(new Writer().u64(blocks).u64(bulkBlocks), volume.base).raw(volume.uuid);
    await conversation.send(writeCompression(writer, compression));
    await expectWord(conversation, "ok");
    const fromBlock = await conversation.reader.count(blocks, "the block to go on from");
    const codec = new Codec();
    try {
      for await (const bulk of this.#guarded(baseBulks(volume, bulkBlocks, fromBlock)))
        await sendBulk(conversation, codec, compression.id, compression.level, bulk);
    } finally {
      codec.close();
    }
    await readAck(conversation.reader);
  }

  async #resync(): Promise<void> {
    const { compression, bulkBlocks } = this.#request;
    const volume = this.#volume;
    const { base, uuid, archiveUuid } = volume;
    const seed = base.timestamp % 2 ** 32;
    const writer = writeState(new Writer().u64(await this.#blocks()).u64(bulkBlocks), base);
    writeCompression(writer.raw(uuid).raw(archiveUuid), compression).u32(seed);
    await this.#conversation.send(writer);
    await expectWord(this.#conversation, "ok");
    await sendDiffering(this.#conversation, this.#guarded(baseBulks(volume, bulkBlocks)), {
      ...{ seed, bulkBlocks, compression },
    });
  }

  /** One step of the loop; false when the target has everything. */
  async #step(): Promise<boolean> {
    const { base, diffs } = this.#volume;
    const target = await readState(this.#conversation.reader);
    this.#reached = target;
    this.#volume.throwIfForced();
    const step = nextStep(base, diffs.all, target, this.#request.limits);
    if (step.kind === "hash") await this.#hashStep(step);
    else if (step.kind === "diff") await this.#diffStep(step);
    else await this.#conversation.send(new Writer().u64(STEP.done));
    return step.kind !== "done";
  }

  async #hashStep({ diff }: ReplicationStep & { kind: "hash" }): Promise<void> {
    const { compression, bulkBlocks } = this.#request;
    const volume = this.#volume;
    const seed = diff.timestamp % 2 ** 32;
    const writer = new Writer()
      .u64(STEP.hash)
      .u64(await this.#blocks())
      .u64(bulkBlocks);
    writeCompression(writeDiff(writer, diff).raw(volume.uuid), compression).u32(seed);
    await this.#conversation.send(writer);
    await expectWord(this.#conversation, "ok");
    const image = imageAt(volume, diff.to.begin, bulkBlocks * BLOCK_BYTES);
    await sendDiffering(this.#conversation, this.#guarded(image), { seed, bulkBlocks, compression });
  }

  async #diffStep({ diffs, whole }: ReplicationStep & { kind: "diff" }): Promise<void> {
    const { compression } = this.#request;
    const conversation = this.#conversation;
    await this.#volume.diffs.withOpen(diffs, async (open) => {
      const { uuid } = open.at(-1) as Diff;
      const writer = new Writer()
        .u64(STEP.diff)
        .u64(await this.#blocks())
        .u32(0)
        .raw(uuid);
      await conversation.send(writeDiff(writer, whole));
      await expectWord(conversation, "ok");
      const packs = compressedPacks(open, compression);
      await sendPacks(conversation, this.#guarded(packs));
      await readAck(conversation.reader);
    });
  }
}
