/**
 * Mixed load whose state stays small however long it lasts, and a judge that knows what that state must be: for S25.
 *
 * In one transaction a writer puts its turn into a register of its own, the same text into a key on each of two shards, and adds one to
 * a counter. Invariant, for every run of every watcher: the two keys are equal, the counter never falls, timestamps rise; and at the
 * end the counter is the number of acknowledged transactions and each register holds its writer's last. No client hears of anything but
 * aborts, which its library repeats by itself.
 */
import { type Client, type ClientOptions, connect, counter, long, text } from "../../src/reactive/client.ts";
import { until } from "./executable.ts";

/** On different shards, of two (placement.ts). */
const [left, right, total] = [text("x"), text("another"), counter("steady:total")];
const registerOf = (writer: number) => long(`steady:writer${writer}`);

const CONVERGE_MS = 10_000;
const STALL_TICK_MS = 100;

interface Watcher {
  timestamp: number;
  total: bigint;
}

export class SteadyLoad {
  readonly faults: string[] = [];
  committed = 0;
  /** The longest time between two acknowledgements of one writer. */
  longestGapMs = 0;
  /** The longest time that this process itself was kept from running, by a host that has other work. */
  longestStallMs = 0;
  readonly #startMs = performance.now();
  readonly #stalls: ReturnType<typeof setInterval>;
  readonly #clients: Client[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #turns: number[] = [];
  readonly #connect: (options: ClientOptions) => Promise<Client>;
  readonly #convergeMs: number;
  #writing: Promise<void>[] = [];
  #isOver = false;

  /** `options`: of every client. `convergeMs`: until every watcher must have seen the end. */
  constructor(frontends: readonly string[], options: ClientOptions = {}, convergeMs = CONVERGE_MS) {
    this.#connect = (more) => connect({ frontends, timeoutMs: 30_000, ...options, ...more });
    this.#convergeMs = convergeMs;
    let lastMs = this.#startMs;
    this.#stalls = setInterval(() => {
      const nowMs = performance.now();
      this.longestStallMs = Math.max(this.longestStallMs, nowMs - lastMs - STALL_TICK_MS);
      lastMs = nowMs;
    }, STALL_TICK_MS);
  }

  #fault(what: string): void {
    const [atMs, stallMs] = [performance.now() - this.#startMs, this.longestStallMs];
    this.faults.push(
      `${what} (after ${(atMs / 1000).toFixed(0)} s; this process stood still for up to ${stallMs.toFixed(0)} ms)`,
    );
  }

  async start(writers: number, watchers: number, pauseMs: number): Promise<void> {
    for (let index = 0; index < watchers; index++) this.#watch(await this.#open(), `watcher ${index}`);
    for (let index = 0; index < writers; index++)
      this.#writing.push(this.#write(await this.#open(), index, pauseMs));
  }

  async #open(): Promise<Client> {
    const client = await this.#connect({ onError: (error) => this.#fault(String(error)) });
    this.#clients.push(client);
    return client;
  }

  async #write(client: Client, writer: number, pauseMs: number): Promise<void> {
    const register = registerOf(writer);
    let lastMs = performance.now();
    for (let turn = 1; !this.#isOver; turn++) {
      const value = `${writer}.${turn}`;
      try {
        await client.execute(
          (transaction) => {
            register.set(transaction, BigInt(turn));
            left.set(transaction, value);
            right.set(transaction, value);
            total.increment(transaction);
          },
          { retries: 1000 },
        );
      } catch (error) {
        this.#fault(`writer ${writer}: ${String(error)}`);
        return;
      }
      this.#turns[writer] = turn;
      this.committed += 1;
      const nowMs = performance.now();
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - lastMs);
      lastMs = nowMs;
      await Bun.sleep(pauseMs);
    }
  }

  #watch(client: Client, name: string): void {
    const watcher: Watcher = { timestamp: 0, total: 0n };
    this.#watchers.push(watcher);
    const fault = (what: string) => this.#fault(`${name}: ${what}`);
    client.executeReactive(async (transaction, run) => {
      const [one, other, count] = await Promise.all([
        left.value(transaction),
        right.value(transaction),
        total.value(transaction),
      ]);
      if (one !== other) fault(`half a transaction, ${one} and ${other}`);
      if (count < watcher.total) fault(`the counter falls from ${watcher.total} to ${count}`);
      if (run.timestamp <= watcher.timestamp) fault(`a run at ${run.timestamp} after ${watcher.timestamp}`);
      Object.assign(watcher, { timestamp: run.timestamp, total: count });
    });
  }

  /** Waits until so many more transactions are acknowledged, or something is wrong. */
  async more(count: number): Promise<void> {
    const target = this.committed + count;
    await until(
      `${count} more commits`,
      () => this.committed >= target || this.faults.length > 0 || undefined,
    );
  }

  /** Resolves when that time is over, or something is wrong: then the rest is not worth waiting for. */
  async rest(seconds: number): Promise<void> {
    const untilMs = performance.now() + seconds * 1000;
    while (performance.now() < untilMs && this.faults.length === 0) await Bun.sleep(100);
  }

  /** Ends the writers, waits until every watcher has seen the end, and returns what was wrong. */
  async finish(): Promise<string[]> {
    this.#isOver = true;
    await Promise.all(this.#writing);
    const client = await this.#open();
    const end = await client.readOnly(async (transaction) => ({
      total: await total.value(transaction),
      turns: await Promise.all(
        this.#turns.map(async (_turn, writer) => Number(await registerOf(writer).value(transaction))),
      ),
    }));
    if (Number(end.total) !== this.committed)
      this.faults.push(`the counter is ${end.total} behind ${this.committed} acknowledged transactions`);
    for (const [writer, turn] of this.#turns.entries())
      if (end.turns[writer] !== turn)
        this.faults.push(`writer ${writer} is at ${turn}, its register at ${end.turns[writer]}`);
    const deadlineMs = performance.now() + this.#convergeMs;
    const behind = () => this.#watchers.filter((watcher) => watcher.total !== end.total);
    while (behind().length > 0 && performance.now() < deadlineMs) await Bun.sleep(5);
    if (behind().length > 0) this.faults.push(`${behind().length} watchers have not seen the end`);
    return this.faults;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#stalls);
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}
