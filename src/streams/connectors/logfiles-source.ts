/**
 * A channel of a logfiles node as input: from its first record on, then whatever comes.
 *
 * A node keeps records in pieces of 4096 keys and within a piece in the order in which they were written. The position is
 * a piece and how many of its records were fed; so nothing is fed twice and nothing is skipped, but for records that are
 * written into a piece after a later one has begun (with times as keys: more than an hour late).
 *
 * Invariant: it feeds only while it does not rest, and after `rollBack` again everything behind that position.
 */
import { LogfilesClient, type ClientSeams, type NodeAddress } from "../../channels/client.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { SourceNode } from "../plan/nodes.ts";
import type { Source, SourceHost } from "../sources/source.ts";

export interface LogfilesSourceOptions {
  seams: ClientSeams;
  log: Log;
  address: NodeAddress;
  channel: string;
  pollMs: number;
}

interface Position {
  /** First key of the piece, decimal. */
  piece: string;
  fed: number;
}

const PIECE_KEYS = 4096n;

export class LogfilesSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #host: SourceHost;
  readonly #options: LogfilesSourceOptions;
  readonly #client: LogfilesClient;
  #piece = 0n;
  #fed = 0;
  #records = 0;
  #isResting = true;
  #timer: Timer | undefined;
  #trouble = "";
  /** Grows with each rest: a read of an earlier one feeds nothing more. */
  #turn = 0;

  constructor(node: SourceNode, host: SourceHost, options: LogfilesSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#client = new LogfilesClient(options.seams, { nodes: [options.address] });
  }

  async open(): Promise<undefined> {}

  go(): void {
    if (!this.#isResting) return;
    this.#isResting = false;
    void this.#read(++this.#turn);
  }

  rest(): void {
    this.#isResting = true;
    this.#turn++;
    this.#timer?.cancel();
  }

  /** Never rejects. */
  async #read(turn: number): Promise<void> {
    const { channel, pollMs, log } = this.#options;
    const { clock } = this.#options.seams;
    try {
      let skipped = 0;
      const [low, fed] = [this.#piece, this.#fed];
      for await (const batch of this.#client.records(channel, { low })) {
        if (turn !== this.#turn) return;
        const startedMs = clock.monotonicMs();
        let count = 0;
        for (const { key, value } of batch) {
          const piece = key - (key % PIECE_KEYS);
          if (piece === low && skipped < fed) {
            skipped++;
            continue;
          }
          if (piece > this.#piece) [this.#piece, this.#fed] = [piece, 0];
          this.#fed++;
          count++;
          this.#host.feed(this.node, value, 0, value.byteLength);
        }
        this.#records += count;
        if (count > 0) this.#host.onBatchEnd(count, startedMs);
        if (turn !== this.#turn) return;
      }
      this.#trouble = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#trouble) log.warn(`the source ${this.name} waits: ${message}`);
      this.#trouble = message;
    }
    if (turn === this.#turn) this.#timer = clock.after(pollMs, () => void this.#read(turn));
  }

  position(): Position {
    return { piece: String(this.#piece), fed: this.#fed };
  }

  committed(): void {
    // The node keeps everything; nobody need be told.
  }

  async rollBack(position: unknown): Promise<void> {
    const { piece, fed } = (position as Position | undefined) ?? { piece: "0", fed: 0 };
    this.#piece = BigInt(piece);
    this.#fed = fed;
  }

  stats() {
    return { kind: "logfiles", records: this.#records, trouble: this.#trouble };
  }

  async close(): Promise<void> {
    this.rest();
    this.#client.close();
  }
}
