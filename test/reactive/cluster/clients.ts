/**
 * Clients of a simulated store: transactions over lists and counters through frontends that die, and a history of all of them
 * for the checkers.
 *
 * A transaction whose frontend died, or could not tell, is mostly sent again under its own name until its outcome is known, as a
 * client does. Some are given up: theirs is unknown, and what they left locked is for others to settle.
 */
import type { Random } from "../../../src/core/seams/random.ts";
import type { Scheduler } from "../../../src/core/sim/scheduler.ts";
import type { FaultCounts } from "../../../src/core/sim/faults.ts";
import type { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import type { CommitResult, WholeTransaction } from "../../../src/reactive/engines/engine.ts";
import { OutcomeUnknownError, RefusedError, TooOldError } from "../../../src/reactive/failures.ts";
import type { ReadVersion } from "../../../src/reactive/shard/query-messages.ts";
import {
  decodeValue,
  encodeOperations,
  type Operation,
  wholePart,
} from "../../../src/reactive/shard/operations.ts";
import { type Access, Level } from "../../../src/reactive/shard/transaction.ts";
import type { Transaction, TransactionStep } from "../checkers/elle.ts";
import type { Frontend } from "./processes.ts";

export type LevelName = keyof typeof Level;

/** What clients did: the lists of each level are its own table. */
export interface History {
  readonly transactions: Record<LevelName, Transaction[]>;
  /** Acknowledged increments, by counter. */
  readonly counts: Map<string, bigint>;
}

export const emptyHistory = (): History => ({
  transactions: { strict: [], snapshot: [], readCommitted: [] },
  counts: new Map(),
});

export interface ClientWorld {
  readonly scheduler: Scheduler;
  readonly frontends: Frontend[];
  readonly faults: FaultCounts;
  readonly history: History;
  nextValue(): number;
  /** No transaction is begun any more. */
  readonly isEnding: boolean;
}

const LISTS = 5;
const counters = ["hot", "warm"];
const prefixes: Record<LevelName, string> = { strict: "s", snapshot: "i", readCommitted: "c" };

export const listKeys = (level: LevelName) =>
  Array.from({ length: LISTS }, (_, index) => `${prefixes[level]}/${"abcdefgh"[index]}`);
export const counterKeys = counters;

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));

export function listOf({ type, value }: ReadVersion): number[] {
  const decoded = decodeValue(type, value);
  if (decoded.type !== "list") return [];
  return decoded.elements.map((element) => Number(Buffer.from(element).toString()));
}

export class Client {
  readonly #world: ClientWorld;
  readonly #random: Random;
  readonly #name: number;
  #number = 0;
  /** Values with the timestamps between which they are valid, as a client may cache them. */
  #cache = new Map<string, ReadVersion>();

  constructor(world: ClientWorld, name: number) {
    this.#world = world;
    this.#name = name;
    this.#random = world.scheduler.fork();
  }

  /** Runs transactions until the simulation ends. */
  async run(): Promise<void> {
    while (!this.#world.isEnding) {
      const dice = this.#random.integer(20);
      const level = (["strict", "snapshot", "readCommitted"] as const)[
        Math.max(0, this.#random.integer(5) - 2)
      ] as LevelName;
      if (dice < 11) await this.#transaction(level);
      else if (dice < 14) await this.#appendBlindly(level === "snapshot" ? "strict" : level);
      else if (dice < 16) await this.#increment();
      else if (dice < 18) await this.#readNow();
      else if (dice < 19) await this.#readPast();
      else this.#readCached();
      await this.#pause(this.#random.integer(30));
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#world.scheduler.after(delayMs, resolve));
  }

  /** Reads and appends, validated as the level says. */
  async #transaction(level: LevelName): Promise<void> {
    const invokedAt = this.#world.scheduler.timeMs;
    const keys = listKeys(level).filter(() => this.#random.integer(3) === 0);
    const read = keys.filter(() => this.#random.integer(3) > 0);
    const written = keys.filter((key) => !read.includes(key) || this.#random.integer(2) === 0);
    // Appends commute, also under snapshot isolation: what it promises is only visible in writes that do not.
    if (level === "snapshot") read.push(...written.filter((key) => !read.includes(key)));
    const found = await this.#read(level, read);
    if (found === undefined) return;
    const { versions, snapshot } = found;
    const steps: TransactionStep[] = [...versions].map(([key, version]) => ({ key, read: listOf(version) }));
    const accesses = keys.map((key): Access => {
      const version = versions.get(key);
      return {
        key: bytesOf(key),
        reads:
          version === undefined
            ? []
            : [{ part: wholePart, version: version.start, wasPresent: version.type !== 0 }],
        operations: written.includes(key)
          ? this.#append(key, steps, level === "snapshot" ? version : undefined)
          : new Uint8Array(0),
      };
    });
    await this.#commit(level, snapshot, accesses, steps, invokedAt);
  }

  /** One blind append: what a transaction that reads nothing is. */
  async #appendBlindly(level: LevelName): Promise<void> {
    const steps: TransactionStep[] = [];
    const invokedAt = this.#world.scheduler.timeMs;
    const key = listKeys(level)[this.#random.integer(LISTS)] as string;
    const access = { key: bytesOf(key), reads: [], operations: this.#append(key, steps, undefined) };
    await this.#commit(level, 0, [access], steps, invokedAt);
  }

  /** Some values; with `version` the list is put as a whole. */
  #append(key: string, steps: TransactionStep[], version: ReadVersion | undefined): Uint8Array {
    const values = Array.from({ length: 1 + this.#random.integer(2) }, () => this.#world.nextValue());
    for (const value of values) steps.push({ key, append: value });
    const elementsOf = (list: number[]) => list.map((value) => bytesOf(`${value}`));
    if (version !== undefined) {
      const elements = elementsOf([...listOf(version), ...values]);
      return encodeOperations([{ kind: "put", value: { type: "list", elements } }]);
    }
    return encodeOperations(elementsOf(values).map((element): Operation => ({ kind: "append", element })));
  }

  /** Nothing but increments: nobody refuses them, though a frontend that died may leave one to be aborted. */
  async #increment(): Promise<void> {
    const keys = this.#random.integer(2) === 0 ? counters : counters.slice(0, 1);
    const operations = encodeOperations([{ kind: "add", amount: 1n }]);
    const accesses = keys.map((key) => ({ key: bytesOf(key), reads: [], operations }));
    const result = await this.#send(Level.strict, 0, accesses);
    if (result.kind === "refused") throw new Error(`a blind increment is refused: ${result.reason}`);
    if (result.kind !== "committed") return;
    const { counts } = this.#world.history;
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0n) + 1n);
  }

  /** A read of several keys at a fresh timestamp is strictly serializable without being validated. */
  async #readNow(): Promise<void> {
    const invokedAt = this.#world.scheduler.timeMs;
    const keys = listKeys("strict").filter(() => this.#random.integer(2) === 0);
    const snapshot = await this.#try((backend) => backend.read(keys.map(bytesOf), undefined));
    if (snapshot !== undefined && keys.length > 0)
      this.#recordReads(keys, snapshot.versions, invokedAt, false);
  }

  /** A read of a moment that has passed: serializable, not strictly. */
  async #readPast(): Promise<void> {
    const invokedAt = this.#world.scheduler.timeMs;
    const keys = listKeys("strict");
    const snapshot = await this.#try((backend) => {
      const at = Math.max(1, backend.known - this.#random.integer(this.#random.integer(3) === 0 ? 400 : 20));
      return backend.read(keys.map(bytesOf), backend.known === 0 ? undefined : at);
    });
    if (snapshot !== undefined) this.#recordReads(keys, snapshot.versions, invokedAt, true);
  }

  /** Cached values that are valid at one common moment are a snapshot, whenever they were read. */
  #readCached(): void {
    const cached = [...this.#cache];
    const start = Math.max(0, ...cached.map(([, { start: each }]) => each));
    const valid = cached.filter(([, { end }]) => end >= start);
    this.#cache.clear();
    if (valid.length < 2) return;
    this.#world.faults.count("read from a cache");
    const keys = valid.map(([key]) => key);
    const versions = valid.map(([, version]) => version);
    this.#recordReads(keys, versions, this.#world.scheduler.timeMs, true);
  }

  #recordReads(keys: string[], versions: ReadVersion[], invokedAt: number, isPast: boolean): void {
    const steps = keys.map((key, index) => ({ key, read: listOf(versions[index] as ReadVersion) }));
    this.#record("strict", steps, { kind: "committed", timestamp: 0 }, invokedAt, isPast);
  }

  async #read(level: LevelName, keys: string[]) {
    const versions = new Map<string, ReadVersion>();
    let snapshot = 0;
    if (level === "snapshot") {
      const found = await this.#try((backend) => backend.read(keys.map(bytesOf), undefined));
      if (found === undefined) return undefined;
      snapshot = found.timestamp;
      for (const [index, key] of keys.entries()) versions.set(key, found.versions[index] as ReadVersion);
      return { versions, snapshot };
    }
    if (level === "readCommitted") {
      const found = await this.#try((backend) => backend.readCommitted(keys.map(bytesOf)));
      if (found === undefined) return undefined;
      for (const [index, key] of keys.entries()) versions.set(key, found.versions[index] as ReadVersion);
      return { versions, snapshot };
    }
    // One after the other, so that others come between.
    for (const key of keys) {
      const found = await this.#try((backend) => backend.readNewest([bytesOf(key)]));
      const version = found?.versions[0];
      if (version === undefined) return undefined;
      versions.set(key, version);
      this.#cache.set(key, version);
    }
    return { versions, snapshot };
  }

  /** One attempt of something that changes nothing; undefined when it came to nothing. */
  async #try<Answer>(call: (backend: Backend) => Promise<Answer>): Promise<Answer | undefined> {
    try {
      const answer = await this.#frontend().ask(call);
      return answer === "gone" ? undefined : answer;
    } catch (error) {
      if (error instanceof TooOldError) this.#world.faults.count("read of a forgotten moment refused");
      else if (!isTrouble(error)) throw error;
      await this.#pause(20);
      return undefined;
    }
  }

  #frontend(): Frontend {
    const { frontends } = this.#world;
    return frontends[this.#random.integer(frontends.length)] as Frontend;
  }

  async #commit(
    level: LevelName,
    snapshot: number,
    accesses: Access[],
    steps: TransactionStep[],
    invokedAt: number,
  ): Promise<void> {
    if (accesses.length === 0) return;
    const result = await this.#send(Level[level], snapshot, accesses, this.#random.integer(4) === 0);
    this.#record(level, steps, result, invokedAt, false);
  }

  /** `givesUp`: it does not ask again, as if it had died with its frontend. */
  async #send(
    level: Level,
    snapshot: number,
    accesses: Access[],
    givesUp = false,
  ): Promise<CommitResult | { kind: "unknown" }> {
    const number = ++this.#number;
    const whole: WholeTransaction = {
      id: { client: this.#name, number },
      floor: number,
      level,
      snapshot,
      accesses,
    };
    for (;;) {
      try {
        const result = await this.#frontend().ask((backend) => backend.coordinator.commit(whole));
        if (result !== "gone") {
          this.#world.faults.count(result.kind === "refused" ? `refused: ${result.reason}` : result.kind);
          return result;
        }
      } catch (error) {
        if (!isTrouble(error)) throw error;
      }
      if (givesUp) {
        this.#world.faults.count("given up");
        return { kind: "unknown" };
      }
      this.#world.faults.count("sent again under its name");
      await this.#pause(20 + this.#random.integer(40));
    }
  }

  #record(
    level: LevelName,
    steps: TransactionStep[],
    { kind }: CommitResult | { kind: "unknown" },
    invokedAt: number,
    isPast: boolean,
  ): void {
    if (kind === "forgotten") throw new Error("a transaction was forgotten before its client was told");
    this.#world.history.transactions[level].push({
      name: `${this.#name}:${this.#number}@${invokedAt.toFixed(1)}`,
      steps,
      outcome: kind === "refused" ? "aborted" : kind,
      invokedAt,
      returnedAt: kind === "unknown" ? Number.POSITIVE_INFINITY : this.#world.scheduler.timeMs,
      isPast,
    });
  }
}

const isTrouble = (error: unknown) => error instanceof OutcomeUnknownError || error instanceof RefusedError;
