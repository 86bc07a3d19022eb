/** One family at one size: the simulation, and the arithmetic beside it. */
import type { Costs } from "./costs.ts";
import type { Family, Measured } from "./families.ts";
import { type Bound, boundsOf, type Load, type Outcome, simulate } from "./simulate.ts";

export const SEED = 1;
export const SIZES = [1, 10, 100, 1000] as const;
/** Requests that are counted: at least so many, and two of each caller. */
const REQUESTS_MIN = 4000;
const REQUESTS_EACH = 2;
/** A resource that is busy for more of the time than this is what saturates. */
const SATURATED = 0.95;

export interface Scaled extends Outcome {
  family: string;
  unit: string;
  hosts: number;
  /** Hosts that were simulated; the others are copies of them. */
  hostsSimulated: number;
  /** What the load asks for, where that is given and not whatever can be had. */
  asked: number | undefined;
  /** What saturates first; undefined when nothing does. */
  bottleneck: string | undefined;
  /** What each resource allows at most, the smallest first. */
  bounds: Bound[];
}

function run(load: Load, seed: number): Outcome {
  return simulate(load, { seed, requests: Math.max(REQUESTS_MIN, load.callers * REQUESTS_EACH) });
}

export function scaled(family: Family, hosts: number, costs: Costs, seed = SEED): Scaled {
  const hostsSimulated = Math.min(hosts, family.hostsSimulatedMax ?? hosts);
  const copies = hosts / hostsSimulated;
  const load = family.at(hostsSimulated, costs);
  const outcome = run(load, seed);
  return {
    ...{ family: family.name, unit: family.unit, hosts, hostsSimulated },
    ...outcome,
    unitsPerSecond: outcome.unitsPerSecond * copies,
    asked: load.thinkUs === 0 ? undefined : (load.callers * load.units * copies * 1e6) / load.thinkUs,
    bottleneck: bottleneckOf(outcome),
    bounds: boundsOf(load, seed).map(({ resource, unitsPerSecond }) => ({
      resource,
      unitsPerSecond: unitsPerSecond * copies,
    })),
  };
}

/** A group that always runs holds nobody up who does not ask one request after the other, so a queue counts first. */
function bottleneckOf({ used }: Outcome): string | undefined {
  const full = used.filter(({ share }) => share >= SATURATED);
  return (full.find(({ kind }) => kind === "queue") ?? full[0])?.resource;
}

export interface Compared {
  measured: Measured;
  simulated: number;
  /** Of the simulated figure from the measured one. */
  deviation: number;
}

export function compared(measured: Measured, costs: Costs, seed = SEED): Compared {
  const outcome = run(measured.load(costs), seed);
  const simulated = measured.figure?.of(outcome) ?? outcome.unitsPerSecond;
  return { measured, simulated, deviation: simulated / measured.value - 1 };
}
