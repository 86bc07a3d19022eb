/**
 * Several shards, a timestamp server and coordinators in one process, without replication: every message waits until the
 * seed says that it is its turn, so that commands of different transactions arrive in any order.
 */
import { Coordinator, type Group } from "../../../src/reactive/engines/builtin/coordinator.ts";
import type { CommitResult } from "../../../src/reactive/engines/engine.ts";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import {
  decodeReadReply,
  encodeQuery,
  type ReadReply,
  type ReadVersion,
} from "../../../src/reactive/shard/query-messages.ts";
import { ShardService, type ShardSettings, shardDefaults } from "../../../src/reactive/shard/service.ts";
import { whole } from "../whole.ts";

/** A repeatable sequence (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Messages under way; `run` delivers them in an order of its own until nothing is left. */
export class Mailroom {
  readonly #random: () => number;
  #waiting: (() => void)[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Resolves when it is this message's turn. */
  turn(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  async run(until: Promise<unknown>): Promise<void> {
    let isDone = false;
    void until.finally(() => (isDone = true)).catch(() => {});
    let idle = 0;
    while (!isDone && idle < 1000) {
      const index = Math.floor(this.#random() * this.#waiting.length);
      const [next] = this.#waiting.splice(index, 1);
      idle = next === undefined ? idle + 1 : 0;
      next?.();
      // Everything that follows from it happens before the next one is delivered.
      for (let round = 0; round < 20; round++) await Promise.resolve();
    }
    if (!isDone) throw new Error("nothing is under way, and it is not done");
    await until;
  }
}

export interface ShardCluster {
  shards: ShardService[];
  /** The shards as frontends see them. */
  groups: Group[];
  /** A new timestamp. */
  next(): Promise<number>;
  mail: Mailroom;
  coordinator: Coordinator;
  /** The largest timestamp that was given out. */
  issued(): number;
  read(keys: string[], timestamp: number): Promise<Map<string, ReadVersion>>;
  close(): void;
}

export interface ClusterOptions {
  shards: number;
  seed: number;
  settings?: ShardSettings;
  /** Changes the timestamps on purpose. */
  /** Transactions of one shard are committed by one entry. */
  isAtOnce?: boolean;
  timestamps?: (next: () => Promise<number>) => () => Promise<number>;
}

/** Nobody else becomes primary here. */
const VIEW = 0;

/** `entry`: one command, one log entry. */
export function shardCluster({
  shards: count,
  seed,
  settings = shardDefaults,
  timestamps,
  isAtOnce = true,
}: ClusterOptions): ShardCluster {
  const random = randomOf(seed);
  const mail = new Mailroom(random);
  const shards = Array.from({ length: count }, () => new ShardService(settings));
  const ops = shards.map(() => 0);
  let timeMs = 0;
  let requests = 0;
  const groups = shards.map((shard, index): Group => ({
    view: isAtOnce ? VIEW : undefined,
    async command(body) {
      await mail.turn();
      const ordered = { session: 1, number: ++requests, body };
      const answer = shard.admit(ordered, VIEW);
      if (answer !== undefined) return answer;
      // Ordered now, applied later.
      if (isAtOnce) await mail.turn();
      timeMs += 100;
      const op = (ops[index] = (ops[index] as number) + 1);
      const reply = whole(shard.apply({ op, timeMs, commands: [ordered] }))[0] as Uint8Array;
      await mail.turn();
      return reply;
    },
    async query(body) {
      await mail.turn();
      const reply = (await shard.query(body, VIEW)) as Uint8Array;
      await mail.turn();
      return reply;
    },
  }));
  let issued = 0;
  const next = async () => {
    await mail.turn();
    issued += 1;
    const timestamp = issued;
    await mail.turn();
    return timestamp;
  };
  const coordinator = new Coordinator({ shards: groups, nextTimestamp: timestamps?.(next) ?? next });
  return {
    shards,
    groups,
    next,
    mail,
    coordinator,
    issued: () => issued,
    async read(keys, timestamp) {
      const found = new Map<string, ReadVersion>();
      const known = issued;
      const byShard = Map.groupBy(keys, (key) => shardOf(Buffer.from(key), count));
      await Promise.all(
        [...byShard].map(async ([index, own]) => {
          const query = { kind: "read", timestamp, known, keys: own.map((key) => Buffer.from(key)) } as const;
          const reply: ReadReply = decodeReadReply(await (groups[index] as Group).query(encodeQuery(query)));
          own.forEach((key, place) => found.set(key, reply.versions[place] as ReadVersion));
        }),
      );
      return found;
    },
    close: () => {
      for (const shard of shards) shard.close();
    },
  };
}

export const isCommitted = (result: CommitResult) => result.kind === "committed";
