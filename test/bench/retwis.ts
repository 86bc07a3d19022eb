/**
 * The mix of transactions of a small social network, by the shares of the Diamond paper's Retwis (OSDI 2016): what is counted is
 * increments, which commute; without them each is a read and a write.
 *
 *   share  transaction     reads   writes   increments
 *     1 %  add user            0        2            1
 *     5 %  follow              0        0            2
 *    20 %  post                1        1            5
 *    50 %  timeline       1 to 10       0            0
 *    24 %  like                0        0            1
 *
 * Keys that are read, written and counted are apart, as in the original's client.
 */
import { Level } from "../../src/reactive/shard/transaction.ts";
import { decodeValue, type Operation } from "../../src/reactive/shard/operations.ts";
import type { KeyAccess, StoreClient, Version } from "./store-client.ts";

export interface Mix {
  level: Level;
  /** Increments commute; else they are read and written. */
  commutes: boolean;
}

interface Kind {
  name: string;
  share: number;
  reads: () => number;
  writes: number;
  increments: number;
}

const none = () => 0;
export const kinds: readonly Kind[] = [
  { name: "add user", share: 1, reads: none, writes: 2, increments: 1 },
  { name: "follow", share: 5, reads: none, writes: 0, increments: 2 },
  { name: "post", share: 20, reads: () => 1, writes: 1, increments: 5 },
  { name: "timeline", share: 50, reads: () => 1 + Math.floor(Math.random() * 10), writes: 0, increments: 0 },
  { name: "like", share: 24, reads: none, writes: 0, increments: 1 },
];

/** Draws from 0 to `count` - 1, small numbers more often: by the power `skew` of their place. */
export function zipf(count: number, skew: number): () => number {
  const sums: number[] = [];
  for (let place = 1, sum = 0; place <= count; place++) sums.push((sum += place ** -skew));
  const total = sums.at(-1) as number;
  return () => {
    const wanted = Math.random() * total;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export class Retwis {
  readonly #draw: () => number;
  readonly #only: Kind | undefined;
  committed = 0;
  aborted = 0;

  /** `only`: one kind of transaction instead of the mix. */
  constructor(keys: number, skew: number, only?: Kind) {
    this.#draw = zipf(keys, skew);
    this.#only = only;
  }

  /** One transaction, until it is committed. */
  async run(client: StoreClient, mix: Mix): Promise<void> {
    const kind = this.#only ?? drawKind();
    const names = (prefix: string, count: number) => {
      const drawn = new Set<string>();
      while (drawn.size < count) drawn.add(`${prefix}${this.#draw()}`);
      return [...drawn];
    };
    const [reads, writes, counts] = [names("r", kind.reads()), names("w", kind.writes), names("n", kind.increments)]; // prettier-ignore
    for (;;) {
      const { at, accesses } = await accessesOf(client, mix, reads, writes, counts);
      // What only reads is finished when it has read, unless all of it must be of one moment: the read was.
      if (writes.length + counts.length === 0) break;
      const outcome = await client.commit(mix.level, accesses, mix.level === Level.snapshot ? at : 0);
      if (outcome.kind === "committed") break;
      this.aborted += 1;
    }
    this.committed += 1;
  }
}

async function accessesOf(
  client: StoreClient,
  { commutes, level }: Mix,
  reads: string[],
  writes: string[],
  counts: string[],
): Promise<{ at: number; accesses: KeyAccess[] }> {
  const wanted = commutes ? reads : [...reads, ...counts];
  const isChecked = level !== Level.readCommitted;
  const { at, versions } = await readFor(client, level, wanted);
  const put: Operation[] = [{ kind: "put", value: { type: "bytes", bytes: VALUE } }];
  const versionOf = (key: string) => versions[wanted.indexOf(key)];
  const accesses = [
    ...(isChecked ? reads : []).map((key) => ({ key, version: versionOf(key) as Version })),
    ...writes.map((key) => ({ key, operations: put })),
    ...counts.map((key): KeyAccess => {
      const version = versionOf(key);
      if (version === undefined) return { key, operations: [{ kind: "add", amount: 1n }] };
      const value = decodeValue(version.type, version.value);
      const count = (value.type === "counter" ? value.count : 0n) + 1n;
      return { key, version, operations: [{ kind: "put", value: { type: "counter", count } }] };
    }),
  ];
  return { at, accesses };
}

/** Of one moment, or, read committed, what is committed of each. */
async function readFor(client: StoreClient, level: Level, keys: string[]) {
  if (keys.length === 0) return { at: 0, versions: [] };
  if (level !== Level.readCommitted) return client.readAt(keys);
  return { at: 0, versions: await client.readCommitted(keys) };
}

const VALUE = new Uint8Array(64).fill(118);

function drawKind(): Kind {
  let dice = Math.random() * 100;
  return kinds.find(({ share }) => (dice -= share) < 0) ?? (kinds[3] as Kind);
}
