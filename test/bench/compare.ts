/**
 * Lines of the comparison: one load against several servers, interleaved, the reference among them.
 *
 * In every round each server is measured once and the order turns, so that a slow moment of the machine hits all of
 * them. What counts is the median over the rounds of candidate / reference of the same round.
 */
import { ratioGoals, type Figure, type RatioGoal } from "./goals.ts";
import { redisBenchmark, type Load, type Sample } from "./redis-benchmark.ts";
import type { BenchServer } from "./servers.ts";
import { judge, type Verdict } from "./verdict.ts";

/** Before anything is measured, on all sides: what runs for days is compared, not how soon it is compiled. */
export const WARM_UP_SECONDS = 10;

export interface Line extends Load {
  kind: RatioGoal["kind"];
}

/** What is compared in one line. Verdicts are for `candidate`; `others` are only reported. */
export interface Field {
  reference: BenchServer;
  candidate: BenchServer;
  others: BenchServer[];
}

export interface Contender {
  server: string;
  samples: Sample[];
  /** Medians over the rounds. */
  median: Sample;
  /** Medians of the ratios to the reference of the same round. */
  ratios: Record<Figure, number>;
}

export interface LineResult {
  line: string;
  load: Line;
  reference: Contender;
  candidate: Contender;
  others: Contender[];
  verdicts: Verdict[];
}

const figures: Record<Figure, (sample: Sample) => number> = {
  throughput: (sample) => sample.requestsPerSecond,
  cpu: (sample) => sample.cpuMicrosecondsPerRequest,
  p99: (sample) => sample.p99Ms,
};

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function lineName({ kind, operation, valueBytes, pipeline }: Line): string {
  const size = valueBytes >= 1024 ? `${valueBytes / 1024} KiB` : `${valueBytes} B`;
  return `${kind} ${operation.toUpperCase()} ${size} P${pipeline}`;
}

export function contender(server: string, samples: Sample[], reference: Sample[]): Contender {
  const medianOf = (pick: (sample: Sample) => number) => median(samples.map(pick));
  const ratioOf = (pick: (sample: Sample) => number) =>
    median(samples.map((sample, round) => pick(sample) / pick(reference[round] as Sample)));
  const keys = Object.keys(samples[0] ?? {}) as (keyof Sample)[];
  return {
    server,
    samples,
    median: Object.fromEntries(
      keys.map((key) => [key, medianOf((sample) => sample[key])]),
    ) as unknown as Sample,
    ratios: {
      throughput: ratioOf(figures.throughput),
      cpu: ratioOf(figures.cpu),
      p99: ratioOf(figures.p99),
    },
  };
}

export function verdictsOf(load: Line, candidate: Contender): Verdict[] {
  return ratioGoals
    .filter((goal) => goal.kind === load.kind && goal.applies(load))
    .map((goal) => judge(goal, candidate.ratios[goal.figure]));
}

/** Requests that take the slower server about `seconds`. The runs that find it also warm up. */
async function calibrate(servers: readonly BenchServer[], load: Load, seconds: number): Promise<number> {
  const rates: number[] = [];
  for (const server of servers) {
    const rough = await redisBenchmark(server, load, 20_000 * Math.min(load.pipeline, 10));
    rates.push(rough.requestsPerSecond);
  }
  return Math.max(10_000, Math.round(Math.min(...rates) * seconds));
}

export async function compare(
  load: Line,
  field: Field,
  options: { rounds: number; seconds: number },
): Promise<LineResult> {
  const servers = [field.reference, field.candidate, ...field.others];
  const requests = await calibrate(servers, load, options.seconds);
  const samples = new Map<BenchServer, Sample[]>(servers.map((server) => [server, []]));
  for (let round = 0; round < options.rounds; round++) {
    const turn = round % servers.length;
    for (const server of [...servers.slice(turn), ...servers.slice(0, turn)])
      samples.get(server)?.push(await redisBenchmark(server, load, requests));
  }
  const of = (server: BenchServer) =>
    contender(server.name, samples.get(server) ?? [], samples.get(field.reference) ?? []);
  const candidate = of(field.candidate);
  return {
    line: lineName(load),
    load,
    reference: of(field.reference),
    candidate,
    others: field.others.map(of),
    verdicts: verdictsOf(load, candidate),
  };
}
