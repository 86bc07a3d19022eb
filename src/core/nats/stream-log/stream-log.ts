/**
 * The append log with group commit, kept in a replicated JetStream stream instead of files (format.ts draws it).
 *
 * Invariant: `durablePosition` never passes a byte that the stream has not acknowledged. Appends are gathered into a
 * group while the one before is on its way; one message is on its way at a time. One instance has the stream; when
 * another takes it over this log turns "failed" before it acknowledges anything more.
 *
 * What a crash does: the stream holds every acknowledged append, in order and once, possibly followed by a group that was
 * on its way. When the stream does not acknowledge (no server, no majority) the log turns "full": it keeps what was
 * appended in memory, acknowledges none of it, refuses more, and goes on by itself where it stopped.
 */
import { Group } from "../../append-log/group.ts";
import { LogBase } from "../../append-log/log-base.ts";
import type { LogListener } from "../../append-log/options.ts";
import { CommitQueue, Cut } from "../../append-log/queue.ts";
import type { Chunks } from "../../append-log/snapshot.ts";
import type { Crc32c } from "../../crc32c.ts";
import { NxError } from "../../errors.ts";
import { type Clock, oncePerTurn, sleep } from "../../seams/clock.ts";
import type { Random } from "../../seams/random.ts";
import type { NatsLink } from "../link.ts";
import { Header, HEADERS_BYTES_MAX, type Kind } from "./format.ts";
import { own, standBy } from "./ownership.ts";
import { openStream, Recovery, type Replay, type StreamShape } from "./recovery.ts";
import { StreamWriter } from "./writer.ts";

export interface StreamLogOptions extends StreamShape {
  link: NatsLink;
  clock: Clock;
  random: Random;
  crc32c: Crc32c;
  payloadFormat: number;
  listener: LogListener;
  progress(text: string): void;
}

const WRITER_BYTES = 8;
const GROUP_BYTES_MAX = 4 << 20;
/** How often a log that closes looks whether it still can. */
const CLOSE_LOOK_MS = 100;

export class StreamLog extends LogBase {
  readonly #options: StreamLogOptions;
  readonly #writer: StreamWriter;
  readonly #partBytes: number;
  #disown: () => void = () => {};
  #pumping: Promise<void> | undefined;
  readonly #pumpAtEndOfTurn: () => void;

  private constructor(
    options: StreamLogOptions,
    writer: StreamWriter,
    recovery: Recovery,
    partBytes: number,
  ) {
    super(options.listener, new CommitQueue(0, GROUP_BYTES_MAX), recovery);
    this.#options = options;
    this.#writer = writer;
    this.#partBytes = partBytes;
    this.#pumpAtEndOfTurn = oncePerTurn(options.clock, () => void this.pump());
  }

  /**
   * Waits until no other instance has the stream, replays it and takes it over. Throws NX_JETSTREAM_REFUSED,
   * NX_JETSTREAM_LOST, NX_DATA_CORRUPT or NX_DATA_VERSION.
   */
  static async open(options: StreamLogOptions, replay: Replay): Promise<StreamLog> {
    const { link, stream, payloadFormat, random, progress } = options;
    const id = Buffer.from(random.bytes(WRITER_BYTES)).toString("hex");
    let log: StreamLog | undefined;
    const onFenced = (error: NxError) => {
      if (log !== undefined) log.#giveUp(error);
    };
    const onTrouble = (error: NxError | undefined) => {
      if (log !== undefined) log.#trouble(error);
    };
    const ownership = { ...options, writer: id, onFenced };
    const onWait = (reason: string) => progress(`the stream ${stream} waits: ${reason}`);
    progress("connecting to NATS");
    await link.insist((session) => openStream(session, options), onWait);
    await standBy(ownership);
    const recovery = new Recovery(options, replay);
    await recovery.readAll();
    const writer = new StreamWriter({ ...options, writer: id, onTrouble });
    await recovery.readUpTo(await writer.claim(payloadFormat));
    const { connection } = await link.session();
    const partBytes = (connection.info?.max_payload ?? 1 << 20) - HEADERS_BYTES_MAX;
    log = new StreamLog(options, writer, recovery, partBytes);
    log.#disown = await own(ownership);
    return log;
  }

  protected get placeStats() {
    return { segment: this.#writer.sequence, isSpaceShort: false, tornBytes: 0, tornPath: undefined };
  }

  /** Waits for what is on its way. Throws NX_JETSTREAM_UNAVAILABLE when the stream does not acknowledge. */
  async close(): Promise<void> {
    if (this.state === "closed") return;
    const { clock, link } = this.#options;
    while (this.state === "open" && this.queue.first !== undefined)
      await Promise.race([this.pump(), sleep(clock, CLOSE_LOOK_MS)]);
    const error = this.error;
    this.setState("closed", undefined);
    this.#disown();
    this.#writer.close();
    await link.close();
    await this.compactionEnd();
    if (error !== undefined) throw error;
  }

  // --- group commit ------------------------------------------------------------------------------------------------

  protected writeAtEndOfTurn(): void {
    if (this.#pumping === undefined) this.#pumpAtEndOfTurn();
  }

  /** Works the queue off, one item at a time; resolves when it is empty or nothing more can be written. */
  protected pump(): Promise<void> {
    this.#pumping ??= this.#work()
      .catch((error: unknown) => this.#giveUp(error as NxError))
      .finally(() => {
        this.#pumping = undefined;
      });
    return this.#pumping;
  }

  async #work(): Promise<void> {
    const { clock } = this.#options;
    for (let item = this.queue.first; item !== undefined && this.#mayWrite; item = this.queue.first) {
      if (item instanceof Cut) {
        const begin = await this.#writer.write("begin", new Uint8Array(0));
        item.logBytes = this.logBytes;
        this.queue.completeCut(item, begin);
        continue;
      }
      const startMs = clock.monotonicMs();
      item.isClosed = true;
      await this.#writeParts("effects", item.payload());
      if (!this.#mayWrite) return;
      this.#complete(item);
      this.listener.onGroup?.(item.payloadBytes, clock.monotonicMs() - startMs);
    }
  }

  get #mayWrite(): boolean {
    return this.state === "open" || this.state === "full";
  }

  #complete(group: Group): void {
    const { listener } = this;
    const { payloadBytes } = group;
    this.groups += 1;
    this.logBytes += payloadBytes;
    const hasDrained = this.queue.complete(group);
    listener.onDurable(this.queue.durablePosition);
    this.queue.releaseWaiters();
    if (hasDrained) listener.onDrain?.();
  }

  async #writeParts(kind: Kind, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<void> {
    for (let start = 0; start < bytes.byteLength; start += this.#partBytes) {
      const end = Math.min(start + this.#partBytes, bytes.byteLength);
      const part = end < bytes.byteLength ? "more" : "last";
      await this.#writer.write(kind, bytes.subarray(start, end), { ...headers, [Header.part]: part });
    }
  }

  // --- snapshots ---------------------------------------------------------------------------------------------------

  protected async replaceBySnapshot(cut: Cut, chunks: Chunks): Promise<void> {
    const { link, stream } = this.#options;
    const begin = await cut.done.promise;
    const headers = { [Header.begin]: String(begin) };
    let [slices, bytes] = [0, 0];
    for await (const chunk of chunks) {
      if (chunk.byteLength === 0) continue;
      await this.#writeParts("slice", chunk, headers);
      slices += 1;
      bytes += chunk.byteLength;
    }
    // A slice may hold half of an append that came meanwhile: the other half must be there before the snapshot counts.
    await this.#settle();
    await this.#writer.write("end", new Uint8Array(0), { ...headers, [Header.slices]: String(slices) });
    this.snapshotBytes = bytes;
    this.logBytes -= cut.logBytes;
    await link.insist(({ manager }) => manager.streams.purge(stream, { seq: begin }));
  }

  #settle(): Promise<void> {
    if (this.queue.durablePosition >= this.queue.position) return Promise.resolve();
    const durable = this.queue.wait();
    void this.pump();
    return durable;
  }

  // --- trouble -----------------------------------------------------------------------------------------------------

  #trouble(error: NxError | undefined): void {
    if (this.#mayWrite) this.setState(error === undefined ? "open" : "full", error);
  }

  #giveUp(error: NxError): void {
    if (!this.#mayWrite) return;
    this.fail(error);
    this.#writer.close();
    this.#disown();
  }
}
