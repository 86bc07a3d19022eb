/**
 * A channel of a queue node as input. A queue forgets a record when it is taken, so what was taken goes to the worker's
 * input log (sources/input-log.ts) and is fed from there again after a crash.
 *
 * Lost with the worker's host are at most the `BATCH` records that were taken and not yet in the log.
 *
 * Invariant: nothing more is taken before what was taken is on disk; it feeds only while it does not rest.
 */
import { QueueClient, type ClientSeams, type NodeAddress } from "../../channels/client.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { SourceNode } from "../plan/nodes.ts";
import type { InputLog } from "../sources/input-log.ts";
import type { Source, SourceHost } from "../sources/source.ts";

export interface QueueSourceOptions {
  seams: ClientSeams;
  log: Log;
  address: NodeAddress;
  channel: string;
  pollMs: number;
  inputLog: InputLog;
}

const BATCH = 16;

export class QueueSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #host: SourceHost;
  readonly #options: QueueSourceOptions;
  readonly #client: QueueClient;
  /** Taken while it rested. */
  #waiting: Buffer[] = [];
  #isResting = true;
  #isTaking = false;
  #isClosed = false;
  #timer: Timer | undefined;
  #records = 0;
  #trouble = "";

  constructor(node: SourceNode, host: SourceHost, options: QueueSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#client = new QueueClient(options.seams, { nodes: [options.address] });
  }

  async open(): Promise<undefined> {}

  go(): void {
    if (!this.#isResting) return;
    this.#isResting = false;
    const { inputLog, seams } = this.#options;
    const startedMs = seams.clock.monotonicMs();
    let count = 0;
    inputLog.replay((record) => {
      count++;
      this.#host.feed(this.node, record, 0, record.byteLength);
    });
    if (count > 0) this.#host.onBatchEnd(count, startedMs);
    this.#feed(this.#waiting.splice(0));
    void this.#take();
  }

  rest(): void {
    this.#isResting = true;
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

  /** Takes and feeds until the queue is empty. Never rejects. */
  async #take(): Promise<void> {
    const { channel, pollMs, log, inputLog, seams } = this.#options;
    if (this.#isTaking) return;
    this.#isTaking = true;
    try {
      while (!this.#isResting && !this.#isClosed) {
        const records: Buffer[] = [];
        for (let count = 0; count < BATCH && !this.#isResting; count++) {
          const record = await this.#client.pop(channel);
          if (record === undefined) break;
          records.push(record);
        }
        if (this.#isResting) this.#waiting.push(...records);
        else this.#feed(records);
        await inputLog.flush();
        if (records.length < BATCH) break;
      }
      this.#trouble = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#trouble) log.warn(`the source ${this.name} waits: ${message}`);
      this.#trouble = message;
    }
    this.#isTaking = false;
    if (!this.#isResting && !this.#isClosed) this.#timer = seams.clock.after(pollMs, () => void this.#take());
  }

  position(): number {
    return this.#options.inputLog.position();
  }

  flush(): Promise<void> {
    return this.#options.inputLog.flush();
  }

  committed(position: unknown): void {
    this.#options.inputLog.committed(position as number);
  }

  async rollBack(position: unknown): Promise<void> {
    this.#options.inputLog.rollBack((position as number | undefined) ?? 0);
  }

  stats() {
    return { kind: "queue", records: this.#records, trouble: this.#trouble };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#client.close();
    await this.#options.inputLog.close();
  }
}
