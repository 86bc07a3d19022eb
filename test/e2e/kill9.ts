/**
 * `kill -9` under load: writers and readers on a real node, the process is killed at a random moment, the next one
 * starts on the same directory, and the checker of owned-keys.ts compares.
 *
 * Half of the kills are aimed at a compaction: they wait until an unfinished snapshot shows in the directory. What
 * the kernel has taken survives a killed process, so this shows that nothing is acknowledged before it was written;
 * power loss is the simulation's business (test/crash).
 */
import { readdirSync } from "node:fs";
import { seededRandom, type Random } from "../../src/core/seams/random.ts";
import type { RawClient } from "../channels/wire/resp/raw.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";
import { OwnedKeys } from "./owned-keys.ts";

const WRITERS = 6;
const READERS = 2;
const VALUE_BYTES_MAX = 3000;
/** Records that make a snapshot take long enough to be hit. */
const FILLER_RECORDS = 2000;
const FILLER_BYTES = 1000;
const AIM_DEADLINE_MS = 2500;
/** Moments of the kill: after a compaction began, or after the load began. */
const AIM_SPREAD_MS = 40;
const BLIND_SPREAD_MS = 900;

export interface Kill9Options {
  rounds: number;
  seed: number;
  durability?: "log" | "memory";
  /** SIGTERM asks the node to stop in order instead. */
  signal?: "SIGKILL" | "SIGTERM";
  report?: (line: string) => void;
}

export interface Kill9Result {
  violations: string[];
  acknowledged: number;
  /** Kills that came while a snapshot was being written. */
  killsInCompaction: number;
  compactions: number;
  tornTails: number;
}

export async function runKill9({
  rounds,
  seed,
  durability = "log",
  signal = "SIGKILL",
  report,
}: Kill9Options): Promise<Kill9Result> {
  const random = seededRandom(seed);
  const writers = Array.from(
    { length: WRITERS },
    (_, index) => new OwnedKeys(index, random, VALUE_BYTES_MAX),
  );
  const result: Kill9Result = {
    violations: [],
    acknowledged: 0,
    killsInCompaction: 0,
    compactions: 0,
    tornTails: 0,
  };
  using directory = new NodeDirectory();
  directory.configure({
    durability,
    compaction: { logBytesMin: 65536, growthPercent: 10 },
    log: { console: "off" },
  });
  let snapshots = 0;
  for (let round = 1; round <= rounds; round++) {
    const node = await directory.start();
    if (round === 1) await fill(node);
    const load = await startLoad(node, writers, random);
    const isAimed = random.integer(2) === 0 && durability === "log";
    if (isAimed) await untilCompaction(directory);
    await Bun.sleep(random.integer(isAimed ? AIM_SPREAD_MS : BLIND_SPREAD_MS));
    const code = await node.end(signal);
    await Promise.all(load);
    if (signal === "SIGTERM" && code !== 0) result.violations.push(`round ${round}: it ended with ${code}`);
    result.killsInCompaction += isCompacting(directory) ? 1 : 0;
    const problems = await verify(directory, writers, result);
    result.violations.push(...problems.map((problem) => `seed ${seed}, round ${round}: ${problem}`));
    const newest = newestSnapshot(directory);
    result.compactions += newest > snapshots ? 1 : 0;
    snapshots = newest;
    report?.(`round ${round} of ${rounds}: ${problems.length} problems`);
  }
  result.acknowledged = writers.reduce((sum, writer) => sum + writer.acknowledged, 0);
  return result;
}

async function fill(node: NodeProcess): Promise<void> {
  await using client = await node.connect();
  const words = ["MSET"];
  for (let record = 0; record < FILLER_RECORDS; record++)
    words.push(`filler-${record}`, "f".repeat(FILLER_BYTES));
  await client.command(...words);
}

/** Starts the clients; each of the promises resolves when its client has lost the node. */
async function startLoad(node: NodeProcess, writers: OwnedKeys[], random: Random): Promise<Promise<void>[]> {
  const clients: Promise<void>[] = [];
  for (const writer of writers) {
    const client = await selected(node, writer);
    clients.push(untilLost(node, () => writer.writeBatch(client)));
  }
  for (let reader = 0; reader < READERS; reader++) {
    const owner = writers[random.integer(writers.length)] as OwnedKeys;
    const client = await selected(node, owner);
    clients.push(untilLost(node, () => look(client, owner)));
  }
  return clients;
}

async function selected(node: NodeProcess, { channel }: OwnedKeys): Promise<RawClient> {
  const client = await node.connect();
  await client.command("SELECT", channel);
  return client;
}

/** Repeats `step` until the connection breaks; an error while the node still runs is one. */
async function untilLost(node: NodeProcess, step: () => Promise<void>): Promise<void> {
  try {
    for (;;) await step();
  } catch (error) {
    if (!/closed/.test((error as Error).message)) throw error;
    await node.exited;
  }
}

async function look(client: RawClient, owner: OwnedKeys): Promise<void> {
  const found = await readKeys(client, owner.keys);
  for (const [key, value] of found) owner.saw(key, value);
}

async function readKeys(client: RawClient, keys: string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const key of keys) {
    const reply = (await client.command("GET", key)).toString("latin1");
    if (reply.startsWith("-")) throw new Error(`refused: ${reply.trim()}`);
    if (!reply.startsWith("$-1")) found.set(key, reply.slice(reply.indexOf("\r\n") + 2, -2));
  }
  return found;
}

async function untilCompaction(directory: NodeDirectory): Promise<void> {
  const deadline = performance.now() + AIM_DEADLINE_MS;
  while (!isCompacting(directory) && performance.now() < deadline) await Bun.sleep(0);
}

/** Whether there is an unfinished snapshot; of a killed node: whether the kill came while it was being written. */
function isCompacting(directory: NodeDirectory): boolean {
  return names(directory).some((name) => /^snapshot-.*\.tmp$/.test(name));
}

function names(directory: NodeDirectory): string[] {
  try {
    return readdirSync(directory.inData("store"));
  } catch {
    return []; // in memory mode there is no such directory
  }
}

function newestSnapshot(directory: NodeDirectory): number {
  const sequences = names(directory).map((name) => Number(/^snapshot-(\d+)\.nxl$/.exec(name)?.[1] ?? 0));
  return Math.max(0, ...sequences);
}

/** Starts a node on what is left, compares, and kills it again. */
async function verify(
  directory: NodeDirectory,
  writers: OwnedKeys[],
  result: Kill9Result,
): Promise<string[]> {
  const node = await directory.start();
  if (((await node.stats()).dht.log?.tornBytes ?? 0) > 0) result.tornTails++;
  const problems: string[] = [];
  for (const writer of writers) {
    await using client = await selected(node, writer);
    const found = await readKeys(client, writer.keys);
    const size = (await client.command("DBSIZE")).toString("latin1");
    problems.push(...writer.check(found, Number(size.slice(1))));
  }
  await using client = await node.connect();
  const size = (await client.command("DBSIZE")).toString("latin1").trim();
  if (size !== `:${FILLER_RECORDS}`) problems.push(`${size} filler records are left of ${FILLER_RECORDS}`);
  await node.end("SIGKILL");
  return problems;
}
