/**
 * Memory of a store over many transactions: its processes must not grow from one stretch of many to the next.
 *
 * What a shard holds depends on the rate, because it keeps the versions of its last 30 s. So the rate is held: the load comes at equal
 * distances, below what the store can do; one that the store does not keep up with fails, it measures nothing. What a process
 * holds beside that is a saw: garbage that is old is collected every three or four minutes, whatever the rate. So what is compared is
 * the lowest of the readings over one stretch that is longer, behind a warm-up, with the lowest over the next one: what is kept.
 * The highest, what a host must have, are told beside it.
 */
import { openLoop } from "../../src/core/load/pacing.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import type { Report } from "./command.ts";
import { StoreClient } from "./store-client.ts";

const RATE_PER_SECOND = 8000;
/** Twice as long as a shard keeps old versions, unless configured. */
const WARM_UP_SECONDS = 60;
/** A frontend takes 1000 requests at once from each. */
const CONNECTIONS = 4;
const UNANSWERED_MAX = CONNECTIONS * 900;
const KEYS = 1000;
const VALUE = new Uint8Array(64).fill(118);

const limit = { name: "memory after / before", better: "lower", floor: 1.1 } as const;

export async function memoryStaysFlat(transactions: number, report: Report): Promise<void> {
  const apart = () => StoreProcesses.create({ tss: 1, shards: 1, replicas: 1, frontends: 1 });
  for (const [layout, create] of [
    ["one process", () => StoreProcesses.inOne(1)],
    ["roles apart", apart],
  ] as const) {
    using store = await create();
    await store.startAll();
    const port = store.frontendPorts[0] as number;
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => StoreClient.connect(port)));
    const put = (number: number) =>
      (clients[number % CONNECTIONS] as StoreClient).put(`k${number % KEYS}`, VALUE);
    const load = new SteadyLoad(put);
    await load.run(WARM_UP_SECONDS * RATE_PER_SECOND);
    const before = await readings(store, load, transactions);
    const after = await readings(store, load, transactions);
    for (const client of clients) client.close();
    const ratios = after.map(({ lowest }, index) => lowest / (before[index] as Range).lowest);
    const megabytes = (ranges: Range[]) =>
      ranges
        .map(({ lowest, highest }) => `${Math.round(lowest / 1e6)}–${Math.round(highest / 1e6)}`)
        .join(", ");
    const text = `${store.names.join(", ")}: ${megabytes(before)} MB, then ${megabytes(after)}`;
    const name = `twice ${transactions} transactions at ${RATE_PER_SECOND}/s, ${layout}`;
    report(limit, name, Math.max(...ratios), text);
  }
}

interface Range {
  lowest: number;
  highest: number;
}

/** Resident bytes of each process over so many transactions, read once a second. */
async function readings(store: StoreProcesses, load: SteadyLoad, transactions: number): Promise<Range[]> {
  const ranges = store.names.map((): Range => ({ lowest: Number.POSITIVE_INFINITY, highest: 0 }));
  for (let left = transactions; left > 0; left -= RATE_PER_SECOND) {
    await load.run(Math.min(left, RATE_PER_SECOND));
    const stats = await Promise.all(store.names.map((name) => store.stats(name)));
    for (const [index, { process: each }] of stats.entries()) {
      const range = ranges[index] as Range;
      range.lowest = Math.min(range.lowest, each.rssBytes);
      range.highest = Math.max(range.highest, each.rssBytes);
    }
  }
  return ranges;
}

/** Calls at equal distances, whenever the answers come. */
class SteadyLoad {
  readonly #call: (number: number) => Promise<void>;
  #number = 0;
  #unanswered = 0;
  #failure: Error | undefined;

  constructor(call: (number: number) => Promise<void>) {
    this.#call = call;
  }

  /** Resolves when so many calls have been made. Throws when one failed, or when answers do not keep up. */
  async run(calls: number): Promise<void> {
    const pacing = openLoop(RATE_PER_SECOND, performance.now());
    for (let left = calls; left > 0; await Bun.sleep(1)) {
      const due = Math.min(left, pacing.allowance(performance.now()));
      for (let index = 0; index < due; index++) {
        pacing.take(0);
        this.#begin();
      }
      left -= due;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#unanswered > UNANSWERED_MAX)
        throw new Error(
          `${this.#unanswered} commits wait: ${RATE_PER_SECOND}/s are too many for this machine`,
        );
    }
  }

  #begin(): void {
    this.#unanswered += 1;
    this.#call(this.#number++).then(
      () => (this.#unanswered -= 1),
      (error: Error) => (this.#failure = error),
    );
  }
}
