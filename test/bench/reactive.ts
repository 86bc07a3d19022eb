/**
 * `bun run bench reactive`: one durable, replicated command, and one linearizable read, beside etcd.
 *
 * Both sides run 1 or 3 members as processes on this host, both sync before they answer, both are asked by the same
 * callers in this process, in turns. A command carries 64 bytes and is one log entry's worth on both sides; a read is
 * linearizable on both. etcd is asked over gRPC, our group through its own protocol: the generator's CPU is shown, because on
 * a small host it is a part of what is measured.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ensureExecutable, ensurePrograms } from "../../build.ts";
import {
  asksForHelp,
  defaultFlag,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
} from "../../src/core/load/flags.ts";
import { LatencyHistogram } from "../../src/core/load/histogram.ts";
import { milliseconds, thousands } from "../../src/core/load/table.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { GroupClient } from "../../src/reactive/replication/group-client.ts";
import { freePorts } from "../e2e/group-processes.ts";
import { median } from "./compare.ts";
import { startEtcdServer } from "./etcd-server.ts";
import { describeMachine, isNoisy } from "./machine.ts";
import { benchDirectory } from "./servers.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "5"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one measurement", "3"),
  callers: defaultFlag(integerFlag(1, 10_000), "N", "Callers at once", "64"),
});

const BODY = new Uint8Array(64).fill(118);
const executable = join(import.meta.dir, "../../dist/node-x");

/** A group that can be asked. */
interface Contender {
  name: string;
  command(caller: number): Promise<void>;
  read(caller: number): Promise<void>;
  stop(): Promise<void>;
}

interface Sample {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  generatorCpu: number;
}

async function startNodeX(members: number): Promise<Contender> {
  mkdirSync(benchDirectory, { recursive: true });
  const directory = mkdtempSync(join(benchDirectory, "tss-"));
  const ports = await freePorts(members);
  writeFileSync(
    join(directory, "bench.tss.config"),
    ports.map((port) => `host 127.0.0.1:${port}\n`).join(""),
  );
  const children = ports.map((_, index) =>
    Bun.spawn([executable, "run", "tss", "-c", "bench.tss.config", "-i", String(index)], {
      cwd: directory,
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(join(directory, `output.${index}.txt`)),
    }),
  );
  const group = new GroupClient({
    world: realWorld(),
    replicas: ports.map((port) => ({ host: "127.0.0.1", port })),
    group: "tss",
  });
  await group.command(BODY);
  return {
    name: `node-x, ${members}`,
    command: async () => void (await group.command(BODY)),
    read: async () => void (await group.query(new Uint8Array(0))),
    async stop() {
      group.close();
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(children.map((child) => child.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startEtcd(members: number): Promise<Contender> {
  const { client, stop } = await startEtcdServer(members);
  return {
    name: `etcd, ${members}`,
    command: (caller) => client.put(`bench${caller}`, BODY),
    read: async (caller) => void (await client.get(`bench${caller}`)),
    stop,
  };
}

async function measure(
  ask: (caller: number) => Promise<void>,
  callers: number,
  seconds: number,
): Promise<Sample> {
  const latencies = new LatencyHistogram();
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const cpuBefore = process.cpuUsage();
  const call = async (caller: number) => {
    while (performance.now() < endMs) {
      const sentMs = performance.now();
      await ask(caller);
      latencies.record(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  const tookSeconds = (performance.now() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const { count, p50Ms, p99Ms } = latencies.summary();
  return {
    perSecond: count / tookSeconds,
    p50Ms,
    p99Ms,
    generatorCpu: (cpu.user + cpu.system) / 1e6 / tookSeconds,
  };
}

export async function benchReactive(argv: string[]): Promise<number> {
  if (asksForHelp(argv)) {
    console.log(flagHelp(flags).join("\n"));
    return 0;
  }
  const { rounds, seconds, callers } = parseFlags(flags, argv, "bun run bench reactive");
  await ensurePrograms([{ program: "etcd", package: "etcd-server" }]);
  await ensureExecutable();
  const machine = describeMachine(benchDirectory.replace("/bench", ""));
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.disk}${isNoisy(machine) ? " (NOISY)" : ""}\n`,
  );
  console.log("| line | etcd /s | node-x /s | ratio | etcd p50/p99 ms | node-x p50/p99 ms | generator CPU |");
  console.log("|---|---:|---:|---:|---:|---:|---:|");
  let isHeld = true;
  for (const members of [1, 3]) {
    const [etcd, nodeX] = [await startEtcd(members), await startNodeX(members)];
    try {
      for (const kind of ["command", "read"] as const) {
        const samples = new Map<Contender, Sample[]>([
          [etcd, []],
          [nodeX, []],
        ]);
        for (let round = 0; round < rounds; round++) {
          const order = round % 2 === 0 ? [etcd, nodeX] : [nodeX, etcd];
          for (const each of order)
            samples.get(each)?.push(await measure((caller) => each[kind](caller), callers, seconds));
        }
        isHeld = line(`${kind}, ${members}`, samples.get(etcd) ?? [], samples.get(nodeX) ?? []) && isHeld;
      }
    } finally {
      await Promise.all([etcd.stop(), nodeX.stop()]);
    }
  }
  console.log(
    `\nfloor 1.0 x etcd with p99 no worse: ${isHeld ? "held" : "NOT HELD"}; medians of ${rounds} rounds`,
  );
  return isHeld ? 0 : 1;
}

/** Prints a line; returns whether the floors hold. */
function line(name: string, etcd: Sample[], nodeX: Sample[]): boolean {
  const of = (samples: Sample[], pick: (sample: Sample) => number) => median(samples.map(pick));
  const ratio = median(nodeX.map((sample, round) => sample.perSecond / (etcd[round] as Sample).perSecond));
  const latency = (samples: Sample[]) =>
    `${milliseconds(of(samples, ({ p50Ms }) => p50Ms))} / ${milliseconds(of(samples, ({ p99Ms }) => p99Ms))}`;
  const cpu = (samples: Sample[]) => of(samples, ({ generatorCpu }) => generatorCpu).toFixed(2);
  const rate = (samples: Sample[]) => thousands(of(samples, ({ perSecond }) => perSecond));
  console.log(
    `| ${name} | ${rate(etcd)} | ${rate(nodeX)} | ${ratio.toFixed(2)} | ${latency(etcd)} | ${latency(nodeX)} | ${cpu(etcd)} / ${cpu(nodeX)} |`,
  );
  return ratio >= 1 && of(nodeX, ({ p99Ms }) => p99Ms) <= of(etcd, ({ p99Ms }) => p99Ms);
}
