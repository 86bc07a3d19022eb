/**
 * A client that keeps one watch alive over any number of connections and frontends: when a connection ends it goes to the next
 * frontend and watches from where it was. What it sees is judged as it comes.
 */
import { decodeValue, type Value } from "../../src/reactive/shard/operations.ts";
import { plain, PlainClient, type PlainClientOptions, textOf } from "./plain-client.ts";

export interface FollowingOptions extends PlainClientOptions {
  delayMs?: number;
  /** What is wrong with what a run shows, if anything. */
  judge?(view: ReadonlyMap<string, unknown>): string | undefined;
}

const RETRY_MS = 20;

export class FollowingClient implements Disposable {
  readonly keys: readonly string[];
  readonly #ports: readonly number[];
  readonly #options: FollowingOptions;
  readonly #values = new Map<string, Value>();
  readonly faults: string[] = [];
  /** Arrival and timestamp of each run. */
  readonly runs: { arrivedMs: number; at: number; changes: number; cause: string }[] = [];
  connections = 0;
  #frontend: number;
  #client: PlainClient | undefined;
  #isStopped = false;

  constructor(
    ports: readonly number[],
    frontend: number,
    keys: readonly string[],
    options: FollowingOptions = {},
  ) {
    this.#ports = ports;
    this.#frontend = frontend;
    this.keys = keys;
    this.#options = options;
    void this.#follow();
  }

  get last(): number {
    return this.runs.at(-1)?.at ?? 0;
  }

  get view(): Map<string, unknown> {
    return new Map(this.keys.map((key) => [key, plain(this.#values.get(key))]));
  }

  /** The connection that it has, if it has one. */
  get client(): PlainClient | undefined {
    return this.#client;
  }

  async #follow(): Promise<void> {
    while (!this.#isStopped) {
      try {
        const port = this.#ports[this.#frontend % this.#ports.length] as number;
        const client = await PlainClient.connect(port, this.#options);
        this.#client = client;
        if (this.#isStopped) client.terminate();
        this.connections += 1;
        client.onRun = ({ at, run, arrivedMs }) => {
          if (at <= this.last) this.faults.push(`a run at ${at} follows one at ${this.last}`);
          if (run.cause === "changed" && run.values.length === 0)
            this.faults.push(`a run at ${at} without a change`);
          for (const { key, type, value } of run.values)
            this.#values.set(textOf(key), decodeValue(type, value));
          this.runs.push({ arrivedMs, at, changes: run.changes, cause: run.cause });
          const fault = this.#options.judge?.(this.view);
          if (fault !== undefined) this.faults.push(`at ${at}: ${fault}`);
        };
        await client.watch(1, this.keys, { at: this.last, delayMs: this.#options.delayMs ?? 0 });
        await client.ended;
      } catch {
        // The next one, then.
      }
      this.#client = undefined;
      this.#frontend += 1;
      await Bun.sleep(RETRY_MS);
    }
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#client?.terminate();
  }
}
