/**
 * Clients that send whatever can be sent: operations that are none, reads of what nobody wrote, snapshots of the future, the same name
 * for several transactions, floors above what is under way. No shard stops, no answer fails to be read, and what was left prepared
 * can be settled: then nobody waits for anything.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { encodeOperations, type Operation } from "../../../src/reactive/shard/operations.ts";
import { encodeQuery } from "../../../src/reactive/shard/query-messages.ts";
import { shardDefaults } from "../../../src/reactive/shard/service.ts";
import type { Access, Level } from "../../../src/reactive/shard/transaction.ts";
import { testSeed } from "../../seed.ts";
import { randomOf, shardCluster, type ShardCluster } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const RUNS = 40;
const TRANSACTIONS = 12;
const FAR = Number.MAX_SAFE_INTEGER;
const settings = {
  ...shardDefaults,
  ...{ retentionMs: 500, outcomeRetentionMs: 2000, keptOutcomeRetentionMs: 4000, feedKeysMax: 20 },
};

class Hostile {
  readonly #random: () => number;
  readonly #cluster: ShardCluster;

  constructor(cluster: ShardCluster, seed: number) {
    this.#cluster = cluster;
    this.#random = randomOf(seed);
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #oneIn(count: number): boolean {
    return this.#below(count) === 0;
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#below(256));
  }

  get #item(): Uint8Array {
    return this.#bytes(this.#below(4));
  }

  #operation(): Operation {
    const all: Operation[] = [
      { kind: "put", value: { type: "bytes", bytes: this.#item } },
      { kind: "delete" },
      { kind: "add", amount: BigInt(this.#below(5) - 2) << 61n },
      { kind: "append", element: this.#item },
      { kind: "setIndex", index: this.#oneIn(3) ? 0xffff_ffff : this.#below(3), element: this.#item },
      { kind: "insert", element: this.#item },
      { kind: "remove", element: this.#item },
      { kind: "mapSet", field: this.#item, value: this.#item },
      { kind: "mapDelete", field: this.#item },
    ];
    return all[this.#below(all.length)] as Operation;
  }

  #operations(): Uint8Array {
    if (this.#oneIn(4)) return new Uint8Array(0);
    const count = 1 + this.#below(4);
    const bytes = encodeOperations(Array.from({ length: count }, () => this.#operation()));
    if (this.#oneIn(4)) bytes[this.#below(bytes.length)] = this.#below(256);
    return this.#oneIn(20) ? bytes.subarray(0, this.#below(bytes.length)) : bytes;
  }

  #reads(): Access["reads"] {
    return Array.from({ length: this.#oneIn(2) ? 0 : this.#below(3) }, () => {
      const kind = this.#below(4) as 0 | 1 | 2 | 3;
      const data = kind === 1 ? this.#bytes(4) : this.#item;
      return {
        part: { kind, data },
        version: this.#oneIn(3) ? FAR : this.#below(30),
        wasPresent: this.#oneIn(2),
      };
    });
  }

  #accesses(): Access[] {
    const names = new Set(Array.from({ length: 1 + this.#below(3) }, () => `k${this.#below(4)}`));
    return [...names].map((name) => ({
      key: Buffer.from(name),
      reads: this.#reads(),
      operations: this.#operations(),
    }));
  }

  /** What each of its transactions and questions was answered. */
  async live(client: number): Promise<void> {
    const { coordinator, groups, issued, read } = this.#cluster;
    for (let number = 1; number <= TRANSACTIONS; number++) {
      await coordinator.commit({
        id: { client, number: this.#oneIn(6) ? 1 + this.#below(TRANSACTIONS) : number },
        floor: this.#oneIn(6) ? this.#below(20) : 0,
        level: this.#below(3) as Level,
        snapshot: this.#oneIn(3) ? FAR : this.#below(issued() + 5),
        accesses: this.#accesses(),
      });
      // Reads may wait for what nobody settles yet.
      if (this.#oneIn(3)) void read(["k0", "k1", "k2", "k3"], issued()).catch(() => {});
      await groups[0]?.query(encodeQuery({ kind: "committed", keys: [Buffer.from("k1")] }));
    }
  }
}

/** What stays prepared, as other frontends do; until it is over and nothing is left. */
async function settle({ coordinator, mail, shards }: ShardCluster, isOver: () => boolean): Promise<void> {
  for (;;) {
    const wasOver = isOver();
    for (let turn = 0; turn < 20 && !wasOver; turn++) await mail.turn();
    for (const [shard, { state }] of shards.entries())
      for (const { transaction } of wasOver ? [...state.prepared] : [...state.prepared].slice(0, 1))
        await coordinator.settle(transaction.id, transaction.home, shard);
    if (wasOver) return;
  }
}

test("whatever clients send, no shard stops, and nobody waits for ever", async () => {
  for (let run = 0; run < RUNS; run++) {
    const seed = testSeed + run;
    const cluster = shardCluster({ shards: 1 + (run % 3), seed, settings });
    const { coordinator, mail, shards } = cluster;
    const clients = Promise.all(
      [1, 2, 3].map((client) => new Hostile(cluster, seed * 10 + client).live(client)),
    );
    let isOver = false;
    void clients.finally(() => (isOver = true)).catch(() => {});
    await mail.run(Promise.all([clients, settle(cluster, () => isOver)]));
    await mail.run(coordinator.idle());
    await mail.run(settle(cluster, () => true));
    const left = shards.map(({ state, atOnce }) => [state.prepared.size, atOnce.all().length]);
    expect({ seed, left }).toEqual({ seed, left: shards.map(() => [0, 0]) });
    await mail.run(cluster.next().then((at) => cluster.read(["k0", "k1", "k2", "k3"], at)));
    cluster.close();
  }
});
