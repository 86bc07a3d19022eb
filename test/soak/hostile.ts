/**
 * `bun run soak hostile [rounds] [attack]`: what hostile clients cost a well-behaved one, and what idle connections cost;
 * with words of an attack's name, what that one costs.
 *
 * The well-behaved client sends at a fixed rate and measures from the moment a request was due, so a stalled server
 * cannot hide by being asked less. Stretches take turns: quiet; the attack on a *second* node, which shows what the attack costs
 * the machine that all of them share; the attack on the node itself. The medians over the rounds are compared, and the last is
 * judged by the second: what a client suffers because it shares a node, not a machine, with the attacker. Attackers begin
 * once a second and run in a process of lower priority.
 */
import { encode } from "../channels/wire/resp/raw.ts";
import { type Attack, attacks, hostileLimits } from "../e2e/hostile.ts";
import { NodeDirectory, type NodeProcess } from "../e2e/node-process.ts";
import type { Soak } from "./run.ts";

const CONNECTIONS = 8;
const RATE_PER_SECOND = 1000;
const STRETCH_MS = 3000;
const IDLE_CONNECTIONS = 10_000;
const IDLE_BYTES_MAX = 16 * 1024;
const RATIO_MAX = 2;
/** Below this a p99 is a scheduler's affair on a shared machine; ratios of smaller figures are not judged. */
const FLOOR_MS = 1;

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

/** Latencies of the well-behaved client of `node` while `victim` is attacked. Adds to `problems` what went wrong. */
async function measureBeside(
  name: string,
  node: NodeProcess,
  victim: { directory: NodeDirectory; node: NodeProcess },
  problems: string[],
): Promise<number[]> {
  const child = attacker(victim.directory, victim.node, name, 1);
  await untilAtWork(child);
  const latencies = await measure(node);
  if ((await child.exited) !== 0) problems.push(`${name}: the attack met something unexpected`);
  return latencies;
}

/** Returns what is wrong. */
async function attacked(rounds: number, chosen: readonly Attack[]): Promise<string[]> {
  using directory = new NodeDirectory();
  using otherDirectory = new NodeDirectory();
  const settings = { limits: hostileLimits, log: { console: "off" } };
  const node = await directory.start(settings);
  const other = await otherDirectory.start(settings);
  const problems: string[] = [];
  await measure(node); // warms up
  for (const { name, isPlainLoad = false, ratioMax = RATIO_MAX } of chosen) {
    const quiet: number[] = [];
    const beside: number[] = [];
    const loud: number[] = [];
    const worst: number[] = [];
    for (let round = 0; round < rounds; round++) {
      quiet.push(percentile(await measure(node), 0.99));
      const decoy = { directory: otherDirectory, node: other };
      beside.push(percentile(await measureBeside(name, node, decoy, problems), 0.99));
      const latencies = await measureBeside(name, node, { directory, node }, problems);
      loud.push(percentile(latencies, 0.99));
      worst.push(percentile(latencies, 1));
    }
    const ratio = median(loud) / Math.max(median(quiet), median(beside));
    const rss = Math.round((await node.stats()).process.rssBytes / 2 ** 20);
    console.log(
      `${name}: p99 ${rounded(median(quiet))} ms quiet, ${rounded(median(beside))} ms with a neighbour attacked, ` +
        `${rounded(median(loud))} ms attacked, x${rounded(ratio)}, longest ${rounded(median(worst))} ms; ${rss} MiB afterwards`,
    );
    if (!isPlainLoad && ratio > ratioMax && median(loud) > FLOOR_MS)
      problems.push(`${name}: p99 grew ${rounded(ratio)} times`);
  }
  return problems;
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

/** Returns what is wrong, and the figures. */
async function idled(): Promise<{ problems: string[]; figures: Awaited<ReturnType<typeof idle>> }> {
  const figures = await idle();
  console.log(`${IDLE_CONNECTIONS} idle connections: ${JSON.stringify(figures)}`);
  const problems: string[] = [];
  if (figures.bytesPerConnection > IDLE_BYTES_MAX)
    problems.push(`an idle connection takes ${figures.bytesPerConnection} bytes`);
  if (figures.idleP99Ms > FLOOR_MS && figures.idleP99Ms > figures.quietP99Ms * RATIO_MAX)
    problems.push(`p99 grew from ${figures.quietP99Ms} to ${figures.idleP99Ms} ms beside idle connections`);
  return { problems, figures };
}

export const soak: Soak = {
  summary:
    "latency of a well-behaved client beside hostile ones; memory of idle connections: [rounds] [attack]",
  async run([rounds = "3", ...words]) {
    const wanted = words.join(" ");
    const chosen = attacks.filter(({ name }) => name.includes(wanted));
    if (chosen.length === 0)
      throw new Error(`no attack is called "${wanted}", but: ${attacks.map(({ name }) => name).join("; ")}`);
    const idling = wanted === "" ? await idled() : undefined;
    const problems = [...(idling?.problems ?? []), ...(await attacked(Number(rounds), chosen))];
    if (problems.length > 0) throw new Error(problems.join("\n"));
    return { ...idling?.figures };
  },
};
