/**
 * Forwards the queue of one archive: the oldest diffs that may become one are merged on the way, nothing is stored.
 *
 * Invariant: a diff leaves the queue after the archive's acknowledgement, or when the archive says that it is too old or
 * of another history. Every other answer and every broken connection leaves it there; it is tried again later.
 */
import type { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { canMerge, merged, type MetaDiff } from "../algebra/snapshot.ts";
import { compressedPacks } from "../formats/compressed-packs.ts";
import type { Diff } from "../formats/diff-merge.ts";
import { firstLine, openProtocol, readAck } from "../server/server.ts";
import type { Conversation } from "../wire/conversation.ts";
import type { RateLimit } from "../wire/rate-limit.ts";
import { Writer } from "../wire/serial.ts";
import { sendPacks } from "../wire/streams.ts";
import { writeDiff } from "../wire/values.ts";
import type { ProxyVolume, Queue } from "./volume.ts";

export interface SenderOptions {
  net: Net;
  clock: Clock;
  log: Log;
  nodeId: string;
  timeoutMs: number;
  /** That all senders share. */
  limit: RateLimit;
  bytesMax: number;
  diffsMax: number;
  retryMinMs: number;
  retryMaxMs: number;
  giveUpSeconds: number;
  /** Runs a send when there is room for one more. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  /** The queue became shorter, or nothing is to be done. */
  onProgress(): void;
}

/** What an answer means for the diffs that were offered. */
type Verdict = "sent" | "dropped" | "giveUp" | "retry" | "retryForEver" | "unreachable";

const verdicts: Record<string, Verdict> = {
  "different-uuid": "dropped",
  "too-old-diff": "dropped",
  "smaller-lv-size": "giveUp",
  "archive-not-found": "giveUp",
  "too-new-diff": "retryForEver",
  syncing: "retryForEver",
};

const UNREACHABLE_RETRY_MS = 1000;

/** The queue itself cannot be read: no trouble of the archive, nor of the way to it. */
class QueueFailure extends Error {}

async function* fromQueue(packs: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* packs;
  } catch (error) {
    throw new QueueFailure((error as Error).message, { cause: error });
  }
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #volume: ProxyVolume;
  readonly queue: Queue;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #conversation: Conversation | undefined;
  #delayMs: number;
  #isStopped = true;
  hasGivenUp = false;
  /** Why nothing was sent at the last try. */
  trouble: string | undefined;
  lastSentTime = 0;

  constructor(options: SenderOptions, volume: ProxyVolume, queue: Queue) {
    this.#options = options;
    this.#volume = volume;
    this.queue = queue;
    this.#delayMs = options.retryMinMs;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  start(): void {
    this.#isStopped = false;
    this.#schedule(0);
  }

  /** A diff came: it is sent after the archive's delay. */
  onDiff(): void {
    if (this.#isStopped || this.hasGivenUp || this.#running !== undefined || this.#timer !== undefined)
      return;
    this.#schedule(this.queue.forwarding.delaySeconds * 1000);
  }

  /** Tries at once, even what was given up. */
  kick(): void {
    this.hasGivenUp = false;
    this.#delayMs = this.#options.retryMinMs;
    if (!this.#isStopped) this.#schedule(0);
  }

  #schedule(delayMs: number): void {
    if (this.#running !== undefined) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#running = this.#options
        .inTurn(() => this.#drain())
        .catch((error: unknown) => {
          this.#options.log.error(`sending failed: ${(error as Error).message}`, this.#fields);
          return UNREACHABLE_RETRY_MS;
        })
        .then((nextMs) => {
          this.#running = undefined;
          // A diff may have come after the last look at the queue.
          const isBehind = this.queue.diffs.all.length > 0 && !this.hasGivenUp;
          const againMs = nextMs ?? (isBehind ? 0 : undefined);
          if (againMs !== undefined && !this.#isStopped) this.#schedule(againMs);
          this.#options.onProgress();
        });
    });
  }

  /** Stops; a send under way ends first, or is cut. */
  async stop(isForced: boolean): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (isForced) this.#conversation?.terminate("stopped by force");
    await this.#running;
  }

  get #fields() {
    return { volume: this.#volume.name, archive: this.queue.name };
  }

  /** Sends until the queue is empty; returns when to try again, or nothing. */
  async #drain(): Promise<number | undefined> {
    const { log, clock, retryMinMs, retryMaxMs, giveUpSeconds } = this.#options;
    while (!this.#isStopped) {
      if (this.queue.diffs.all.length === 0) return undefined;
      const verdict = await this.#sendOnce();
      if (verdict === "sent" || verdict === "dropped") {
        this.trouble = undefined;
        this.#delayMs = retryMinMs;
        this.#options.onProgress();
        continue;
      }
      if (verdict === "unreachable") return UNREACHABLE_RETRY_MS;
      const silentMs = clock.monotonicMs() - (this.#volume.lastReceivedMs ?? clock.monotonicMs());
      if (verdict === "giveUp" || (verdict === "retry" && silentMs > giveUpSeconds * 1000)) {
        this.hasGivenUp = true;
        log.error(`sending is given up until it is kicked: ${this.trouble}`, this.#fields);
        return undefined;
      }
      const delayMs = this.#delayMs;
      this.#delayMs = Math.min(delayMs * 2, retryMaxMs);
      return delayMs;
    }
    return undefined;
  }

  /** The oldest diff and those behind it that merge into one with it. */
  async #pick<Result>(
    work: (diffs: MetaDiff[], open: Diff[], whole: MetaDiff) => Promise<Result>,
  ): Promise<Result> {
    const [first, ...others] = this.queue.diffs.all as [MetaDiff, ...MetaDiff[]];
    const picked = [first];
    let whole = first;
    let bytes = first.dataBytes;
    for (const next of others) {
      if (picked.length >= this.#options.diffsMax || bytes + next.dataBytes > this.#options.bytesMax) break;
      if (!canMerge(whole, next)) break;
      picked.push(next);
      bytes += next.dataBytes;
      whole = merged(whole, next);
    }
    return await this.queue.diffs.withOpen(picked, async (open) => {
      const { uuid } = open[0] as Diff;
      const other = open.findIndex((diff) => !Buffer.from(diff.uuid).equals(uuid));
      const count = other < 0 ? open.length : other;
      const taken = picked.slice(0, count);
      const sum = taken.reduce((total, diff) => total + diff.dataBytes, 0);
      return await work(taken, open.slice(0, count), {
        ...taken.reduce((all, diff) => merged(all, diff)),
        dataBytes: sum,
      });
    });
  }

  /** What cannot be read of the queue is never sent; damage of it goes away only by hand. */
  async #sendOnce(): Promise<Verdict> {
    try {
      return await this.#send();
    } catch (error) {
      const { code, message } = ((error as Error).cause ?? error) as NxError;
      const isDamage = code === "NX_DATA_CORRUPT";
      this.trouble = isDamage ? `${message}; \`clear-vol\` here, then \`hash-bkp\` at the storage` : message;
      this.#options.log.error(`the queue cannot be read: ${this.trouble}`, this.#fields);
      return isDamage ? "giveUp" : "unreachable";
    }
  }

  #send(): Promise<Verdict> {
    return this.#pick(async (diffs, open, whole) => {
      const { net, clock, nodeId, timeoutMs, limit, log } = this.#options;
      const { archive, compression } = this.queue.forwarding;
      let conversation: Conversation | undefined;
      try {
        ({ conversation } = await openProtocol(
          net,
          archive,
          { clientId: nodeId, protocol: "wdiff-transfer" },
          { clock, timeoutMs, limit },
        ));
        this.#conversation = conversation;
        const writer = new Writer()
          .text(this.#volume.name)
          .text("proxy")
          .raw((open[0] as Diff).uuid)
          .u32(0);
        await conversation.send(writeDiff(writer.u64(this.#volume.blocks), whole));
        const answer = firstLine(await conversation.reader.text());
        if (answer !== "accept") {
          const verdict = verdicts[answer] ?? "retry";
          this.trouble = `the archive answers ${answer}`;
          if (verdict !== "dropped") log.info(this.trouble, this.#fields);
          else {
            log.warn(`dropped up to gid ${whole.to.begin}: ${this.trouble}`, this.#fields);
            await this.queue.diffs.remove(diffs);
          }
          return verdict;
        }
        await sendPacks(conversation, fromQueue(compressedPacks(open, compression)));
        await readAck(conversation.reader);
      } catch (error) {
        if (error instanceof QueueFailure) throw error;
        this.trouble = `the archive cannot be reached: ${(error as Error).message}`;
        log.warn(this.trouble, this.#fields);
        return "unreachable";
      } finally {
        this.#conversation = undefined;
        conversation?.end();
      }
      await this.queue.diffs.remove(diffs);
      this.lastSentTime = Math.floor(clock.nowMs() / 1000);
      return "sent";
    });
  }
}
