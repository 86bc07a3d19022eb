/** The arithmetic of the comparison, and one real sample. No figure is asserted: those depend on the machine. */
import { describe, expect, test } from "bun:test";
import { compactionVerdict, CompactionWatch, memoryVerdict, type CompactionResult } from "./capacity.ts";
import { contender, lineName, median, verdictsOf, type Line } from "./compare.ts";
import { comparedLines } from "./dht.ts";
import { ratioGoals } from "./goals.ts";
import { parseCsv, redisBenchmark, type Sample } from "./redis-benchmark.ts";
import { allVerdicts, markdown, type BenchReport } from "./report.ts";
import { startServers } from "./servers.ts";
import { judge, verdictText } from "./verdict.ts";

function sample(requestsPerSecond: number, cpuMicrosecondsPerRequest = 1, p99Ms = 1): Sample {
  return {
    requests: 1,
    requestsPerSecond,
    p50Ms: 1,
    p99Ms,
    maxMs: 1,
    cpuMicrosecondsPerRequest,
    generatorCpuShare: 1,
  };
}

const line: Line = { kind: "memory", operation: "set", valueBytes: 64, pipeline: 16 };

describe("a verdict", () => {
  const higher = { name: "x", better: "higher", floor: 1.5, goal: 2.2 } as const;
  const lower = { name: "x", better: "lower", floor: 1, goal: 0.75 } as const;
  test.each([
    [higher, 2.2, "goal reached"],
    [higher, 2.19, "floor held"],
    [higher, 1.5, "floor held"],
    [higher, 1.49, "FLOOR FAILED"],
    [lower, 0.75, "goal reached"],
    [lower, 0.76, "floor held"],
    [lower, 1, "floor held"],
    [lower, 1.01, "FLOOR FAILED"],
    [higher, Number.NaN, "FLOOR FAILED"],
    [lower, Number.NaN, "FLOOR FAILED"],
  ] as const)("of %j for %d is: %s", (limit, value, outcome) => {
    expect(judge(limit, value).outcome).toBe(outcome);
  });

  test("without a goal is reached when the floor is held", () => {
    expect(judge({ name: "p99", better: "lower", floor: 1.1 }, 1.1).outcome).toBe("goal reached");
  });

  test("names the figure and the bound that it missed", () => {
    expect(verdictText(judge(higher, 1.2))).toContain("1.200, floor 1.5");
    expect(verdictText(judge(higher, 1.8))).toContain("1.800, goal 2.2");
  });
});

describe("the comparison", () => {
  test("every goal is judged by some line, and every line is judged or reported for what it is", () => {
    for (const goal of ratioGoals)
      expect(comparedLines.some((one) => one.kind === goal.kind && goal.applies(one))).toBe(true);
    expect(new Set(comparedLines.map(lineName)).size).toBe(comparedLines.length);
    expect(comparedLines).toHaveLength(18);
  });

  test("takes the median of the ratios of each round, not the ratio of medians", () => {
    const reference = [100, 200, 400].map((rps) => sample(rps));
    const candidate = contender(
      "node-x",
      [300, 200, 800].map((rps) => sample(rps)),
      reference,
    );
    expect(candidate.ratios.throughput).toBe(2);
    expect(candidate.median.requestsPerSecond).toBe(300);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  test("judges each figure against the goals of its line", () => {
    const candidate = contender("node-x", [sample(160, 0.9, 2)], [sample(100, 1, 1)]);
    const verdicts = Object.fromEntries(verdictsOf(line, candidate).map((one) => [one.name, one.outcome]));
    expect(verdicts).toEqual({ "pipeline 16 SET throughput": "floor held", p99: "FLOOR FAILED" });
    expect(verdictsOf({ ...line, kind: "durable", pipeline: 64 }, candidate)).toEqual([]);
  });

  test("reads what redis-benchmark prints, and refuses what it cannot read", () => {
    const csv =
      '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"\n' +
      '"SET","98039.22","0.266","0.080","0.263","0.343","0.471","1.031"\n';
    expect(parseCsv(csv)).toEqual({ requestsPerSecond: 98_039.22, p50Ms: 0.263, p99Ms: 0.471, maxMs: 1.031 });
    expect(() => parseCsv('"test","rps"\n"SET","1"\n')).toThrow("p50_latency_ms");
    expect(() => parseCsv("")).toThrow("rps");
  });

  test("measures a real server", async () => {
    const server = await startServers.redis("memory");
    try {
      const measured = await redisBenchmark(server, line, 20_000);
      expect(measured.requestsPerSecond).toBeGreaterThan(0);
      expect(measured.maxMs).toBeGreaterThanOrEqual(measured.p50Ms);
      expect(server.cpuTicks()).toBeGreaterThan(0);
      expect(server.rssBytes()).toBeGreaterThan(1e6);
    } finally {
      await server.stop();
    }
  });
});

describe("the watch over compactions", () => {
  /** Answers INFO with what the server would say at each look. */
  async function watched(looks: { running: boolean; count: number; latencies: number[] }[]) {
    let index = 0;
    const watch = new CompactionWatch(
      () =>
        Promise.resolve(
          `aof_rewrite_in_progress:${looks[index]?.running ? 1 : 0}\r\ncompactions:${looks[index]?.count}\r\n`,
        ),
      { provoke: () => Promise.resolve() },
    );
    for (; index < looks.length; index++) {
      for (const latencyMs of looks[index]?.latencies ?? []) watch.record(latencyMs);
      await watch.look();
    }
    return watch.histogram.count;
  }

  const idle = { running: false, count: 0, latencies: [] };
  test("counts what came before the look that first sees one, and until the look that sees it gone", async () => {
    const running = { running: true, count: 0, latencies: [1, 2] };
    const over = { running: false, count: 1, latencies: [3] };
    expect(await watched([idle, running, over, { ...over, latencies: [4, 5, 6] }])).toBe(3);
  });

  test("counts a compaction that began and ended between two looks", async () => {
    expect(await watched([idle, { running: false, count: 1, latencies: [9] }])).toBe(1);
  });

  test("counts nothing when none ran", async () => {
    expect(await watched([idle, { ...idle, latencies: [1, 2, 3] }])).toBe(0);
  });

  test("a run without a compaction holds no floor", () => {
    const { histogram } = new CompactionWatch(() => Promise.resolve(""), {
      provoke: () => Promise.resolve(),
    });
    const empty = histogram.summary();
    const result = { compactions: 0, whole: empty, compacting: empty } as CompactionResult;
    expect(compactionVerdict(result).outcome).toBe("FLOOR FAILED");
    histogram.record(5);
    expect(compactionVerdict({ ...result, compactions: 1, compacting: histogram.summary() }).outcome).toBe(
      "goal reached",
    );
  });
});

test("the Markdown has one row for each contender of each line, and says when the machine was not quiet", () => {
  const reference = contender("redis memory", [sample(100)], [sample(100)]);
  const candidate = contender("node-x memory", [sample(230)], [sample(100)]);
  const memory = { server: "node-x memory", records: 10_000_000, rssBytes: 2.5e9, bytesPerRecord: 240 };
  const report: BenchReport = {
    command: "bun run bench dht",
    candidate: "node-x",
    startedAt: "2026-01-01T00:00:00.000Z",
    machine: { cpu: "CPU", cores: 2, memoryBytes: 2 ** 34, kernel: "6.1", disk: "ext4", loadAverage: 3 },
    versions: { "node-x": "0.1.0" },
    rounds: 5,
    lines: [
      {
        line: lineName(line),
        load: line,
        reference,
        candidate,
        others: [candidate],
        verdicts: verdictsOf(line, candidate),
      },
    ],
    memory: [{ result: memory, verdict: memoryVerdict(memory) }],
    compaction: [],
  };
  const text = markdown(report);
  expect(text).toContain("| memory SET 64 B P16 | 100 | 230 | 2.30 |");
  expect(text.match(/^\| memory SET/gm)).toHaveLength(2);
  expect(text).toContain("FLOOR FAILED** (2.500, floor 2)");
  expect(text).toContain("Noisy");
  expect(allVerdicts(report)).toHaveLength(3);
});
