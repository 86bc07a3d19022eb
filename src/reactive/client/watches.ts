/**
 * All reactive transactions of a client, and what the frontend knows of them.
 *
 * Invariant: on every connection, each watch is told again with what it has seen last, so a change that was committed while
 * there was no connection, or another frontend, is pushed at once. A watch that a frontend refuses for good ends, with the
 * reason; it does not silently stop running.
 */
import type { ServerMessage } from "../client-wire/messages.ts";
import { type Clock, sleep } from "../../core/seams/clock.ts";
import type { Answer, Request } from "./connection.ts";
import { LostError } from "./connection.ts";
import { RequestError } from "./errors.ts";
import { toUtf8 } from "./types/encodings.ts";
import { type ReactiveCode, type ReactiveOptions, type ReadSet, Watch, type WatchHost } from "./watch.ts";

export interface WatchesOptions {
  host: Omit<WatchHost, "register" | "unregister">;
  /** Over the present connection, once. */
  ask(request: Request): Promise<Answer>;
  acknowledge(timestamp: number): void;
  clock: Clock;
}

const REPEAT_MS = 200;
/** What goes away by itself. */
const passing = new Set(["unavailable", "busy", "stopping"]);

export class Watches {
  readonly #options: WatchesOptions;
  readonly #watches = new Map<number, Watch>();
  /** What was last said of each watch on this connection. */
  #said = new Map<number, ReadSet>();
  #lastId = 0;

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#watches.size;
  }

  /** No run of any of them sees an older state. */
  get oldestTimestamp(): number {
    return Math.min(
      Number.POSITIVE_INFINITY,
      ...[...this.#watches.values()].map(({ oldestTimestamp }) => oldestTimestamp),
    );
  }

  add(code: ReactiveCode, options: ReactiveOptions): Watch {
    this.#lastId += 1;
    const watch = new Watch(this.#lastId, code, options, {
      ...this.#options.host,
      register: (each) => this.#register(each),
      unregister: (each) => this.#unregister(each),
    });
    this.#watches.set(watch.id, watch);
    watch.start();
    return watch;
  }

  connected(): void {
    this.#said = new Map();
    for (const watch of this.#watches.values()) {
      watch.lose();
      this.#register(watch);
    }
  }

  push({ at, runs }: Extract<ServerMessage, { type: "runs" }>): void {
    for (const run of runs) this.#watches.get(run.watch)?.push(at, run);
    // Each watch keeps no more than the latest state, so the frontend need not wait for slow code.
    this.#options.acknowledge(at);
  }

  progress(timestamp: number): void {
    for (const watch of this.#watches.values()) watch.progress(timestamp);
  }

  localChange(): void {
    for (const watch of this.#watches.values()) watch.localChange();
  }

  /** Nothing will be pushed to any of them any more. */
  failAll(error: unknown): void {
    for (const watch of [...this.#watches.values()]) {
      watch.fail(error);
      void watch.stop();
    }
  }

  stopAll(): void {
    for (const watch of this.#watches.values()) void watch.stop();
  }

  #register(watch: Watch): void {
    const { readSet } = watch;
    if (readSet.keys.length + readSet.prefixes.length > 0) {
      if (!isSame(this.#said.get(watch.id), readSet)) void this.#say(watch, readSet);
    } else if (this.#said.has(watch.id)) this.#forget(watch.id);
  }

  #unregister(watch: Watch): void {
    this.#watches.delete(watch.id);
    if (this.#said.has(watch.id)) this.#forget(watch.id);
  }

  #forget(id: number): void {
    this.#said.delete(id);
    // The connection's end says it as well.
    this.#options.ask({ type: "unwatch", watch: id }).catch(() => undefined);
  }

  async #say(watch: Watch, readSet: ReadSet): Promise<void> {
    const { at } = readSet;
    // What a frontend has not told yet of prefixes is lost when a watch is replaced; a new one begins with all of it.
    if (readSet.prefixes.length > 0 && this.#said.has(watch.id)) this.#forget(watch.id);
    const [keys, prefixes] = [readSet.keys.map(toUtf8), readSet.prefixes.map(toUtf8)];
    this.#said.set(watch.id, readSet);
    watch.expect(readSet);
    const isLatest = () => this.#said.get(watch.id) === readSet && !watch.isStopped;
    try {
      const { id, delayMs } = watch;
      await this.#options.ask({ type: "watch", watch: id, at, delayMs, keys, prefixes });
      if (isLatest()) watch.confirm(readSet);
    } catch (error) {
      if (error instanceof LostError || !isLatest()) return;
      if (error instanceof RequestError && passing.has(error.code)) {
        await sleep(this.#options.clock, REPEAT_MS);
        if (isLatest()) void this.#say(watch, watch.readSet);
        return;
      }
      watch.fail(error);
      void watch.stop();
    }
  }
}

function isSame(said: ReadSet | undefined, next: ReadSet): boolean {
  if (said?.keys.length !== next.keys.length || said.prefixes.length !== next.prefixes.length) return false;
  const [keys, prefixes] = [new Set(said.keys), new Set(said.prefixes)];
  return next.keys.every((key) => keys.has(key)) && next.prefixes.every((prefix) => prefixes.has(prefix));
}
