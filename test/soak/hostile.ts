/**
 * `bun run soak hostile [rounds]`: what hostile clients cost a well-behaved one, and what idle connections cost.
 *
 * The well-behaved client sends at a fixed rate and measures from the moment a request was due, so a stalled server
 * cannot hide by being asked less. Quiet and attacked stretches take turns; the medians over the rounds are compared.
 * Attackers begin once a second and run in a process of lower priority: on a small machine their own work would else count as the node's.
 */
import { encode } from "../channels/wire/resp/raw.ts";
import { attacks, hostileLimits } from "../e2e/hostile.ts";
import { NodeDirectory, type NodeProcess } from "../e2e/node-process.ts";
import type { Soak } from "./run.ts";

const CONNECTIONS = 8;
const RATE_PER_SECOND = 1000;
const STRETCH_MS = 3000;
const IDLE_CONNECTIONS = 10_000;
const IDLE_BYTES_MAX = 16 * 1024;
const RATIO_MAX = 2;
/** Below this a p99 is a scheduler's affair on a shared machine; ratios of smaller figures are not judged. */
const FLOOR_MS = 2;

const requests = [encode(["SET", "good", "v".repeat(64)]), encode(["GET", "good"])];

/** Latencies of one stretch, sorted. */
async function measure(node: NodeProcess): Promise<number[]> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => node.connect()));
  const latencies: number[] = [];
  const start = performance.now();
  const pace = async (index: number) => {
    const client = clients[index] as (typeof clients)[number];
    const stepMs = (1000 * CONNECTIONS) / RATE_PER_SECOND;
    for (
      let due = start + (index * stepMs) / CONNECTIONS, turn = 0;
      due < start + STRETCH_MS;
      due += stepMs, turn++
    ) {
      const waitMs = due - performance.now();
      if (waitMs > 0) await Bun.sleep(waitMs);
      // A timer that fires late is the client's fault, a reply that comes late is the node's.
      const from = Math.max(due, Math.min(performance.now(), due + stepMs));
      client.send(requests[turn % 2] as Buffer);
      if ((await client.replies(1)).length === 0) throw new Error("the well-behaved client was closed");
      latencies.push(performance.now() - from);
    }
  };
  await Promise.all(clients.map((_, index) => pace(index)));
  for (const client of clients) await client[Symbol.asyncDispose]();
  return latencies.sort((a, b) => a - b);
}

const percentile = (sorted: number[], part: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;
const median = (values: number[]) =>
  percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
const rounded = (value: number) => Math.round(value * 100) / 100;

function attacker(directory: NodeDirectory, node: NodeProcess, name: string, scale: number) {
  const script = new URL("../e2e/hostile-process.ts", import.meta.url).pathname;
  const words = [node.port, directory.inData("admin.sock"), name, scale, STRETCH_MS / 1000].map(String);
  return Bun.spawn(["nice", "-n", "15", process.execPath, script, ...words], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
}

async function untilAtWork(child: ReturnType<typeof attacker>): Promise<void> {
  const reader = child.stdout.getReader();
  await reader.read();
  reader.releaseLock();
}

async function attacked(rounds: number): Promise<{ lines: string[]; problems: string[] }> {
  using directory = new NodeDirectory();
  const node = await directory.start({ limits: hostileLimits, log: { console: "off" } });
  const lines: string[] = [];
  const problems: string[] = [];
  await measure(node); // warms up
  for (const { name, isPlainLoad = false } of attacks) {
    const quiet: number[] = [];
    const loud: number[] = [];
    const worst: number[] = [];
    for (let round = 0; round < rounds; round++) {
      quiet.push(percentile(await measure(node), 0.99));
      const child = attacker(directory, node, name, 1);
      await untilAtWork(child);
      const latencies = await measure(node);
      loud.push(percentile(latencies, 0.99));
      worst.push(percentile(latencies, 1));
      if ((await child.exited) !== 0) problems.push(`${name}: the attack met something unexpected`);
    }
    const ratio = median(loud) / median(quiet);
    const rss = Math.round((await node.stats()).process.rssBytes / 2 ** 20);
    lines.push(
      `${name}: p99 ${rounded(median(quiet))} ms quiet, ${rounded(median(loud))} ms attacked, x${rounded(ratio)}, longest ${rounded(median(worst))} ms; ${rss} MiB afterwards`,
    );
    console.log(lines.at(-1));
    if (!isPlainLoad && ratio > RATIO_MAX && median(loud) > FLOOR_MS)
      problems.push(`${name}: p99 grew ${rounded(ratio)} times`);
  }
  return { lines, problems };
}

async function idle(): Promise<{ bytesPerConnection: number; quietP99Ms: number; idleP99Ms: number }> {
  using directory = new NodeDirectory();
  const node = await directory.start({
    limits: { connections: IDLE_CONNECTIONS + 100 },
    log: { console: "off" },
  });
  const quietP99Ms = percentile(await measure(node), 0.99);
  const before = (await node.stats()).process.rssBytes;
  const child = attacker(directory, node, "idle", IDLE_CONNECTIONS);
  await untilAtWork(child);
  const { connections } = (await node.stats()).dht;
  if (connections !== IDLE_CONNECTIONS) throw new Error(`${connections} connections are open`);
  const bytesPerConnection = Math.round(((await node.stats()).process.rssBytes - before) / IDLE_CONNECTIONS);
  const idleP99Ms = percentile(await measure(node), 0.99);
  child.kill();
  return { bytesPerConnection, quietP99Ms: rounded(quietP99Ms), idleP99Ms: rounded(idleP99Ms) };
}

export const soak: Soak = {
  summary: "latency of a well-behaved client beside hostile ones; memory of idle connections: [rounds]",
  async run([rounds = "3"]) {
    const figures = await idle();
    console.log(`${IDLE_CONNECTIONS} idle connections: ${JSON.stringify(figures)}`);
    const { problems } = await attacked(Number(rounds));
    if (figures.bytesPerConnection > IDLE_BYTES_MAX)
      problems.push(`an idle connection takes ${figures.bytesPerConnection} bytes`);
    if (problems.length > 0) throw new Error(problems.join("\n"));
    return figures;
  },
};
