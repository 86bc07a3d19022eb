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
import type { GroupLog } from "../../append-log/group-log.ts";
import type { LogListener, LogState, LogStats } from "../../append-log/options.ts";
import { CommitQueue, Cut } from "../../append-log/queue.ts";
import type { Chunks } from "../../append-log/snapshot.ts";
import type { Crc32c } from "../../crc32c.ts";
import { assert, NxError } from "../../errors.ts";
import { type Clock, sleep } from "../../seams/clock.ts";
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

export class StreamLog implements GroupLog {
  readonly #options: StreamLogOptions;
  readonly #writer: StreamWriter;
  readonly #partBytes: number;
  readonly #queue = new CommitQueue(0, GROUP_BYTES_MAX);
  #disown: () => void = () => {};
  #state: LogState = "open";
  #error: NxError | undefined;
  #logBytes: number;
  #snapshotBytes: number;
  #groups = 0;
  #compaction: Promise<void> | undefined;
  #pumping: Promise<void> | undefined;
  #isTurnAwaited = false;

  private constructor(
    options: StreamLogOptions,
    writer: StreamWriter,
    recovery: Recovery,
    partBytes: number,
  ) {
    this.#options = options;
    this.#writer = writer;
    this.#partBytes = partBytes;
    this.#logBytes = recovery.logBytes;
    this.#snapshotBytes = recovery.snapshotBytes;
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
      if (log !== undefined) log.#fail(error);
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

  get state(): LogState {
    return this.#state;
  }

  get position(): number {
    return this.#queue.position;
  }

  get durablePosition(): number {
    return this.#queue.durablePosition;
  }

  get isCongested(): boolean {
    return this.#queue.isCongested;
  }

  get stats(): LogStats {
    return {
      state: this.#state,
      position: this.#queue.position,
      durablePosition: this.#queue.durablePosition,
      segment: this.#writer.sequence,
      logBytes: this.#logBytes,
      snapshotBytes: this.#snapshotBytes,
      groups: this.#groups,
      isSpaceShort: false,
      isCompacting: this.#compaction !== undefined,
      tornBytes: 0,
      tornPath: undefined,
    };
  }

  append(bytes: Uint8Array): number {
    if (this.#state !== "open") throw this.#error as NxError;
    if (bytes.byteLength > 0) {
      this.#queue.append(bytes);
      this.#pumpAtEndOfTurn();
    }
    return this.#queue.position;
  }

  isCompactionDue(bytesMin: number, factor: number): boolean {
    const limit = Math.max(bytesMin, factor * this.#snapshotBytes);
    return this.#state === "open" && this.#compaction === undefined && this.#logBytes > limit;
  }

  async compact(source: () => Chunks): Promise<void> {
    if (this.#state !== "open") throw this.#error as NxError;
    assert(this.#compaction === undefined, "one compaction at a time");
    const chunks = source();
    const cut = this.#queue.cut();
    this.#compaction = this.#replaceBySnapshot(cut, chunks);
    void this.#pump();
    try {
      await this.#compaction;
    } finally {
      this.#compaction = undefined;
    }
  }

  /** Waits for what is on its way. Throws NX_JETSTREAM_UNAVAILABLE when the stream does not acknowledge. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    const { clock, link } = this.#options;
    while (this.#state === "open" && this.#queue.first !== undefined)
      await Promise.race([this.#pump(), sleep(clock, CLOSE_LOOK_MS)]);
    const error = this.#error;
    this.#setState("closed", undefined);
    this.#disown();
    this.#writer.close();
    await link.close();
    await this.#compaction?.catch(() => undefined);
    if (error !== undefined) throw error;
  }

  // --- group commit ------------------------------------------------------------------------------------------------

  /** Lets every request that is readable in this turn of the event loop join the group. */
  #pumpAtEndOfTurn(): void {
    if (this.#isTurnAwaited || this.#pumping !== undefined) return;
    this.#isTurnAwaited = true;
    this.#options.clock.endOfTurn(() => {
      this.#isTurnAwaited = false;
      void this.#pump();
    });
  }

  /** Works the queue off, one item at a time; resolves when it is empty or nothing more can be written. */
  #pump(): Promise<void> {
    this.#pumping ??= this.#work()
      .catch((error: unknown) => this.#fail(error as NxError))
      .finally(() => {
        this.#pumping = undefined;
      });
    return this.#pumping;
  }

  async #work(): Promise<void> {
    const { clock, listener } = this.#options;
    for (let item = this.#queue.first; item !== undefined && this.#mayWrite; item = this.#queue.first) {
      if (item instanceof Cut) {
        const begin = await this.#writer.write("begin", new Uint8Array(0));
        item.logBytes = this.#logBytes;
        this.#queue.completeCut(item, begin);
        continue;
      }
      const startMs = clock.monotonicMs();
      item.isClosed = true;
      await this.#writeParts("effects", item.payload());
      if (!this.#mayWrite) return;
      this.#complete(item);
      listener.onGroup?.(item.payloadBytes, clock.monotonicMs() - startMs);
    }
  }

  get #mayWrite(): boolean {
    return this.#state === "open" || this.#state === "full";
  }

  #complete(group: Group): void {
    const { listener } = this.#options;
    const { payloadBytes } = group;
    this.#groups += 1;
    this.#logBytes += payloadBytes;
    const hasDrained = this.#queue.complete(group);
    listener.onDurable(this.#queue.durablePosition);
    this.#queue.releaseWaiters();
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

  async #replaceBySnapshot(cut: Cut, chunks: Chunks): Promise<void> {
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
    this.#snapshotBytes = bytes;
    this.#logBytes -= cut.logBytes;
    await link.insist(({ manager }) => manager.streams.purge(stream, { seq: begin }));
  }

  #settle(): Promise<void> {
    if (this.#queue.durablePosition >= this.#queue.position) return Promise.resolve();
    const durable = this.#queue.wait();
    void this.#pump();
    return durable;
  }

  // --- trouble -----------------------------------------------------------------------------------------------------

  #trouble(error: NxError | undefined): void {
    if (this.#mayWrite) this.#setState(error === undefined ? "open" : "full", error);
  }

  #fail(error: NxError): void {
    if (!this.#mayWrite) return;
    const reason =
      error instanceof NxError ? error : new NxError("NX_INTERNAL", String(error), { cause: error });
    this.#setState("failed", reason);
    this.#queue.fail(reason);
    this.#writer.close();
    this.#disown();
  }

  #setState(state: LogState, error: NxError | undefined): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#error = error;
    this.#options.listener.onState?.(state, error);
  }
}
