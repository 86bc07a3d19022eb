/**
 * The floors and goals of the dht node in one table, and the verdict of a figure.
 *
 * A floor that is not held fails the run; a goal that is not reached is marked. Ratios are node-x to redis-server under
 * the same load.
 */
import type { Load } from "./redis-benchmark.ts";

export type Figure = "throughput" | "cpu" | "p99";

export interface Limit {
  name: string;
  better: "higher" | "lower";
  floor: number;
  goal?: number;
}

export interface RatioGoal extends Limit {
  figure: Figure;
  /** `memory`: nothing kept on both sides; `durable`: every write synced before its reply on both sides. */
  kind: "memory" | "durable";
  applies(load: Load): boolean;
}

export const ratioGoals: readonly RatioGoal[] = [
  {
    name: "pipeline 1 throughput",
    kind: "memory",
    figure: "throughput",
    better: "higher",
    floor: 0.95,
    applies: ({ pipeline }) => pipeline === 1,
  },
  {
    name: "pipeline 1 CPU per request",
    kind: "memory",
    figure: "cpu",
    better: "lower",
    floor: 1,
    goal: 0.75,
    applies: ({ pipeline }) => pipeline === 1,
  },
  {
    name: "pipeline 16 SET throughput",
    kind: "memory",
    figure: "throughput",
    better: "higher",
    floor: 1.5,
    goal: 2.2,
    applies: ({ pipeline, operation }) => pipeline === 16 && operation === "set",
  },
  {
    name: "pipeline 16 GET throughput",
    kind: "memory",
    figure: "throughput",
    better: "higher",
    floor: 1.2,
    goal: 1.5,
    applies: ({ pipeline, operation }) => pipeline === 16 && operation === "get",
  },
  { name: "p99", kind: "memory", figure: "p99", better: "lower", floor: 1.1, applies: () => true },
  {
    name: "durable pipeline 1 SET throughput",
    kind: "durable",
    figure: "throughput",
    better: "higher",
    floor: 1,
    goal: 1.2,
    applies: ({ pipeline }) => pipeline === 1,
  },
  {
    name: "durable pipeline 16 SET throughput",
    kind: "durable",
    figure: "throughput",
    better: "higher",
    floor: 1.5,
    goal: 2,
    applies: ({ pipeline }) => pipeline === 16,
  },
];

/** 10 M records of 16 B key and 64 B value. */
export const memoryGoal: Limit = {
  name: "resident memory in GB",
  better: "lower",
  floor: 2,
  goal: 1.5,
};

export const compactionGoal: Limit = {
  name: "p99.9 in ms during compaction",
  better: "lower",
  floor: 20,
};

export interface Verdict {
  name: string;
  value: number;
  floor: number;
  goal?: number;
  outcome: "goal reached" | "floor held" | "FLOOR FAILED";
}

export function judge(limit: Limit, value: number): Verdict {
  const { name, better, floor, goal } = limit;
  // NaN, a figure that could not be measured, holds nothing.
  const holds = (bound: number) => (better === "higher" ? value >= bound : value <= bound);
  const outcome = !holds(floor)
    ? "FLOOR FAILED"
    : goal === undefined || holds(goal)
      ? "goal reached"
      : "floor held";
  return { name, value, floor, ...(goal !== undefined && { goal }), outcome };
}

export function verdictText(verdict: Verdict): string {
  const { name, value, floor, goal, outcome } = verdict;
  if (outcome === "goal reached") return `${name}: ok`;
  const figure = value.toFixed(3);
  return outcome === "FLOOR FAILED"
    ? `**${name}: FLOOR FAILED** (${figure}, floor ${floor})`
    : `${name}: goal missed (${figure}, goal ${goal})`;
}
