/**
 * `kill -9` of a logfiles node under load: writers put numbered records, the process is killed at a random moment, the next
 * one starts on the same directory, and what is found is compared.
 *
 * Each writer has a channel of its own, so what must be found is exact: its records in order, none twice, none that was
 * never written, and every acknowledged one.
 */
import { LogfilesNode } from "../../src/channels/wire/legacy/logfiles-client.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const WRITERS = 4;
const PIPELINE = 32;
const BLIND_SPREAD_MS = 700;

export interface LogfilesKillOptions {
  rounds: number;
  seed: number;
  layout: "segments" | "classic";
  durability?: "log" | "buffered";
  report?: (line: string) => void;
}

export interface LogfilesKillResult {
  violations: string[];
  acknowledged: number;
  /** Files with records at the end: shows that seals happened under the kills. */
  seals: number;
}

const { net } = realWorld(() => {});

class Writer {
  readonly channel: string;
  /** Records that were sent, in order. */
  sent = 0;
  acknowledged = 0;

  constructor(index: number) {
    this.channel = `writer-${index}`;
  }

  valueOf(number: number): string {
    return `${number}:${this.channel} ${"x".repeat(number % 700)}`;
  }

  /** Writes until the connection is lost. */
  async run(port: number): Promise<void> {
    const client = await LogfilesNode.connect(net, { host: "127.0.0.1", port }).catch(() => undefined);
    for (; client !== undefined;) {
      const batch = Array.from({ length: PIPELINE }, () => {
        const number = this.sent++;
        const put = client.put(this.channel, BigInt(number), this.valueOf(number));
        return put.then(() => {
          this.acknowledged = number + 1;
        });
      });
      const settled = await Promise.allSettled(batch);
      if (settled.some(({ status }) => status === "rejected")) break;
    }
    client?.close();
  }

  /** Takes what a restart found for the truth from now on; returns what is wrong with it. */
  async verify(client: LogfilesNode): Promise<string[]> {
    const found = (await client.read(this.channel)).map(({ value }) => value.toString());
    const problems: string[] = [];
    const wrong = found.findIndex((value, number) => value !== this.valueOf(number));
    if (wrong >= 0) problems.push(`${this.channel}: record ${wrong} is ${found[wrong]?.slice(0, 40)}`);
    if (found.length < this.acknowledged)
      problems.push(`${this.channel}: ${found.length} records, ${this.acknowledged} acknowledged`);
    if (found.length > this.sent)
      problems.push(`${this.channel}: ${found.length} records, ${this.sent} sent`);
    this.sent = this.acknowledged = found.length;
    return problems;
  }
}

async function verify(node: NodeProcess, writers: readonly Writer[]): Promise<string[]> {
  const client = await LogfilesNode.connect(net, { host: "127.0.0.1", port: node.ports["port"] as number });
  const problems = (await Promise.all(writers.map((writer) => writer.verify(client)))).flat();
  client.close();
  return problems;
}

export async function runLogfilesKill9(options: LogfilesKillOptions): Promise<LogfilesKillResult> {
  const { rounds, seed, layout, durability = "log", report } = options;
  const random = seededRandom(seed);
  const writers = Array.from({ length: WRITERS }, (_, index) => new Writer(index));
  const result: LogfilesKillResult = { violations: [], acknowledged: 0, seals: 0 };
  using directory = new NodeDirectory("logfiles");
  directory.configure({
    layout,
    durability,
    httpPort: null,
    // Small, so that records move into files all the time.
    memory: { memtableBytes: 65_536 },
    segments: { joinCount: 3, pageBytes: 16_384 },
    log: { console: "off" },
  });
  for (let round = 1; round <= rounds; round++) {
    const node = await directory.start();
    const problems = await verify(node, writers);
    // Without the log's sync a kill may take what was acknowledged last; nothing else may be wrong.
    const counted =
      durability === "log" ? problems : problems.filter((problem) => !problem.includes("acknowledged"));
    result.violations.push(...counted.map((problem) => `seed ${seed}, round ${round}: ${problem}`));
    report?.(`round ${round} of ${rounds}: ${problems.length} problems`);
    const load = writers.map((writer) => writer.run(node.ports["port"] as number));
    await Bun.sleep(random.integer(BLIND_SPREAD_MS));
    const stats = (await node.stats().catch(() => undefined)) as { logfiles?: { seals: number } } | undefined;
    result.seals += stats?.logfiles?.seals ?? 0;
    result.acknowledged += writers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    await node.end("SIGKILL");
    await Promise.all(load);
  }
  const last = await directory.start();
  result.violations.push(...(await verify(last, writers)));
  await last.end("SIGTERM");
  return result;
}
