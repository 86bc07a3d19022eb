/**
 * `bun run bench dht`: the dht node beside Debian's redis-server under the same loads.
 *
 * Writes dist/bench/dht.json and dist/bench/dht.md. Exit code 1 when a floor is not held or nothing was measured.
 * `--candidate redis` compares redis with itself: ratios away from 1 are then the noise of the machine.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ensureExecutable, ensurePrograms } from "../../build.ts";
import {
  asksForHelp,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
  switchFlag,
} from "../../src/core/load/flags.ts";
import { defaultFlag, valueFlag } from "../../src/core/load/flags.ts";
import * as capacity from "./capacity.ts";
import { compare, lineName, type Field, type Line } from "./compare.ts";
import { describeMachine, isNoisy } from "./machine.ts";
import { KEYS } from "./redis-benchmark.ts";
import { allVerdicts, markdown, type BenchReport } from "./report.ts";
import { benchDirectory, startServers, versions, type BenchServer, type Durability } from "./servers.ts";
import { verdictText } from "./verdict.ts";

const candidates = z.enum(["node-x", "redis"], { error: "node-x or redis" });

const flags = z.object({
  lines: valueFlag(
    z.string(),
    "TEXTS",
    "Only lines whose name holds one of these runs of words, separated by commas",
  ),
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "5"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "2"),
  quick: switchFlag("One short round and a tenth of the records: to see that it runs, not to quote"),
  candidate: defaultFlag(candidates, "SERVER", "What is compared with redis", "node-x"),
  list: switchFlag("Print the names of the lines and stop"),
});

const PIPELINES = [1, 16, 64];
const VALUE_SIZES = [64, 1024];
const RECORDS = 10_000_000;
const COMPACTION = { records: 2_000_000, ratePerSecond: 20_000, seconds: 20 };
const MEMORY_LINE = "resident memory";
const COMPACTION_LINE = "compaction latency";

/** In this order, so that keys of one size are written once. */
export const comparedLines: readonly Line[] = VALUE_SIZES.flatMap((valueBytes) => [
  ...PIPELINES.flatMap((pipeline): Line[] => [
    { kind: "memory", operation: "set", valueBytes, pipeline },
    { kind: "memory", operation: "get", valueBytes, pipeline },
  ]),
  ...PIPELINES.map((pipeline): Line => ({ kind: "durable", operation: "set", valueBytes, pipeline })),
]);

type Options = z.output<typeof flags>;

function chosen(options: Options): (name: string) => boolean {
  const texts = options.lines?.split(",");
  return (name) =>
    texts === undefined || texts.some((text) => name.toLowerCase().includes(text.toLowerCase()));
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Servers that are started when a line first needs them and stopped together. */
class Servers {
  readonly #started = new Map<string, Promise<BenchServer>>();

  get(program: "redis" | "node-x", durability: Durability, tag = ""): Promise<BenchServer> {
    const key = `${program} ${durability} ${tag}`;
    const known = this.#started.get(key) ?? startServers[program](durability);
    this.#started.set(key, known);
    return known;
  }

  async stop(): Promise<void> {
    for (const started of this.#started.values()) await started.then((server) => server.stop()).catch(say);
    this.#started.clear();
  }
}

async function fieldOf(line: Line, servers: Servers, candidate: Options["candidate"]): Promise<Field> {
  const durability = line.kind === "memory" ? "memory" : "log";
  const reference = await servers.get("redis", durability);
  const isSelf = candidate === "redis";
  return {
    reference,
    candidate: await servers.get(candidate, durability, isSelf ? "again" : ""),
    others: line.kind === "memory" && !isSelf ? [await servers.get("node-x", "log")] : [],
  };
}

async function compareLines(options: Options, report: BenchReport): Promise<void> {
  const isChosen = chosen(options);
  const servers = new Servers();
  const preloaded = new Map<BenchServer, number>();
  try {
    for (const line of comparedLines.filter((one) => isChosen(lineName(one)))) {
      const field = await fieldOf(line, servers, options.candidate);
      for (const server of [field.reference, field.candidate, ...field.others]) {
        if (preloaded.get(server) === line.valueBytes) continue;
        await capacity.preload(server, KEYS, line.valueBytes);
        preloaded.set(server, line.valueBytes);
      }
      const result = await compare(line, field, options);
      report.lines.push(result);
      const { throughput, cpu, p99 } = result.candidate.ratios;
      const ratios = `throughput ${throughput.toFixed(2)}, CPU ${cpu.toFixed(2)}, p99 ${p99.toFixed(2)}`;
      say(`${result.line.padEnd(24)} ${ratios}  ${result.verdicts.map(verdictText).join("; ")}`);
    }
  } finally {
    await servers.stop();
  }
}

/** Runs `measure` against a server of its own. */
async function alone<Result>(
  starting: Promise<BenchServer>,
  measure: (server: BenchServer) => Promise<Result>,
) {
  const server = await starting;
  try {
    return await measure(server);
  } finally {
    await server.stop();
  }
}

async function measureMemory(options: Options, report: BenchReport): Promise<void> {
  if (!chosen(options)(MEMORY_LINE)) return;
  const records = options.quick ? RECORDS / 10 : RECORDS;
  const contenders = [
    ["redis", "memory"] as const,
    ...(["memory", "log"] as const).map((mode) => ["node-x", mode] as const),
  ];
  for (const [program, durability] of options.candidate === "redis" ? contenders.slice(0, 1) : contenders) {
    const result = await alone(startServers[program](durability), (server) =>
      capacity.measureMemory(server, records),
    );
    // A tenth of the records says nothing about a bound for all of them.
    const isJudged = program === options.candidate && !options.quick;
    const verdict = isJudged ? capacity.memoryVerdict(result) : undefined;
    report.memory.push({ result, ...(verdict !== undefined && { verdict }) });
    say(`${MEMORY_LINE}, ${result.server}: ${(result.rssBytes / 1e9).toFixed(2)} GB`);
  }
}

async function measureCompaction(options: Options, report: BenchReport): Promise<void> {
  if (!chosen(options)(COMPACTION_LINE)) return;
  const scale = options.quick ? 0.25 : 1;
  const load = { ...COMPACTION, records: COMPACTION.records * scale, seconds: COMPACTION.seconds * scale };
  for (const program of options.candidate === "redis"
    ? (["redis"] as const)
    : (["redis", "node-x"] as const)) {
    const result = await alone(startServers[program]("log"), (server) =>
      capacity.measureCompaction(server, capacity.rewriting, load),
    );
    const verdict = program === options.candidate ? capacity.compactionVerdict(result) : undefined;
    report.compaction.push({ result, ...(verdict !== undefined && { verdict }) });
    const { p999Ms, maxMs } = result.compacting;
    say(`${COMPACTION_LINE}, ${result.server}: p99.9 ${p999Ms.toFixed(1)} ms, max ${maxMs.toFixed(1)} ms`);
  }
}

export async function benchDht(argv: string[]): Promise<number> {
  if (asksForHelp(argv)) {
    console.log(["Compare the dht node with redis-server", "", "Options", ...flagHelp(flags)].join("\n"));
    return 0;
  }
  const given = parseFlags(flags, argv, "bun run bench dht");
  const options: Options = given.quick
    ? { ...given, rounds: 1, seconds: Math.min(given.seconds, 0.5) }
    : given;
  const names = [...comparedLines.map(lineName), MEMORY_LINE, COMPACTION_LINE];
  if (options.list) {
    console.log(names.filter(chosen(options)).join("\n"));
    return 0;
  }
  await ensurePrograms(
    ["redis-server", "redis-tools"].map((name) => ({ program: programOf(name), package: name })),
  );
  await ensureExecutable();
  mkdirSync(benchDirectory, { recursive: true });
  const report: BenchReport = {
    command: ["bun run bench dht", ...argv].join(" "),
    candidate: options.candidate,
    startedAt: new Date().toISOString(),
    machine: describeMachine(benchDirectory),
    versions: versions(),
    rounds: options.rounds,
    lines: [],
    memory: [],
    compaction: [],
  };
  if (isNoisy(report.machine))
    say(`the load average is ${report.machine.loadAverage.toFixed(1)}: figures will be noisy`);
  await compareLines(options, report);
  await measureMemory(options, report);
  await measureCompaction(options, report);
  return publish(report);
}

function programOf(debianPackage: string): string {
  return debianPackage === "redis-tools" ? "redis-benchmark" : debianPackage;
}

function publish(report: BenchReport): number {
  writeFileSync(join(benchDirectory, "dht.json"), `${JSON.stringify(report, null, 2)}\n`);
  const text = markdown(report);
  writeFileSync(join(benchDirectory, "dht.md"), text);
  console.log(`\n${text}`);
  const verdicts = allVerdicts(report);
  const count = (outcome: string) => verdicts.filter((verdict) => verdict.outcome === outcome).length;
  const failed = count("FLOOR FAILED");
  console.log(
    `${count("goal reached")} goals reached, ${count("floor held")} only floors held, ${failed} floors failed`,
  );
  const measured = report.lines.length + report.memory.length + report.compaction.length;
  return failed > 0 || measured === 0 ? 1 : 0;
}
