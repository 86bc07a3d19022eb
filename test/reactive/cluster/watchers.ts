/**
 * Reactive clients of a simulated store: each watches some lists through frontends that die, comes back to another one from where
 * it was, acknowledges late, and now and then moves its read set.
 *
 * What a run shows is a transaction of its own that read at one moment: it goes into the history that the checker of anomalies
 * looks at. Here it is only checked that a client's moments never fall, and that its lists only grow.
 */
import type { Random } from "../../../src/core/seams/random.ts";
import { decodeServerMessage } from "../../../src/reactive/client-wire/codec.ts";
import type { Run } from "../../../src/reactive/client-wire/messages.ts";
import type { Watcher } from "../../../src/reactive/frontend/watches/watcher.ts";
import { type ClientWorld, listKeys, listOf } from "./clients.ts";
import type { Frontend } from "./processes.ts";

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));

export class WatchingClient {
  readonly #world: ClientWorld;
  readonly #random: Random;
  readonly #name: number;
  #keys: string[];
  #at = 0;
  /** As of when it has seen the keys that it watches. */
  #seen = 0;
  readonly #lists = new Map<string, number[]>();
  readonly faults: string[] = [];
  #watcher: Watcher | undefined;
  #connection = 0;
  #isStopped = false;

  constructor(world: ClientWorld, name: number) {
    this.#world = world;
    this.#name = name;
    this.#random = world.scheduler.fork();
    this.#keys = this.#someKeys();
  }

  #someKeys(): string[] {
    const keys = listKeys("strict").filter(() => this.#random.integer(2) === 0);
    return keys.length > 0 ? keys : listKeys("strict").slice(0, 2);
  }

  /** What it believes of the lists that it watches. */
  get view(): Map<string, number[]> {
    return new Map(this.#keys.map((key) => [key, this.#lists.get(key) ?? []]));
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Connects again and again, until it is stopped. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      const { frontends } = this.#world;
      const frontend = frontends[this.#random.integer(frontends.length)] as Frontend;
      await this.#stay(frontend);
      await this.#pause(this.#random.integer(40));
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#world.scheduler.after(delayMs, resolve));
  }

  /** One connection: until the frontend dies, or the client has had enough of it. */
  async #stay(frontend: Frontend): Promise<void> {
    this.#connection += 1;
    const opened = frontend.openWatcher(this.#outlet(this.#connection), 1 + this.#random.integer(3));
    if (opened === undefined) return;
    const { watcher, isOver } = opened;
    this.#watcher = watcher;
    // New keys are watched from the beginning: what was never read at a moment cannot have been seen as of it.
    if (this.#seen > 0 && this.#random.integer(3) === 0) {
      this.#keys = this.#someKeys();
      this.#seen = 0;
    }
    const watched = this.#watch(watcher, this.#seen);
    const isAlive = await Promise.race([watched, isOver.then(() => false)]);
    const stayMs = 50 + this.#random.integer(600);
    if (isAlive) await Promise.race([this.#pause(stayMs), isOver]);
    this.#connection += 1;
    this.#watcher = undefined;
    frontend.closeWatcher(watcher);
    this.#world.faults.count("watched again elsewhere");
  }

  async #watch(watcher: Watcher, at: number): Promise<boolean> {
    try {
      await watcher.watch(1, { keys: this.#keys.map(bytesOf), prefixes: [] }, at, 0);
      watcher.pump();
      return true;
    } catch {
      this.#world.faults.count("could not watch");
      return false;
    }
  }

  /** Messages take a while and keep their order; those of an earlier connection never arrive. */
  #outlet(connection: number) {
    let lastMs = 0;
    return {
      isCongested: false,
      send: (message: Uint8Array) => {
        const { scheduler } = this.#world;
        lastMs = Math.max(lastMs, scheduler.timeMs + this.#random.integer(5));
        const copy = message.slice();
        scheduler.after(lastMs - scheduler.timeMs, () => {
          if (connection === this.#connection) this.#receive(copy);
        });
      },
    };
  }

  #receive(bytes: Uint8Array): void {
    const message = decodeServerMessage(bytes);
    if (message.type !== "runs") return;
    for (const run of message.runs) this.#take(message.at, run);
    const connection = this.#connection;
    this.#world.scheduler.after(this.#random.integer(30), () => {
      if (connection === this.#connection) this.#watcher?.acknowledge(message.at);
    });
  }

  #take(at: number, { cause, values }: Run): void {
    this.#world.faults.count(`run: ${cause}`);
    if (at <= this.#at) this.faults.push(`a run at ${at} follows one at ${this.#at}`);
    this.#at = at;
    this.#seen = at;
    for (const { key, ...version } of values) {
      const name = Buffer.from(key).toString();
      const list = listOf(version);
      const before = this.#lists.get(name) ?? [];
      if (!before.every((value, index) => list[index] === value))
        this.faults.push(`at ${at} ${name} is ${list.join()}, it was ${before.join()}`);
      this.#lists.set(name, list);
    }
    const steps = [...this.view].map(([key, read]) => ({ key, read: [...read] }));
    this.#world.history.transactions.strict.push({
      name: `w${this.#name}@${at}`,
      steps,
      outcome: "committed",
      invokedAt: this.#world.scheduler.timeMs,
      returnedAt: this.#world.scheduler.timeMs,
      isPast: true,
    });
  }
}
