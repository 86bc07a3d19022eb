/**
 * A whole dht node with durability "dump" on a simulated disk: clients write while dumps run, the power goes at a random
 * moment, calls fail now and then, and the node starts again from what the disk kept.
 *
 * What is checked: every key holds a value that it had between the start of the last dump that was reported done and
 * the crash. So nothing older comes back, nothing else appears, and no channel is a mix that never was.
 */
import { SimDisk } from "../../src/core/sim/disk.ts";
import type { FaultCounts } from "../../src/core/sim/faults.ts";
import { SimProcess } from "../../src/core/sim/process.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { TestNode, type TestClient } from "../channels/dht/node-harness.ts";
import { contentOf, DIRECTORY } from "../channels/tcm/harness.ts";
import { whole, type Subject } from "./dump-harness.ts";

export interface DumpSimulation {
  violations: string[];
  dumps: number;
  writes: number;
  faults: FaultCounts;
}

const KEYS = ["0000000000000001", "0000000000000002", "00000000000000ff", "name", "another name"];
const CHANNELS = ["0", "1"];
const ABSENT = "(none)";

/** The values that each key went through since the last dump that is known to be on disk. */
class Histories {
  readonly #values = new Map<string, string[]>();

  of(path: string): string[] {
    return this.#values.get(path) ?? [ABSENT];
  }

  add(path: string, value: string): void {
    this.#values.set(path, [...this.of(path), value]);
  }

  /** How many values each key has had: what a dump that starts now must have at least. */
  mark(): Map<string, number> {
    return new Map([...this.#values].map(([path, values]) => [path, values.length - 1]));
  }

  /** Forgets what is older than `mark`; returns what later marks have to be moved by. */
  forget(mark: Map<string, number>): void {
    for (const [path, values] of this.#values) this.#values.set(path, values.slice(mark.get(path) ?? 0));
  }

  check(found: Record<string, string>): string[] {
    const problems: string[] = [];
    for (const path of new Set([...this.#values.keys(), ...Object.keys(found)])) {
      const value = found[path] ?? ABSENT;
      if (!this.of(path).includes(value))
        problems.push(`${path} is ${value}, allowed: ${this.of(path).join(" ")}`);
      this.#values.set(path, [value]);
    }
    return problems;
  }
}

export function simulateDumps(seed: number, subject: Subject = whole, lives = 4): DumpSimulation {
  const scheduler = new Scheduler(seed);
  const random = scheduler.fork();
  const disk = new SimDisk(scheduler, { latencyMinMs: 0.05, latencyMeanMs: 0.2 });
  const histories = new Histories();
  const result: DumpSimulation = { violations: [], dumps: 0, writes: 0, faults: disk.faults };
  scheduler.run(() => disk.makeDirectory(DIRECTORY).then(() => disk.syncDirectory("/")));
  for (let life = 0; life < lives; life++) {
    const process = new SimProcess(scheduler, disk);
    const open = (simulated: SimProcess) =>
      TestNode.open(
        { clock: simulated.clock, disk: subject.wrapDisk(simulated.disk), random: scheduler.fork() },
        { mode: "dump", dump: { disabled: true } },
      );
    let node: TestNode | undefined;
    scheduler.run(async () => {
      node = await open(process);
      const { durable } = node;
      const client = node.connect();
      const stepMs = () => new Promise<void>((resolve) => process.clock.after(random.float() * 0.3, resolve));
      void forever(async () => {
        await stepMs();
        result.writes += await writeOne(client, random, histories, `${life}.${result.writes}`);
      });
      void forever(async () => {
        await stepMs();
        if (random.integer(3) === 0)
          disk.failLater({ nth: 1 + random.integer(30), isSticky: false, errno: "EIO" });
        const mark = histories.mark();
        const isDone = await durable.dump();
        disk.failLater(undefined);
        if (!isDone) return;
        result.dumps += 1;
        histories.forget(mark);
      });
      await new Promise<void>((resolve) => scheduler.after(1 + random.float() * 40, resolve));
    });
    process.exit();
    disk.failLater(undefined);
    disk.crash({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    node?.abandon();
    const reader = new SimProcess(scheduler, disk);
    const found = scheduler.run(async () => {
      const again = await open(reader);
      const content = contentOf(again.durable.store);
      again.abandon();
      return content;
    });
    reader.exit();
    result.violations.push(...histories.check(found).map((text) => `seed ${seed}, life ${life}: ${text}`));
  }
  return result;
}

async function writeOne(
  client: TestClient,
  random: { integer(limit: number): number },
  histories: Histories,
  version: string,
): Promise<number> {
  const channel = CHANNELS[random.integer(CHANNELS.length)] as string;
  const key = KEYS[random.integer(KEYS.length)] as string;
  await client.call("SELECT", channel);
  switch (random.integer(12)) {
    case 0:
      // A removed channel is gone at once in memory, and on disk as soon as its files are renamed.
      for (const each of KEYS) histories.add(`${channel}/${each}`, ABSENT);
      await client.call("FLUSHDB");
      break;
    case 1:
    case 2:
      histories.add(`${channel}/${key}`, ABSENT);
      await client.call("DEL", key);
      break;
    case 3:
      histories.add(`${channel}/${key}`, `${version}@1900000000000`);
      await client.call("SET", key, version, "PXAT", "1900000000000");
      break;
    default:
      histories.add(`${channel}/${key}`, version);
      await client.call("SET", key, version);
  }
  return 1;
}

/** Repeats until the process ends: its promises then never settle. */
async function forever(step: () => Promise<void>): Promise<never> {
  for (;;) await step();
}
