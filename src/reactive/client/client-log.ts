/**
 * What a client keeps beyond its program's life: its name, which numbers it has used for transactions, and transactions that
 * wait to be committed.
 *
 *   { "client": 81985529216486, "reserved": 20000 }          numbers below 20000 may have been used
 *   { "queued": 7, "code": "post", "arguments": … }          a transaction, in the words of the application
 *   { "attempt": 7, "number": 10012, "keys": ["…"] }         it is about to be sent under this number
 *   { "settled": 7 }                                         committed or given up
 *
 * Invariant: a queued transaction is committed at most once, whatever crashes: before it is run again, the last attempt that the
 * log knows of is resolved. A number is never used twice.
 */
import type { Random } from "../../core/seams/random.ts";
import { StorageError } from "./errors.ts";
import { KEPT_CLIENT_MIN } from "../shard/transaction.ts";
import type { LogStorage } from "./storage.ts";

export interface Attempt {
  number: number;
  keys: string[];
}

export interface QueuedEntry {
  entry: number;
  code: string;
  /** JSON. */
  arguments: unknown;
  /** The last one; undefined: never sent. */
  attempt: Attempt | undefined;
}

type Line =
  | { client: number; reserved: number }
  | { queued: number; code: string; arguments: unknown }
  | ({ attempt: number } & Attempt)
  | { settled: number };

/** Numbers that are reserved at once: a crash leaves at most this many unused. */
const RESERVE = 10_000;
/** Lines that say nothing any more are written over when there are so many. */
const STALE_MAX = 200;

export class ClientLog {
  readonly client: number;
  readonly #storage: LogStorage;
  readonly #entries: Map<number, QueuedEntry>;
  #reserved: number;
  #number: number;
  #lastEntry: number;
  /** Lines that a later one has made void. */
  #stale = 0;
  #reserving: Promise<void> = Promise.resolve();
  /** One change at a time, so that what is written over is what the lines before said. */
  #last: Promise<unknown> = Promise.resolve();

  /** `isKept`: what is in `storage` survives the program. */
  static async open(storage: LogStorage, random: Random, isKept = true): Promise<ClientLog> {
    try {
      const lines = (await storage.load()).map(lineOf);
      const log = new ClientLog(storage, random, lines, isKept);
      await log.#rewrite();
      return log;
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  private constructor(storage: LogStorage, random: Random, lines: readonly Line[], isKept: boolean) {
    const { client, reserved, entries } = stateOf(lines);
    this.#storage = storage;
    this.#entries = entries;
    this.client = client === 0 ? (isKept ? KEPT_CLIENT_MIN : 1) + random.integer(2 ** 48) : client;
    this.#number = reserved;
    this.#reserved = reserved + RESERVE;
    this.#lastEntry = Math.max(0, ...entries.keys());
  }

  /** Those that wait, oldest first. */
  get entries(): QueuedEntry[] {
    return [...this.#entries.values()];
  }

  /** The number of the oldest transaction that this life or the next one may resolve; infinity: none. */
  get oldestAttempt(): number {
    // They are committed in their order: only the oldest can have been sent.
    const [oldest] = this.#entries.values();
    return oldest?.attempt?.number ?? Number.POSITIVE_INFINITY;
  }

  /** A number that was never used, from 1. */
  nextNumber(): number {
    this.#number += 1;
    // Long before the reserve is used up, so that nobody has to wait for the disk.
    if (this.#number > this.#reserved - RESERVE / 2) {
      this.#reserved += RESERVE;
      const line: Line = { client: this.client, reserved: this.#reserved };
      this.#reserving = this.#change(line, () => {});
      this.#reserving.catch(() => undefined); // the next append fails as well, and is heard
    }
    return this.#number;
  }

  /** Resolves when it is kept; what it rejects for is not, neither for this life nor for the next one. */
  async queue(code: string, words: unknown): Promise<QueuedEntry> {
    this.#lastEntry += 1;
    const entry = { entry: this.#lastEntry, code, arguments: words, attempt: undefined };
    await this.#change({ queued: entry.entry, code, arguments: words }, () =>
      this.#entries.set(entry.entry, entry),
    );
    return entry;
  }

  async attempt({ entry }: QueuedEntry, attempt: Attempt): Promise<void> {
    await this.#change({ attempt: entry, ...attempt }, () => {
      const queued = this.#entries.get(entry);
      if (queued !== undefined) queued.attempt = attempt;
    });
    await this.#tidy();
  }

  async settle({ entry }: QueuedEntry): Promise<void> {
    await this.#change({ settled: entry }, () => this.#entries.delete(entry));
    await this.#tidy();
  }

  async close(): Promise<void> {
    await this.#reserving.catch(() => undefined);
    await this.#storage.close();
  }

  /** Writes a line; what it says counts once it is kept. */
  #change(line: Line, done: () => void): Promise<void> {
    return this.#inTurn(() => this.#storage.append(JSON.stringify(line)).then(done));
  }

  async #tidy(): Promise<void> {
    this.#stale += 1;
    if (this.#stale > STALE_MAX) await this.#inTurn(() => this.#rewrite());
  }

  /** Rejects with StorageError. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work).catch((error: unknown) => {
      throw new StorageError(error);
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #rewrite(): Promise<void> {
    this.#stale = 0;
    const lines: Line[] = [{ client: this.client, reserved: this.#reserved }];
    for (const { entry, code, arguments: words, attempt } of this.#entries.values()) {
      lines.push({ queued: entry, code, arguments: words });
      if (attempt !== undefined) lines.push({ attempt: entry, ...attempt });
    }
    await this.#storage.replace(lines.map((line) => JSON.stringify(line)));
  }
}

/** What lines say, the oldest first. */
function stateOf(lines: readonly Line[]) {
  let client = 0;
  let reserved = 0;
  const entries = new Map<number, QueuedEntry>();
  for (const line of lines) {
    if ("client" in line) {
      client = line.client;
      reserved = Math.max(reserved, line.reserved);
    } else if ("queued" in line) {
      const { queued: entry, code } = line;
      entries.set(entry, { entry, code, arguments: line.arguments, attempt: undefined });
    } else if ("attempt" in line) {
      const entry = entries.get(line.attempt);
      if (entry !== undefined) entry.attempt = { number: line.number, keys: line.keys };
    } else entries.delete(line.settled);
  }
  return { client, reserved, entries };
}

/** The code of the oldest transaction that waits in a log that somebody else has written; undefined: none does. */
export function firstCodeOf(lines: readonly string[]): string | undefined {
  const [oldest] = stateOf(lines.map(lineOf)).entries.values();
  return oldest?.code;
}

function lineOf(text: string, index: number): Line {
  try {
    const line = JSON.parse(text) as Partial<Record<string, unknown>>;
    const isKnown = ["client", "queued", "attempt", "settled"].some((name) =>
      Number.isSafeInteger(line[name]),
    );
    if (isKnown) return line as Line;
  } catch {
    // Told below, with its place.
  }
  throw new Error(`the client's log is damaged at line ${index + 1}: it is not a line of this program`);
}
