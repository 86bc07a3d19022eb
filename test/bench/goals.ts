/**
 * The floors and goals of the dht node in one table. Ratios are node-x to redis-server under the same load.
 */
import type { Load } from "./redis-benchmark.ts";
import type { Limit } from "./verdict.ts";

export type Figure = "throughput" | "cpu" | "p99";

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
