/**
 * The reactive scenarios over real processes, in any length: short slices run in `check`, long forms in `bun run soak
 * reactive-push`. Each throws when something that it promises did not hold, and returns figures.
 */
import { connect, text } from "../../src/reactive/client.ts";
import { FollowingClient, type FollowingOptions } from "../reactive/following-client.ts";
import { plain, PlainClient } from "../reactive/plain-client.ts";
import { DelayingProxy } from "./delaying-proxy.ts";
import { until } from "./executable.ts";
import { resume, stalledClient } from "./stalled-client.ts";
import type { StoreProcesses } from "./store-processes.ts";

export interface Load {
  store: StoreProcesses;
  clients: number;
  /** Transactions, one after the other. */
  writes: number;
  /** Between two of them. */
  pauseMs: number;
  /** Until everybody must have seen the last state. Absent: what a quiet host can do. */
  patienceMs?: number;
}

const PATIENCE_MS = 1000;

export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Throws unless it is empty. */
export function requireNone(what: string, faults: readonly string[]): void {
  if (faults.length > 0)
    throw new Error(`${what}: ${faults.length} faults, such as ${faults.slice(0, 5).join("; ")}`);
}

/** Two keys on different shards of two: a transaction that writes both is carried out on each by itself. */
export const PAIR = ["x", "y"] as const;

const isPair = (view: ReadonlyMap<string, unknown>) => {
  const [x, y] = PAIR.map((key) => view.get(key));
  return x === y ? undefined : `x is ${String(x)}, y is ${String(y)}`;
};

/** A client that commits one transaction after the other, through whatever frontend answers, each under its own name. */
export class Writer implements Disposable {
  readonly #ports: readonly number[];
  #client: PlainClient | undefined;
  #frontend = 0;
  #number = 0;
  readonly #name = 1 + Math.floor(Math.random() * 2 ** 52);
  /** The longest time between two acknowledgements. */
  longestGapMs = 0;
  #lastMs = 0;

  constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  /** Resolves when it is committed: what nobody knows of is sent again, what is refused is a new transaction. */
  async put(values: Record<string, string>): Promise<number> {
    this.#number += 1;
    for (;;) {
      try {
        const port = this.#ports[this.#frontend % this.#ports.length] as number;
        this.#client ??= await PlainClient.connect(port, { client: this.#name });
        const outcome = await this.#client.commit(
          Object.entries(values).map(([key, text]) => [
            key,
            { kind: "put", value: { type: "bytes", bytes: new TextEncoder().encode(text) } },
          ]),
          { number: this.#number },
        );
        if (outcome.kind === "committed") {
          this.#acknowledged();
          return outcome.timestamp;
        }
        this.#number += 1;
      } catch {
        this.#client?.terminate();
        this.#client = undefined;
        this.#frontend += 1;
        await Bun.sleep(20);
      }
    }
  }

  #acknowledged(): void {
    const nowMs = performance.now();
    if (this.#lastMs > 0) this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  [Symbol.dispose](): void {
    this.#client?.terminate();
  }
}

/** Waits until every client shows the final state; returns how long that took. */
async function converge(clients: readonly FollowingClient[], expected: Record<string, string>) {
  const fromMs = performance.now();
  await until(
    "every client's last run to show the last state",
    () =>
      clients.every(({ keys, view }) =>
        keys.every((key) => view.get(key) === (expected[key] ?? undefined)),
      ) || undefined,
  );
  return performance.now() - fromMs;
}

function follow(
  { store, clients: count }: Load,
  keysOf: (index: number) => readonly string[],
  options?: FollowingOptions,
) {
  return Array.from(
    { length: count },
    (_, index) => new FollowingClient(store.frontendPorts, index, keysOf(index), options),
  );
}

const firstRuns = (clients: readonly FollowingClient[]) =>
  until("first runs", () => clients.every(({ runs }) => runs.length > 0) || undefined);

const faultsOf = (clients: readonly FollowingClient[]) => clients.flatMap(({ faults }) => faults);

/** S11: clients on a few keys follow a writer, then it is quiet. */
export async function firstRunAndFollow(load: Load) {
  const { store, writes, pauseMs, patienceMs = PATIENCE_MS } = load;
  const keys = Array.from({ length: 20 }, (_, index) => `s11.${index}`);
  const clients = follow(load, (index) => [keys[index % 20] as string, keys[(index * 7 + 1) % 20] as string]);
  using writer = new Writer(store.frontendPorts);
  try {
    await firstRuns(clients);
    const state: Record<string, string> = {};
    for (let number = 1; number <= writes; number++) {
      const key = keys[(number * 13) % 20] as string;
      state[key] = String(number);
      await writer.put({ [key]: String(number) });
      await Bun.sleep(pauseMs);
    }
    const quietMs = await converge(clients, state);
    requireNone("S11", faultsOf(clients));
    if (quietMs > patienceMs) throw new Error(`S11: ${quietMs.toFixed(0)} ms after quiet, not ${patienceMs}`);
    return { runs: clients.reduce((sum, { runs }) => sum + runs.length, 0), quietMs: Math.round(quietMs) };
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
}

/**
 * S12: a shard carries commits out late; nobody sees x without y. `proxies` stand before one shard. Two write in turn, each by
 * a frontend of its own, so that a later transaction is acknowledged before an earlier one is carried out everywhere.
 */
export async function atomicVisibility(load: Load, proxies: readonly DelayingProxy[]) {
  const { store, writes, pauseMs } = load;
  const clients = follow(load, () => PAIR, { judge: isPair });
  using first = new Writer(store.frontendPorts);
  using second = new Writer(store.frontendPorts.toReversed());
  try {
    await firstRuns(clients);
    for (const proxy of proxies) proxy.delayMs = () => Math.random() * 200;
    for (let number = 1; number <= writes; number++) {
      const writer = number % 2 === 0 ? second : first;
      await writer.put({ x: String(number), y: String(number) });
      await Bun.sleep(pauseMs);
    }
    for (const proxy of proxies) proxy.delayMs = () => 0;
    await converge(clients, { x: String(writes), y: String(writes) });
    requireNone("S12", faultsOf(clients));
    return { runs: clients.reduce((sum, { runs }) => sum + runs.length, 0) };
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
}

/** S13: a write at a random moment of each registration. */
export async function registrationRace({ store, writes, patienceMs = PATIENCE_MS }: Load) {
  const port = store.frontendPorts[0] as number;
  using client = await PlainClient.connect(port);
  using writer = new Writer(store.frontendPorts);
  let afterFirst = 0;
  let longestMs = 0;
  for (let number = 1; number <= writes; number++) {
    const key = `s13.${number % 50}`;
    const registered = client.watch(number, [key]);
    await Bun.sleep(Math.random() * 4);
    await writer.put({ [key]: String(number) });
    await registered;
    const writtenMs = performance.now();
    await until(
      "the last value",
      () => plain(client.runsOf(number).at(-1)?.view.get(key)) === String(number) || undefined,
    );
    longestMs = Math.max(longestMs, performance.now() - writtenMs);
    if (longestMs > patienceMs) throw new Error(`S13: the last value after ${longestMs.toFixed(0)} ms`);
    if (client.runsOf(number).length > 1) afterFirst += 1;
    await client.ask({ type: "unwatch", watch: number }, "unwatched");
  }
  return { registrations: writes, toldByASecondRun: afterFirst, longestMs: Math.round(longestMs) };
}

/**
 * S14: reactive code reads a pointer, then the key that it names. The pointer goes through ten keys, `rounds` times; the new target
 * tells of its changes, the old one does not: the list of runs is exactly what was caused.
 */
export async function movingReadSet(store: StoreProcesses, rounds: number) {
  const [watching, writing] = await Promise.all([
    connect({ frontends: store.frontends.slice(0, 1) }),
    connect({ frontends: store.frontends.slice(-1) }),
  ]);
  const pointer = text("s14.pointer");
  const targetOf = (name: string) => text(`s14.target${name}`);
  const seen: string[] = [];
  const wanted: string[] = [];
  const expectRun = async (run: string) => {
    wanted.push(run);
    await until(`the run "${run}"`, () => seen.length >= wanted.length || undefined);
  };
  try {
    await writing.execute((transaction) => pointer.set(transaction, "9"));
    watching.executeReactive(async (transaction) => {
      const name = await pointer.value(transaction);
      seen.push(`${name}=${await targetOf(name).value(transaction)}`);
    });
    await expectRun("9=");
    const values = Array.from({ length: 10 }, () => "");
    const put = async (name: string, value: string) => {
      values[Number(name)] = value;
      await writing.execute((transaction) => targetOf(name).set(transaction, value));
    };
    for (let turn = 0; turn < rounds * 10; turn++) {
      const [old, next] = [String((turn + 9) % 10), String(turn % 10)];
      await writing.execute((transaction) => pointer.set(transaction, next));
      await expectRun(`${next}=${values[turn % 10]}`);
      await put(old, `old${turn}`);
      await put(next, `new${turn}`);
      await expectRun(`${next}=new${turn}`);
    }
    if (seen.join() !== wanted.join())
      throw new Error(`S14: runs ${seen.slice(-9).join()}, wanted ${wanted.slice(-9).join()}`);
    return { runs: seen.length };
  } finally {
    await Promise.all([watching.close(), writing.close()]);
  }
}

/** S15: clients come and go, some of them in the middle of a push; nothing of them stays. */
export async function stopsAndCrashes({ store, clients: count, writes }: Load) {
  const port = store.frontendPorts[0] as number;
  using writer = new Writer(store.frontendPorts);
  using steady = await PlainClient.connect(port);
  for (let number = 1; number <= writes; number++) {
    await steady.watch(1, ["hot"]);
    const stopped = steady.ask({ type: "unwatch", watch: 1 }, "unwatched");
    if (number % 50 === 0) await writer.put({ hot: `s${number}` });
    await stopped;
    const runs = steady.runs.length;
    if (number % 50 === 0) {
      await steady.read(["hot"]);
      if (steady.runs.length !== runs) throw new Error("S15: a run follows the end of its watch");
    }
  }
  const crashing = await Promise.all(Array.from({ length: count }, () => PlainClient.connect(port)));
  await Promise.all(crashing.map((client) => client.watch(1, ["hot", "x"])));
  for (const [index, client] of crashing.entries()) {
    if (index % 10 === 0) void writer.put({ hot: `c${index}` });
    client.terminate();
  }
  await steady.close();
  await writer.put({ hot: "end" });
  await until("nothing to be left of them", async () => {
    const { watches } = (await store.stats("c.frontend0")).frontend;
    return (watches.watches === 0 && watches.watchedKeys === 0) || undefined;
  });
  return { stops: writes, crashes: count };
}

/** Runs of a hot key at healthy clients, from sending a write to each client's run; milliseconds, ascending. */
async function hotRuns({ store, clients: count, writes, pauseMs }: Load): Promise<number[]> {
  const port = store.frontendPorts[0] as number;
  using writer = new Writer(store.frontendPorts);
  const clients = await Promise.all(Array.from({ length: count }, () => PlainClient.connect(port)));
  const sentMs = new Map<string, number>();
  const latenciesMs: number[] = [];
  try {
    await Promise.all(clients.map((client) => client.watch(1, ["hot"])));
    for (const client of clients)
      client.onRun = ({ view, arrivedMs }) => {
        const sent = sentMs.get(String(plain(view.get("hot"))));
        if (sent !== undefined) latenciesMs.push(arrivedMs - sent);
      };
    for (let number = 1; number <= writes; number++) {
      const text = `h${number}.${Math.random()}`;
      sentMs.set(text, performance.now());
      await writer.put({ hot: text });
      await Bun.sleep(pauseMs);
    }
    await until(
      "the last runs",
      () =>
        clients.every(({ runs }) => sentMs.has(String(plain(runs.at(-1)?.view.get("hot")))) || undefined) ||
        undefined,
    );
    return latenciesMs.sort((a, b) => a - b);
  } finally {
    for (const client of clients) client.terminate();
  }
}

/** S16: one client reads nothing, one takes two seconds for each run; the others do not notice. */
export async function slowAndStalled(load: Load) {
  const { store } = load;
  const port = store.frontendPorts[0] as number;
  const rss = async () => (await store.stats("c.frontend0")).process.rssBytes as number;
  await hotRuns({ ...load, writes: Math.ceil(load.writes / 10) });
  const without = quantile(await hotRuns(load), 0.99);
  const before = await rss();
  const keys = [new TextEncoder().encode("hot")];
  const stalled = await stalledClient(port, [
    { type: "watch", request: 1, watch: 1, at: 0, delayMs: 0, keys, prefixes: [] },
  ]);
  using sleepy = await PlainClient.connect(port, { acknowledges: false, unackedMax: 1 });
  sleepy.onRun = ({ at }) => void setTimeout(() => sleepy.send({ type: "ack", at }), 2000);
  await sleepy.watch(1, ["hot"]);
  const startMs = performance.now();
  const beside = quantile(await hotRuns(load), 0.99);
  const sleepyRunsMax = 2 + (performance.now() - startMs) / 2000;
  const grownBytes = (await rss()) - before;
  if (beside > 2 * without + 20)
    throw new Error(`S16: p99 ${beside} ms beside slow clients, ${without} ms without`);
  if (sleepy.runs.length > sleepyRunsMax)
    throw new Error(`S16: ${sleepy.runs.length} runs for one who sleeps`);
  if (grownBytes > 100e6) throw new Error(`S16: ${grownBytes} bytes for two slow clients`);
  const { at } = sleepy.runs.at(-1) ?? { at: 0 };
  await until("the sleepy one's last run", () => (sleepy.runs.at(-1)?.at ?? 0) > at || undefined);
  const { values } = await sleepy.read(["hot"]);
  await resume(stalled, String(values[0]));
  stalled.destroy();
  return {
    p99WithoutMs: Math.round(without),
    p99BesideMs: Math.round(beside),
    sleepyRuns: sleepy.runs.length,
  };
}

/** What is done to the store while clients follow it; each step is awaited. */
export async function followThrough(load: Load, disturb: () => Promise<void>) {
  const { store, pauseMs } = load;
  const clients = follow(load, () => PAIR, { judge: isPair });
  using writer = new Writer(store.frontendPorts);
  try {
    await firstRuns(clients);
    let number = 0;
    let isDisturbed = true;
    const disturbed = disturb().finally(() => (isDisturbed = false));
    while (isDisturbed || number < load.writes) {
      number += 1;
      await writer.put({ x: String(number), y: String(number) });
      await Bun.sleep(pauseMs);
    }
    await disturbed;
    await converge(clients, { x: String(number), y: String(number) });
    requireNone("following", faultsOf(clients));
    const connections = clients.reduce((sum, client) => sum + client.connections, 0);
    const gapsMs = clients.map(({ runs }) =>
      Math.max(...runs.slice(1).map(({ arrivedMs }, index) => arrivedMs - (runs[index]?.arrivedMs ?? 0))),
    );
    return {
      writes: number,
      connections,
      longestCommitGapMs: Math.round(writer.longestGapMs),
      longestRunGapMs: Math.round(Math.max(...gapsMs)),
    };
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
}
