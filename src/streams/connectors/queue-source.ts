/**
 * A channel of a queue node as input. A queue forgets a record when it is taken, so what was taken goes to the worker's
 * input log (sources/input-log.ts) and is fed from there again after a crash.
 *
 * Lost with a worker that crashes are at most the `BATCH` records that were taken and not yet in the log, and with a
 * connection that breaks those whose answers were still on their way.
 *
 * Invariant: nothing more is taken before what was taken is on disk; it feeds only while it does not rest. What comes
 * while it rests goes to the log, so a worker that is stopped loses nothing.
 */
import { QueueClient, type ClientSeams, type NodeAddress } from "../../channels/client.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { SourceNode } from "../plan/nodes.ts";
import type { InputLog } from "../sources/input-log.ts";
import { Replay } from "../sources/replay.ts";
import type { Source, SourceHost } from "../sources/source.ts";
import { inOrder } from "./in-order.ts";

export interface QueueSourceOptions {
  seams: ClientSeams;
  log: Log;
  address: NodeAddress;
  channel: string;
  pollMs: number;
  inputLog: InputLog;
}

/** Taken at once, once the queue has shown that it has something: each answer waits for the queue's disk. */
const BATCH = 16;

export class QueueSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #host: SourceHost;
  readonly #options: QueueSourceOptions;
  readonly #client: QueueClient;
  readonly #replay: Replay;
  #isResting = true;
  #isClosed = false;
  #taking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #records = 0;
  #trouble = "";

  constructor(node: SourceNode, host: SourceHost, options: QueueSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#client = new QueueClient(options.seams, inOrder(options.address, BATCH));
    const { seams, inputLog } = options;
    this.#replay = new Replay({
      ...{ clock: seams.clock, inputLog },
      feed: (record) => host.feed(node, record, 0, record.byteLength),
      onPieceEnd: (records, startedMs) => host.onBatchEnd(records, startedMs),
      onDone: () => this.#take(),
    });
  }

  async open(): Promise<undefined> {}

  go(): void {
    if (!this.#isResting) return;
    this.#isResting = false;
    this.#replay.start();
  }

  rest(): void {
    this.#isResting = true;
    this.#replay.stop();
    this.#timer?.cancel();
  }

  #feed(records: readonly Buffer[]): void {
    if (records.length === 0) return;
    const startedMs = this.#options.seams.clock.monotonicMs();
    for (const record of records) {
      this.#options.inputLog.append(record, 0, record.byteLength);
      this.#host.feed(this.node, record, 0, record.byteLength);
    }
    this.#records += records.length;
    this.#host.onBatchEnd(records.length, startedMs);
  }

  #take(): void {
    const { pollMs, seams } = this.#options;
    this.#taking ??= this.#takeAll().finally(() => {
      this.#taking = undefined;
      if (!this.#isResting && !this.#isClosed) this.#timer = seams.clock.after(pollMs, () => this.#take());
    });
  }

  /** Takes and feeds until the queue is empty. Never rejects. */
  async #takeAll(): Promise<void> {
    try {
      // An empty queue is asked for one record at a time.
      for (let count = 1; !this.#isResting && !this.#isClosed; count = BATCH)
        if ((await this.#takeBatch(count)) < count) break;
      this.#trouble = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#trouble) this.#options.log.warn(`the source ${this.name} waits: ${message}`);
      this.#trouble = message;
    }
  }

  /** Takes up to `count` records; returns how many there were. Rejects behind those that came, when one did not. */
  async #takeBatch(count: number): Promise<number> {
    const { channel, inputLog } = this.#options;
    const pops = Array.from({ length: count }, () => this.#client.pop(channel));
    const answers = await Promise.allSettled(pops);
    const records = answers.flatMap((answer) =>
      answer.status === "fulfilled" && answer.value !== undefined ? [answer.value] : [],
    );
    // Nothing overtakes what is still to be fed again.
    if (this.#isResting || inputLog.isBehind) for (const record of records) inputLog.keep(record);
    else this.#feed(records);
    await inputLog.flush();
    const failed = answers.find(({ status }) => status === "rejected");
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    return records.length;
  }

  position(): number {
    return this.#options.inputLog.position();
  }

  get diskTrouble(): string | undefined {
    return this.#options.inputLog.trouble;
  }

  get isCongested(): boolean {
    return this.#options.inputLog.isCongested;
  }

  flush(): Promise<void> {
    return this.#options.inputLog.flush();
  }

  committed(position: unknown): void {
    this.#options.inputLog.committed(position as number);
  }

  async rollBack(position: unknown): Promise<void> {
    await this.#options.inputLog.rollBack((position as number | undefined) ?? 0);
  }

  stats() {
    return { kind: "queue", records: this.#records, trouble: this.#trouble };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // What the queue is giving away right now gets into the log.
    this.rest();
    await this.#taking;
    this.#client.close();
    await this.#options.inputLog.close();
  }
}
