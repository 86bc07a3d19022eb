/** One run of redis-benchmark, somebody else's load generator, with the CPU time that the server spent on it. */
import { CPU_TICKS_PER_SECOND, type BenchServer } from "./servers.ts";

export interface Load {
  operation: "set" | "get" | "lpush" | "rpop";
  valueBytes: number;
  pipeline: number;
}

export interface Sample {
  requests: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** The server's user and system time, all threads, divided by the requests. */
  cpuMicrosecondsPerRequest: number;
  /** The generator's share of one CPU: near 1 it is what limits the throughput. */
  generatorCpuShare: number;
}

export const CONNECTIONS = 50;
export const KEYS = 100_000;
/** redis-benchmark writes keys as this and twelve digits. */
export const KEY_PREFIX = "key:";

export async function redisBenchmark(server: BenchServer, load: Load, requests: number): Promise<Sample> {
  const words = [
    ["-h", "127.0.0.1", "-p", server.port],
    ["-c", CONNECTIONS, "-r", KEYS, "-n", requests],
    ["-d", load.valueBytes, "-P", load.pipeline, "-t", load.operation],
    ["--csv", "--precision", 3],
  ];
  const ticksBefore = server.cpuTicks();
  const startedMs = performance.now();
  const child = Bun.spawn(["redis-benchmark", ...words.flat().map(String)], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [csv, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const code = await child.exited;
  const seconds = (performance.now() - startedMs) / 1000;
  const cpuSeconds = (server.cpuTicks() - ticksBefore) / CPU_TICKS_PER_SECOND;
  if (code !== 0) throw new Error(`redis-benchmark against ${server.name} failed (${code}): ${errors}${csv}`);
  const generatorCpuSeconds = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
  return {
    requests,
    ...parseCsv(csv),
    cpuMicrosecondsPerRequest: (cpuSeconds * 1e6) / requests,
    generatorCpuShare: generatorCpuSeconds / seconds,
  };
}

/** A header line and one line of quoted fields. Throws when a column is missing. */
export function parseCsv(csv: string): Pick<Sample, "requestsPerSecond" | "p50Ms" | "p99Ms" | "maxMs"> {
  const rows = csv
    .trim()
    .split("\n")
    .filter((line) => line.startsWith('"'))
    .map((line) => line.slice(1, -1).split('","'));
  const [header = [], values = []] = rows.slice(-2);
  const column = (name: string) => {
    const value = Number(values[header.indexOf(name)]);
    if (!Number.isFinite(value)) throw new Error(`redis-benchmark printed no ${name}:\n${csv}`);
    return value;
  };
  return {
    requestsPerSecond: column("rps"),
    p50Ms: column("p50_latency_ms"),
    p99Ms: column("p99_latency_ms"),
    maxMs: column("max_latency_ms"),
  };
}
