/**
 * Power loss under a whole queue node: producers, consumers that pop, and a group of consumers that acknowledge, on a
 * simulated disk; the power goes at a random moment, the node starts again from what the disk kept, and a checker
 * compares.
 *
 * What is checked. Of the list: a record whose push was acknowledged is there until somebody took it; one that a consumer
 * got is not there again; nothing is there that nobody pushed; the order is that of pushing. Of the stream: every
 * acknowledged entry is there; whatever the group has not acknowledged is pending or still to be delivered (at least
 * once); what was acknowledged is not pending.
 */
import type { DurableQueues } from "../../src/channels/queue/durable-queues.ts";
import type { Durability } from "../../src/channels/reply-gate.ts";
import type { Random } from "../../src/core/seams/random.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import type { FaultCounts } from "../../src/core/sim/faults.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { SimNode } from "../channels/queue/sim-node.ts";

export interface SimulationOptions {
  seed: number;
  /** Power losses in a row on one disk. */
  crashes?: number;
  believe?: (durable: DurableQueues) => Durability;
}

export interface SimulationResult {
  violations: string[];
  acknowledged: number;
  popped: number;
  settled: number;
  faults: FaultCounts;
}

/** A client that gets one reply for each call. */
export interface Caller {
  call(...words: string[]): Promise<string>;
}

const PRODUCERS = 3;
const POPPERS = 2;
const THINK_MS_MAX = 0.4;

/** The texts of a reply's bulk strings, at any depth. */
function bulks(reply: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < reply.length;) {
    const line = reply.indexOf("\r\n", at);
    const length = Number(reply.slice(at + 1, line));
    if (reply[at] === "$" && length >= 0) {
      found.push(reply.slice(line + 2, line + 2 + length));
      at = line + 4 + length;
    } else {
      at = line + 2;
    }
  }
  return found;
}

/** No room, or a log that cannot be written: nothing was done. */
const isRefusal = (reply: string) => /^-(OOM|NOREPLICAS) /.test(reply);

/** What clients know of the list `q`: records are numbered per producer. */
export class ListKnowledge {
  readonly pushed = new Set<string>();
  readonly pushing = new Set<string>();
  readonly popped = new Set<string>();
  poppers = 0; /* pops in flight */
  #next = 0;

  async push(client: Caller, producer: number, random: Random): Promise<void> {
    const records = Array.from(
      { length: 1 + random.integer(3) },
      () => `${producer}.${String(++this.#next).padStart(6, "0")}.${"x".repeat(random.integer(300))}`,
    );
    for (const record of records) this.pushing.add(record);
    const reply = await client.call("RPUSH", "q", ...records);
    const isRefused = isRefusal(reply);
    for (const record of records) {
      this.pushing.delete(record);
      if (!isRefused) this.pushed.add(record);
    }
  }

  async pop(client: Caller, random: Random): Promise<void> {
    this.poppers++;
    const reply = await client.call("LPOP", "q", String(1 + random.integer(2)));
    this.poppers--;
    for (const record of bulks(reply)) this.popped.add(record);
  }

  check(found: string[]): string[] {
    const problems: string[] = [];
    const there = new Set(found);
    for (const record of found) {
      if (this.popped.has(record))
        problems.push(`acknowledged: ${record.slice(0, 10)} was popped and is back`);
      if (!this.pushed.has(record) && !this.pushing.has(record))
        problems.push(`invented: ${record.slice(0, 10)}`);
    }
    const lost = [...this.pushed].filter((record) => !this.popped.has(record) && !there.has(record));
    // Each pop in flight may have taken up to two.
    if (lost.length > 2 * this.poppers) problems.push(`acknowledged: ${lost.length} pushed records are lost`);
    for (let producer = 0; producer < PRODUCERS; producer++) {
      const own = found.filter((record) => record.startsWith(`${producer}.`));
      if (own.join() !== [...own].sort().join()) problems.push(`order of producer ${producer}`);
    }
    // The next life starts from what the disk kept.
    for (const record of lost) this.popped.add(record);
    for (const record of this.pushing) if (there.has(record)) this.pushed.add(record);
    this.pushing.clear();
    this.poppers = 0;
    return problems;
  }
}

/** What clients know of the stream `s` and its group `g`. */
export class StreamKnowledge {
  readonly added = new Set<string>();
  readonly settled = new Set<string>();
  readonly settling = new Set<string>();
  adding = 0;

  async add(client: Caller, random: Random): Promise<void> {
    this.adding++;
    const reply = await client.call("XADD", "s", "*", "f", "x".repeat(random.integer(200)));
    this.adding--;
    const [id = ""] = bulks(reply);
    if (!isRefusal(reply)) this.added.add(id);
  }

  async consume(client: Caller, random: Random): Promise<void> {
    const isAgain = random.integer(3) === 0;
    const reply = isAgain
      ? await client.call("XAUTOCLAIM", "s", "g", "other", "0", "0", "COUNT", "1")
      : await client.call("XREADGROUP", "GROUP", "g", "one", "COUNT", "2", "STREAMS", "s", ">");
    const ids = bulks(reply).filter((text) => /^\d+-\d+$/.test(text) && this.added.has(text));
    if (ids.length === 0 || random.integer(4) === 0) return;
    for (const id of ids) this.settling.add(id);
    const isRefused = isRefusal(await client.call("XACK", "s", "g", ...ids));
    for (const id of ids) {
      this.settling.delete(id);
      if (!isRefused) this.settled.add(id);
    }
  }

  check(entries: string[], pending: string[], lastDelivered: string): string[] {
    const problems: string[] = [];
    const there = new Set(entries);
    const waits = new Set(pending);
    const isBehind = (id: string) => {
      const [left, right] = [id, lastDelivered].map((text) => text.split("-").map(Number));
      return (left?.[0] ?? 0) - (right?.[0] ?? 0) || (left?.[1] ?? 0) - (right?.[1] ?? 0);
    };
    for (const id of this.added) if (!there.has(id)) problems.push(`acknowledged: entry ${id} is lost`);
    for (const id of entries) {
      if (this.settled.has(id) && waits.has(id)) problems.push(`acknowledged: ${id} is pending again`);
      const isDone = this.settled.has(id) || this.settling.has(id);
      if (!isDone && !waits.has(id) && isBehind(id) <= 0)
        problems.push(`acknowledged: ${id} would never be delivered`);
    }
    for (const id of this.settling) if (!waits.has(id)) this.settled.add(id);
    this.settling.clear();
    for (const id of entries) this.added.add(id);
    this.adding = 0;
    return problems;
  }
}

/** Asks a node that has started again what is there; returns what is wrong with it. */
export async function check(reader: Caller, list: ListKnowledge, stream: StreamKnowledge): Promise<string[]> {
  const isId = (text: string) => /^\d+-\d+$/.test(text);
  const found = bulks(await reader.call("LRANGE", "q", "0", "-1"));
  const entries = bulks(await reader.call("XRANGE", "s", "-", "+")).filter(isId);
  const pending = bulks(await reader.call("XPENDING", "s", "g", "-", "+", "1000000")).filter(isId);
  const group = bulks(await reader.call("XINFO", "GROUPS", "s"));
  const at = group.indexOf("last-delivered-id");
  const delivered = at >= 0 ? (group[at + 1] ?? "0-0") : "0-0";
  return [...list.check(found), ...stream.check(entries, pending, delivered)];
}

/** Repeats until the node's life ends: its promises then never settle. */
function loop(step: () => Promise<void>): void {
  void step().then(() => loop(step));
}

/** Runs one seed. The result is a function of the options alone. */
export function runQueueSimulation({ seed, crashes = 3, believe }: SimulationOptions): SimulationResult {
  const scheduler = new Scheduler(seed);
  const random = scheduler.fork();
  const disk = new SimDisk(scheduler, { sectorBytes: 512, latencyMinMs: 0.05, latencyMeanMs: 0.2 });
  const list = new ListKnowledge();
  const stream = new StreamKnowledge();
  const violations: string[] = [];
  for (let life = 0; life < crashes; life++) {
    const clock = new SimClock(scheduler);
    const world = { clock, disk, random: scheduler.fork() };
    const lifeMs = 2 + random.float() * 60;
    let node: SimNode | undefined;
    scheduler.run(async () => {
      node = await SimNode.open(world, { logBytesMin: 1500, ...(believe !== undefined && { believe }) });
      const alive = node;
      await alive.connect().call("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM");
      const think = () => new Promise<void>((resolve) => clock.after(random.float() * THINK_MS_MAX, resolve));
      for (let producer = 0; producer < PRODUCERS; producer++) {
        const connection = alive.connect();
        loop(() => think().then(() => list.push(connection, producer, random)));
      }
      for (let popper = 0; popper < POPPERS; popper++) {
        const connection = alive.connect();
        loop(() => think().then(() => list.pop(connection, random)));
      }
      const adder = alive.connect();
      loop(() => think().then(() => stream.add(adder, random)));
      const consumer = alive.connect();
      loop(() => think().then(() => stream.consume(consumer, random)));
      if (random.integer(2) === 0) clock.after(random.float() * lifeMs, () => void alive.durable.compact());
      await new Promise<void>((resolve) => scheduler.after(lifeMs, resolve));
    });
    clock.kill();
    disk.crash({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    node?.abandon();
    violations.push(
      ...scheduler.run(async () => {
        const again = await SimNode.open({ ...world, clock: new SimClock(scheduler) });
        const problems = await check(again.connect(), list, stream);
        await again.close();
        return problems;
      }),
    );
  }
  return {
    violations,
    acknowledged: list.pushed.size + stream.added.size,
    popped: list.popped.size,
    settled: stream.settled.size,
    faults: disk.faults,
  };
}
