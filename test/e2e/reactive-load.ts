/**
 * Clients of a transactional store that write and watch all the time, and a judge of what they were told.
 *
 * A writer appends one name to two lists on different shards and adds one to a counter, in one transaction. Invariant, for every
 * run of every watcher and for the end: both lists are equal, as long as the counter says, without a name twice; each state
 * is what the one before was and something behind it; and every acknowledged name is there at last.
 */
import {
  type Client,
  type ClientOptions,
  connect,
  counter,
  list,
  OutcomeUnknownError,
  type Reader,
} from "../../src/reactive/client.ts";
import { until } from "./executable.ts";

/** On different shards, of two (placement.ts). */
const [left, right, total] = [list("x"), list("another"), counter("total")];

interface State {
  left: string[];
  right: string[];
  total: number;
}

async function readState(transaction: Reader): Promise<State> {
  const [ofLeft, ofRight, count] = await Promise.all([
    left.value(transaction),
    right.value(transaction),
    total.value(transaction),
  ]);
  return { left: ofLeft, right: ofRight, total: Number(count) };
}

interface Watcher {
  runs: number;
  timestamp: number;
  last: State;
}

const PAUSE_MS = 5;

export class ReactiveLoad {
  readonly acknowledged: { name: string; atMs: number; timestamp: number }[] = [];
  /** When any watcher ran. */
  readonly runsAtMs: number[] = [];
  readonly faults: string[] = [];
  readonly #refused: string[] = [];
  readonly #clients: Client[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #frontends: readonly string[];
  #writing: Promise<void>[] = [];
  #isOver = false;

  readonly #options: ClientOptions;
  readonly #convergeMs: number;

  /** `options`: of every client. `convergeMs`: until every watcher must have seen the end. */
  constructor(frontends: readonly string[], options: ClientOptions = {}, convergeMs = 10_000) {
    this.#frontends = frontends;
    this.#options = options;
    this.#convergeMs = convergeMs;
  }

  async #connect(options: ClientOptions): Promise<Client> {
    const client = await connect({
      frontends: this.#frontends,
      timeoutMs: 30_000,
      onError: (error) => this.faults.push(String(error)),
      ...this.#options,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  async startWriters(count: number, options: ClientOptions = {}): Promise<void> {
    for (let writer = 0; writer < count; writer++) {
      const client = await this.#connect(options);
      this.#writing.push(this.#write(client, `w${this.#clients.length}`));
    }
  }

  async #write(client: Client, writer: string): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const name = `${writer}.${turn}`;
      try {
        const { timestamp } = await client.executeTimed((transaction) => {
          left.append(transaction, name);
          right.append(transaction, name);
          total.increment(transaction);
        });
        this.acknowledged.push({ name, atMs: performance.now(), timestamp });
      } catch (error) {
        if (!(error instanceof OutcomeUnknownError)) this.#refused.push(name);
        else if ((await client.resolve(error)).kind === "committed")
          this.acknowledged.push({ name, atMs: performance.now(), timestamp: 0 });
        else this.#refused.push(name);
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  async startWatchers(count: number, options: ClientOptions = {}): Promise<void> {
    for (let index = 0; index < count; index++) {
      const client = await this.#connect(options);
      const watcher: Watcher = { runs: 0, timestamp: 0, last: { left: [], right: [], total: 0 } };
      this.#watchers.push(watcher);
      client.executeReactive(async (transaction, run) => {
        const state = await readState(transaction);
        this.#judge(`watcher ${index}`, state, watcher.last);
        if (run.timestamp <= watcher.timestamp)
          this.faults.push(`watcher ${index}: timestamp ${run.timestamp} after ${watcher.timestamp}`);
        Object.assign(watcher, { runs: watcher.runs + 1, timestamp: run.timestamp, last: state });
        this.runsAtMs.push(performance.now());
      });
    }
  }

  #judge(who: string, state: State, before: State): void {
    const fault = (text: string) => this.faults.push(`${who}: ${text}`);
    if (state.left.join() !== state.right.join()) fault("half a transaction");
    if (state.left.length !== state.total)
      fault(`${state.left.length} names, the counter says ${state.total}`);
    if (new Set(state.left).size !== state.left.length) fault("a name twice");
    if (before.left.some((name, index) => state.left[index] !== name)) fault("what was there is gone");
  }

  /** Waits until so many more transactions are acknowledged. */
  async more(count: number): Promise<void> {
    const target = this.acknowledged.length + count;
    await until(`${count} more commits`, () => (this.acknowledged.length >= target ? true : undefined));
  }

  /** From `sinceMs` to the first commit that was acknowledged behind it, and to the first run. */
  async gapsMs(sinceMs: number): Promise<{ commit: number; run: number }> {
    const commit = await until(
      "a commit",
      () => this.acknowledged.findLast(({ atMs }) => atMs > sinceMs) && true,
    ).then(() => (this.acknowledged.find(({ atMs }) => atMs > sinceMs)?.atMs ?? 0) - sinceMs);
    const run = await until("a run", () => this.runsAtMs.findLast((atMs) => atMs > sinceMs) && true).then(
      () => (this.runsAtMs.find((atMs) => atMs > sinceMs) ?? 0) - sinceMs,
    );
    return { commit, run };
  }

  /** Ends the writers, waits until every watcher has seen the end, and returns what was wrong. */
  async finish(): Promise<string[]> {
    this.#isOver = true;
    await Promise.all(this.#writing);
    const client = await this.#connect({});
    const end = await client.readOnly(readState);
    this.#judge("the end", end, { left: [], right: [], total: 0 });
    const there = new Set(end.left);
    for (const { name } of this.acknowledged) if (!there.has(name)) this.faults.push(`${name} is lost`);
    for (const name of this.#refused)
      if (there.has(name)) this.faults.push(`${name} was refused and is there`);
    const deadlineMs = performance.now() + this.#convergeMs;
    const behind = () => this.#watchers.filter(({ last }) => last.total !== end.total);
    while (behind().length > 0 && performance.now() < deadlineMs) await Bun.sleep(PAUSE_MS);
    if (behind().length > 0) this.faults.push(`${behind().length} watchers have not seen the end`);
    return this.faults;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
