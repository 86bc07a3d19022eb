/**
 * Load on a store in an etcd of three members while members are killed, and a judge of what was acknowledged and what was told.
 *
 * Each transaction adds one to a shared counter and puts a key of its own; one whose outcome is unknown is resolved. Invariant at the
 * end: exactly what was called committed is there, each at the timestamp that was told; the counter has counted all of it; the feed
 * of every frontend has told each of them once, in order, with both keys; and a client's watch has run in order, up to the end.
 */
import type { ChangedKeys } from "../../../src/reactive/engines/engine.ts";
import { OutcomeUnknownError, RefusedError } from "../../../src/reactive/failures.ts";
import { until } from "../../e2e/executable.ts";
import type { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { type EtcdRig, etcdRig } from "./rigs.ts";
import { add, Asking, put, type Reader, transaction, watch } from "./words.ts";

const WRITERS = 4;

interface Committed {
  name: string;
  /** 0: found out later, when nobody said it any more. */
  timestamp: number;
}

export class MemberLoad {
  readonly committed: Committed[] = [];
  readonly figures = { unknown: 0, refused: 0 };
  readonly #etcd: EtcdProcesses;
  readonly #rig: EtcdRig;
  readonly #told: ChangedKeys[][] = [[], []];
  #gaps = 0;
  readonly #readers: Reader[] = [];
  #writing: Promise<void>[] = [];
  readonly #refused: string[] = [];
  #isOver = false;

  constructor(etcd: EtcdProcesses) {
    this.#etcd = etcd;
    this.#rig = etcdRig(etcd, { timeoutMs: 3000, silenceMs: 1000 });
  }

  /** Resolves when the feeds and the watches are there. */
  async start(): Promise<void> {
    for (const [index, engine] of this.#rig.engines.entries()) {
      const told = this.#told[index] as ChangedKeys[];
      const feed = engine.follow({
        onChange: (change) => void told.push(change),
        onCaughtUp: () => {},
        onGap: () => void this.#gaps++,
        isWanted: () => true,
      });
      await feed.started({ keys: [], prefixes: [] });
      this.#readers.push(await watch(this.#rig, index as 0 | 1, { keys: ["n"] }));
    }
    this.#writing = Array.from({ length: WRITERS }, (_, writer) => this.#write(writer));
  }

  async #write(writer: number): Promise<void> {
    const engine = this.#rig.engines[writer % 2] as EtcdRig["engines"][0];
    for (let turn = 0; !this.#isOver; turn++) {
      const name = `w${writer}.${turn}`;
      const offer = transaction({ writes: { n: [add(1)], [name]: [put(name)] } });
      try {
        const result = await engine.commit(offer);
        if (result.kind === "committed") this.committed.push({ name, timestamp: result.timestamp });
        else this.#refused.push(name);
      } catch (error) {
        await this.#settle(error, name, () => engine.resolve(offer.id));
      }
    }
  }

  async #settle(error: unknown, name: string, resolve: () => Promise<{ kind: string }>): Promise<void> {
    if (error instanceof RefusedError) {
      this.figures.refused += 1;
      this.#refused.push(name);
      return;
    }
    if (!(error instanceof OutcomeUnknownError)) throw error;
    this.figures.unknown += 1;
    const { kind } = await until(`what became of ${name}`, () => resolve().catch(() => undefined));
    if (kind === "committed") this.committed.push({ name, timestamp: 0 });
    else this.#refused.push(name);
  }

  /** Waits for so many more commits. */
  async more(count: number): Promise<void> {
    const wanted = this.committed.length + count;
    await until(`${count} more commits`, () => this.committed.length >= wanted || undefined, 60_000);
  }

  /** Kills a member, lets commits go on without it, and starts it again. */
  async without(member: number, commits: number): Promise<void> {
    await this.#etcd.kill(member);
    await this.more(commits);
    this.#etcd.run(member);
    await this.#etcd.serving(member);
  }

  /** Freezes a member, whose connections stay open, until commits have gone on without it. */
  async frozen(member: number, commits: number): Promise<void> {
    this.#etcd.signal(member, "SIGSTOP");
    await this.more(commits);
    this.#etcd.signal(member, "SIGCONT");
    await this.#etcd.serving(member);
  }

  /** Ends the load; returns what was wrong. */
  async finish(): Promise<string[]> {
    this.#isOver = true;
    await Promise.all(this.#writing);
    const faults: string[] = [];
    await this.#end();
    await this.#judgeState(faults);
    this.#judgeFeeds(faults);
    // Who was not told of a change may wait for it for ever.
    if (faults.length === 0) await this.#judgeWatches(faults);
    this.#rig.close();
    return faults;
  }

  /** A last change, behind which everything was told to everybody. */
  async #end(): Promise<void> {
    const [engine] = this.#rig.engines;
    const end = await until("the last commit", async () => {
      const result = await engine
        .commit(transaction({ writes: { end: [put("end")] } }))
        .catch(() => undefined);
      return result?.kind === "committed" ? result.timestamp : undefined;
    });
    const isTold = (told: ChangedKeys[]) => (told.at(-1)?.timestamp ?? 0) >= end;
    await until("the last change", () => this.#told.every(isTold) || undefined);
    for (const told of this.#told)
      while (Buffer.from(told.at(-1)?.keys[0] ?? []).toString() === "end") told.pop();
  }

  async #judgeState(faults: string[]): Promise<void> {
    const one = new Asking(this.#rig, this.#rig.engines[0]);
    const versions = await one.versions(this.committed.map(({ name }) => name));
    for (const [index, { name, timestamp }] of this.committed.entries()) {
      const start = versions[index]?.start ?? 0;
      if (start === 0) faults.push(`${name} is lost`);
      else if (timestamp > 0 && start !== timestamp)
        faults.push(`${name} is of ${start}, told was ${timestamp}`);
    }
    const others = await one.versions(this.#refused);
    for (const [index, { start }] of others.entries())
      if (start !== 0) faults.push(`${this.#refused[index]} was refused and is there`);
    const [count] = await one.read(["n"]);
    if (count !== this.committed.length)
      faults.push(`the counter says ${String(count)}, ${this.committed.length} were committed`);
  }

  #judgeFeeds(faults: string[]): void {
    for (const [index, told] of this.#told.entries()) {
      const times = told.map(({ timestamp }) => timestamp);
      if (times.some((time, place) => place > 0 && time <= (times[place - 1] as number)))
        faults.push(`feed ${index}: not in order, or something twice`);
      const names = new Set(told.flatMap(({ keys }) => keys.map((each) => Buffer.from(each).toString())));
      for (const { name } of this.committed)
        if (!names.has(name)) faults.push(`feed ${index} missed ${name}`);
      if (told.some(({ keys }) => keys.length !== 2)) faults.push(`feed ${index}: half a transaction`);
    }
    if (this.#gaps > 0) faults.push(`${this.#gaps} gaps, although nothing was compacted`);
  }

  /** The feeds have told all: what was to be run is being read. */
  async #judgeWatches(faults: string[]): Promise<void> {
    const wanted = this.committed.length;
    for (const [index, reader] of this.#readers.entries()) {
      await until(`watch ${index} to show ${wanted}`, () => reader.value("n") === wanted || undefined);
      const times = reader.runs.map(({ at }) => at);
      if (times.some((at, place) => place > 0 && at <= (times[place - 1] as number)))
        faults.push(`watch ${index}: runs are not in order`);
    }
  }
}
