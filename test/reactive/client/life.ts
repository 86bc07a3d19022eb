/**
 * Random lives of reactive clients: what they read moves, connections end, news are held back and gathered, code is slow. Every
 * value that a run saw is compared with what the store held at the run's timestamp.
 */
import type { Clock, Timer } from "../../../src/core/seams/clock.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { type Client, type Reader, text, type Writer } from "../../../src/reactive/client.ts";
import { fromUtf8, toUtf8 } from "../../../src/reactive/client/types/encodings.ts";
import { ModelCluster } from "./model-frontend.ts";

const KEYS = 6;
const POINTERS = 2;
const STEPS = 60;
const ROUNDS_MAX = 100;

interface RunSeen {
  timestamp: number;
  cause: string;
  values: Map<string, string>;
}

/** Time passes when the life says so, so that everything that happens is a function of the seed. */
export class LifeClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; callback: () => void }[] = [];

  nowMs = () => this.#nowMs;
  monotonicMs = () => this.#nowMs;
  endOfTurn = (callback: () => void) => queueMicrotask(callback);

  after(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) };
  }

  every(periodMs: number, callback: () => void): Timer {
    let next: Timer;
    const again = () => {
      callback();
      next = this.after(periodMs, again);
    };
    next = this.after(periodMs, again);
    return { cancel: () => next.cancel() };
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { callback } of due) callback();
  }
}

/** Lives once; returns what was wrong. */
export async function live(seed: number, hasCache: boolean): Promise<string[]> {
  const random = seededRandom(seed);
  const cluster = new ModelCluster();
  const { store } = cluster;
  const clock = new LifeClock();
  const turn = async () => {
    for (let hops = random.integer(30); hops > 0; hops--) await Promise.resolve();
  };
  cluster.latency = turn;
  const faults: string[] = [];
  const clients: Client[] = [];
  const runs: RunSeen[][] = [];
  const options = {
    seams: { clock, random },
    ...(!hasCache && { cacheBytesMax: 0 }),
    onError: (error: unknown) => faults.push(String(error)),
  };
  const valueAt = (key: string, timestamp: number) => fromUtf8(store.read(toUtf8(key), timestamp).value);

  async function watcher(pointer: string, hasList: boolean): Promise<void> {
    const client = await cluster.client(options);
    clients.push(client);
    const seen: RunSeen[] = [];
    runs.push(seen);
    client.executeReactive(async (transaction, run) => {
      const values = new Map<string, string>();
      const read = async (reader: Reader, key: string) => {
        const value = await text(key).value(reader);
        values.set(key, value);
        return value;
      };
      const targets = (await read(transaction, pointer)).split(",").filter((key) => key !== "");
      if (random.integer(3) === 0) await turn();
      for (const key of targets) await read(transaction, key);
      if (hasList)
        for (const { key, value } of await transaction.list("k"))
          if (value.type === "bytes") values.set(key, fromUtf8(value.bytes));
      if (random.integer(4) === 0) await turn();
      judge(seen, { timestamp: run.timestamp, cause: run.cause, values }, hasList);
    });
  }

  function judge(seen: RunSeen[], next: RunSeen, hasList: boolean): void {
    const before = seen.at(-1);
    seen.push(next);
    if (hasList)
      for (let index = 0; index < KEYS; index++)
        if (!next.values.has(`k${index}`) && valueAt(`k${index}`, next.timestamp) !== "")
          faults.push(`at ${next.timestamp} the list lacks k${index}`);
    for (const [key, value] of next.values)
      if (value !== valueAt(key, next.timestamp))
        faults.push(`at ${next.timestamp} ${key} was "${valueAt(key, next.timestamp)}", seen was "${value}"`);
    if (before === undefined) return;
    if (next.timestamp <= before.timestamp) faults.push(`${next.timestamp} follows ${before.timestamp}`);
    const isChanged = [...before.values.keys()].some(
      (key) => store.read(toUtf8(key), next.timestamp).start > before.timestamp,
    );
    if (!isChanged && next.cause === "changed" && !hasList)
      faults.push(`a run at ${next.timestamp} without a change`);
  }

  for (let index = 0; index < 3; index++) await watcher(`p${index % POINTERS}`, index === 2);
  const writer = await cluster.client(options);
  clients.push(writer);
  /** Commits while time goes on. */
  async function passing(code: (transaction: Writer) => void): Promise<void> {
    let isDone = false;
    const done = writer.execute(code).then(
      () => (isDone = true),
      (error: unknown) => {
        faults.push(`a commit failed: ${String(error)}`);
        isDone = true;
      },
    );
    while (!isDone) {
      clock.advance(random.integer(20));
      await turn();
    }
    await done;
  }
  const someKey = () => `k${random.integer(KEYS)}`;
  for (let step = 0; step < STEPS; step++) {
    const action = random.integer(12);
    if (action === 0) {
      cluster.cutAll();
      clock.advance(10);
      // News of the new connection, which may come before its watches are there.
      for (let says = random.integer(4); says > 0; says--) {
        await turn();
        if (!cluster.isQuiet) cluster.say({ type: "progress", at: store.timestamp });
      }
    } else if (action === 1) {
      cluster.isQuiet = !cluster.isQuiet;
      if (!cluster.isQuiet) cluster.pushAll();
    } else if (action === 2) cluster.pushAll();
    else if (action === 3) cluster.say({ type: "progress", at: cluster.isQuiet ? 0 : store.timestamp });
    else if (action < 6)
      await passing((transaction) => {
        const targets = Array.from({ length: random.integer(3) }, someKey);
        text(`p${random.integer(POINTERS)}`).set(transaction, [...new Set(targets)].join());
      });
    else
      await passing((transaction) => {
        for (let count = 1 + random.integer(2); count > 0; count--)
          text(someKey()).set(transaction, `${step}`);
      });
    clock.advance(random.integer(100));
    if (random.integer(2) === 0) await turn();
  }
  cluster.isQuiet = false;
  // Who was cut off waits before it comes back.
  for (let round = 0; round < ROUNDS_MAX; round++) {
    cluster.pushAll();
    clock.advance(100);
    for (let turns = 0; turns < 10; turns++) await turn();
    const isBehind = runs.some((seen) => {
      const last = seen.at(-1);
      return (
        last === undefined || [...last.values].some(([key, value]) => value !== valueAt(key, store.timestamp))
      );
    });
    if (!isBehind && round > 3) break;
  }
  if (runs[2] !== undefined && (runs[2].at(-1)?.timestamp ?? 0) > 0) {
    const listed = [...(runs[2].at(-1)?.values.keys() ?? [])].filter((key) => key.startsWith("k"));
    const there = store.under([toUtf8("k")], store.timestamp);
    if (listed.length < there.length) faults.push("a new key was never seen");
  }
  for (const seen of runs)
    for (const [key, value] of seen.at(-1)?.values ?? [["", "no run"]])
      if (value !== valueAt(key ?? "", store.timestamp)) faults.push(`the end of ${key} was never seen`);
  await Promise.all(clients.map((client) => client.close()));
  return faults;
}
