/**
 * Power loss under a whole dht node: concurrent writers and readers on a simulated disk, the power goes at a random
 * moment, the node starts again from what the disk kept, and a checker compares.
 *
 * What is checked: every acknowledged write is there; a write in flight is there whole or not at all (EXEC
 * included); nothing is there that nobody wrote; and no reader ever saw a value that power loss took back.
 */
import type { Durability } from "../../src/channels/reply-gate.ts";
import type { DurableStore } from "../../src/channels/dht/durable-store.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import type { Random } from "../../src/core/seams/random.ts";
import { TestNode, type TestClient } from "../channels/dht/node-harness.ts";

export interface SimulationOptions {
  seed: number;
  /** Power losses in a row on one disk. */
  crashes?: number;
  believe?: (durable: DurableStore) => Durability;
}

export interface SimulationResult {
  violations: string[];
  acknowledged: number;
  faults: FaultCounts;
}

const WRITERS = 4;
const READERS = 3;
const KEYS_PER_WRITER = 3;
/** Pause of a client between two requests. */
const THINK_MS_MAX = 0.4;

/** A writer owns its keys: only it changes them, so what each may hold is known exactly. */
class Writer {
  readonly keys: string[];
  /** Per key: the value after the last acknowledged write. */
  readonly settled = new Map<string, string>();
  /** The write in flight: new values of its keys, all of them or none. */
  inFlight: Map<string, string> | undefined;
  acknowledged = 0;
  #version = 0;
  #index: number;

  constructor(index: number) {
    this.#index = index;
    this.keys = Array.from({ length: KEYS_PER_WRITER }, (_, key) => `w${index}k${key}`);
  }

  async write(client: TestClient, random: Random): Promise<void> {
    const version = `${this.#index}.${++this.#version}`;
    const key = this.keys[random.integer(this.keys.length)] as string;
    const old = this.settled.get(key) ?? "";
    const padding = "x".repeat(random.integer(700));
    switch (random.integer(4)) {
      case 0: {
        const changed = new Map(this.keys.map((each) => [each, `${version}:${padding}`]));
        this.inFlight = changed;
        void client.call("MULTI");
        for (const [each, value] of changed) void client.call("SET", each, value);
        await client.call("EXEC");
        break;
      }
      case 1:
        this.inFlight = new Map([[key, ""]]);
        await client.call("DEL", key);
        break;
      case 2:
        this.inFlight = new Map([[key, `${old}+${version}`]]);
        await client.call("APPEND", key, `+${version}`);
        break;
      default:
        this.inFlight = new Map([[key, `${version}:${padding}`]]);
        await client.call("SET", key, `${version}:${padding}`);
    }
    for (const [each, value] of this.inFlight) this.settled.set(each, value);
    this.inFlight = undefined;
    this.acknowledged++;
  }

  /** Takes what the disk kept as the truth for the next life; returns what is wrong with it. */
  check(found: Map<string, string>): string[] {
    const before = this.keys.map((key) => this.settled.get(key) ?? "");
    const after = this.keys.map((key) => this.inFlight?.get(key) ?? this.settled.get(key) ?? "");
    const actual = this.keys.map((key) => found.get(key) ?? "");
    this.inFlight = undefined;
    for (const [index, key] of this.keys.entries()) this.settled.set(key, actual[index] as string);
    if (Bun.deepEquals(actual, before) || Bun.deepEquals(actual, after)) return [];
    const short = (values: string[]) => JSON.stringify(values.map((value) => value.slice(0, 24)));
    return [
      `writer ${this.#index}: found ${short(actual)}, acknowledged ${short(before)}, in flight ${short(after)}`,
    ];
  }
}

/** The values a key went through that somebody saw; the last seen must not be taken back. */
type Sightings = Map<string, { value: string; owner: Writer }>;

async function read(client: TestClient, writers: Writer[], random: Random, seen: Sightings): Promise<void> {
  const owner = writers[random.integer(writers.length)] as Writer;
  const key = owner.keys[random.integer(owner.keys.length)] as string;
  const reply = await client.call("GET", key);
  seen.set(key, { value: bulk(reply), owner });
}

const bulk = (reply: string) => (reply.startsWith("$-1") ? "" : reply.slice(reply.indexOf("\r\n") + 2, -2));

/** A seen value must be the one found, or an older one that its owner has replaced since. */
function takenBack(seen: Sightings, found: Map<string, string>): string[] {
  const problems: string[] = [];
  for (const [key, { value, owner }] of seen) {
    // Only an empty value can come back later in the same life; all others are unique.
    const wasInFlight = value !== "" && owner.inFlight?.get(key) === value;
    if (wasInFlight && found.get(key) !== value)
      problems.push(`a reader saw ${key}=${value.slice(0, 24)}, which is gone`);
  }
  return problems;
}

/** Runs one seed. The result is a function of the options alone. */
export function runDhtSimulation({ seed, crashes = 3, believe }: SimulationOptions): SimulationResult {
  const scheduler = new Scheduler(seed);
  const random = scheduler.fork();
  const disk = new SimDisk(scheduler, { sectorBytes: 512, latencyMinMs: 0.05, latencyMeanMs: 0.2 });
  const writers = Array.from({ length: WRITERS }, (_, index) => new Writer(index));
  const violations: string[] = [];
  for (let life = 0; life < crashes; life++) {
    const clock = new SimClock(scheduler);
    const world = { clock, disk, random: scheduler.fork() };
    const seen: Sightings = new Map();
    const lifeMs = 2 + random.float() * 60;
    let node: TestNode | undefined;
    scheduler.run(async () => {
      node = await TestNode.open(world, { logBytesMin: 1500, ...(believe !== undefined && { believe }) });
      const alive = node;
      const think = () => new Promise<void>((resolve) => clock.after(random.float() * THINK_MS_MAX, resolve));
      for (const writer of writers) {
        const connection = alive.connect();
        loop(() => think().then(() => writer.write(connection, random)));
      }
      for (let reader = 0; reader < READERS; reader++) {
        const connection = alive.connect();
        loop(() => think().then(() => read(connection, writers, random, seen)));
      }
      if (random.integer(2) === 0) clock.after(random.float() * lifeMs, () => void node?.durable.compact());
      await new Promise<void>((resolve) => scheduler.after(lifeMs, resolve));
    });
    clock.kill();
    disk.crash({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    node?.abandon();
    const found = scheduler.run(() => recover({ ...world, clock: new SimClock(scheduler) }, writers));
    violations.push(...takenBack(seen, found), ...writers.flatMap((writer) => writer.check(found)));
  }
  return {
    violations,
    acknowledged: writers.reduce((sum, writer) => sum + writer.acknowledged, 0),
    faults: disk.faults,
  };
}

/** Repeats until the node's life ends: its promises then never settle. */
function loop(step: () => Promise<void>): void {
  void step().then(() => loop(step));
}

async function recover(world: Parameters<typeof TestNode.open>[0], writers: Writer[]) {
  const node = await TestNode.open(world, {});
  const reader = node.connect();
  const found = new Map<string, string>();
  for (const writer of writers)
    for (const key of writer.keys) found.set(key, bulk(await reader.call("GET", key)));
  const size = await reader.call("DBSIZE");
  const alive = [...found.values()].filter((value) => value !== "").length;
  if (size !== `:${alive}\r\n`)
    found.set(writers[0]?.keys[0] as string, `invented: ${size.trim()} records, ${alive} known`);
  await node.close();
  return found;
}
