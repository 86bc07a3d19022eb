/**
 * A queueing network, event by event: callers that ask again when they are answered, stations where requests wait.
 *
 * A station is a *queue* (so many servers, first come first served) or a *group* (what waits when a run begins is done by that one
 * run, as a sync of a log is). A step may also be several paths at once, of which the longest counts (a commit on all replicas).
 * Service times vary by half around their mean, from one seed.
 *
 * Invariant: the outcome is a function of its arguments. Time is that of core's scheduler; nothing real is waited for.
 */
import type { Random } from "../core/seams/random.ts";
import { Scheduler } from "../core/sim/scheduler.ts";

export interface Station {
  name: string;
  kind: "queue" | "group";
  servers: number;
  /** What of the real world it stands for, for tables: all stations of one resource are one line. */
  resource: string;
}

export type Step = { at: Station; us: number } | { all: readonly (readonly Step[])[] };

export interface Load {
  callers: number;
  /** Between an answer and the next request of the same caller. */
  thinkUs: number;
  stations: readonly Station[];
  steps(caller: number, random: Random): readonly Step[];
  /** Units (requests, bytes, records) that one request of the simulation stands for. */
  units: number;
}

export interface Used {
  resource: string;
  kind: Station["kind"];
  share: number;
}

export interface Outcome {
  unitsPerSecond: number;
  p50Us: number;
  p99Us: number;
  /** How busy the busiest station of each resource was, the busiest first. */
  used: Used[];
  events: number;
}

interface Place {
  station: Station;
  waiting: { us: number; done: () => void }[];
  /** Of `waiting`, those before it were served. */
  head: number;
  busy: number;
  busyUs: number;
}

class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #places = new Map<Station, Place>();

  constructor(scheduler: Scheduler, stations: readonly Station[]) {
    this.#scheduler = scheduler;
    this.#random = scheduler.fork();
    for (const station of stations)
      this.#places.set(station, { station, waiting: [], head: 0, busy: 0, busyUs: 0 });
  }

  get places(): Iterable<Place> {
    return this.#places.values();
  }

  /** Begins to count anew. */
  reset(): void {
    for (const place of this.#places.values()) place.busyUs = 0;
  }

  walk(steps: readonly Step[], done: () => void, index = 0): void {
    const step = steps[index];
    if (step === undefined) return done();
    const next = () => this.walk(steps, done, index + 1);
    if ("at" in step) return this.#arrive(step.at, step.us, next);
    let left = step.all.length;
    if (left === 0) return next();
    for (const path of step.all)
      this.walk(path, () => {
        left -= 1;
        if (left === 0) next();
      });
  }

  #arrive(station: Station, us: number, done: () => void): void {
    const place = this.#places.get(station) as Place;
    place.waiting.push({ us: us * (0.5 + this.#random.float()), done });
    this.#serve(place);
  }

  #serve(place: Place): void {
    while (place.busy < place.station.servers && place.head < place.waiting.length) {
      const count = place.station.kind === "group" ? place.waiting.length - place.head : 1;
      const served = place.waiting.slice(place.head, place.head + count);
      place.head += count;
      if (place.head > 1024 && place.head * 2 > place.waiting.length)
        [place.waiting, place.head] = [place.waiting.slice(place.head), 0];
      const { us } = served[0] as { us: number };
      place.busy += 1;
      this.#scheduler.after(us / 1000, () => {
        place.busy -= 1;
        place.busyUs += us;
        for (const { done } of served) done();
        this.#serve(place);
      });
    }
  }
}

/** Requests of each caller that are not counted: all begin at once. */
const WARM_UP = 1;

/** Runs until `requests` were counted. */
export function simulate(load: Load, { seed, requests }: { seed: number; requests: number }): Outcome {
  const scheduler = new Scheduler(seed);
  const random = scheduler.fork();
  const network = new Network(scheduler, load.stations);
  const latencies: number[] = [];
  const ended = Promise.withResolvers<void>();
  let [startMs, endMs, finished] = [0, 0, 0];
  const skipped = load.callers * WARM_UP;
  const answered = (beganMs: number) => {
    finished += 1;
    if (finished === skipped) {
      startMs = scheduler.timeMs;
      network.reset();
    }
    if (finished <= skipped || endMs > 0) return;
    latencies.push((scheduler.timeMs - beganMs) * 1000);
    if (latencies.length < requests) return;
    endMs = scheduler.timeMs;
    ended.resolve();
  };
  const ask = (caller: number) => {
    const beganMs = scheduler.timeMs;
    network.walk(load.steps(caller, random), () => {
      answered(beganMs);
      scheduler.after((load.thinkUs * (0.5 + random.float())) / 1000, () => ask(caller));
    });
  };
  for (let caller = 0; caller < load.callers; caller++)
    scheduler.after((load.thinkUs * random.float()) / 1000, () => ask(caller));
  scheduler.run(() => ended.promise);
  const seconds = (endMs - startMs) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
  return {
    unitsPerSecond: (latencies.length * load.units) / seconds,
    p50Us: at(0.5),
    p99Us: at(0.99),
    used: usedOf(network, seconds),
    events: scheduler.executed,
  };
}

function usedOf(network: Network, seconds: number): Outcome["used"] {
  const used = new Map<string, Used>();
  for (const { station, busyUs } of network.places) {
    const { resource, kind, servers } = station;
    // What was begun before the counting ends within it.
    const share = Math.min(1, busyUs / 1e6 / seconds / servers);
    used.set(resource, { resource, kind, share: Math.max(used.get(resource)?.share ?? 0, share) });
  }
  return [...used.values()].sort((a, b) => b.share - a.share);
}

export interface Bound {
  resource: string;
  unitsPerSecond: number;
}

/**
 * The arithmetic beside the simulation: what each resource allows at most, were it used by nothing else and evenly; the
 * smallest first. A group has no such bound: a run takes whatever waits.
 */
export function boundsOf(load: Load, seed: number): Bound[] {
  const random = new Scheduler(seed).fork();
  const sums = new Map<string, { us: number; servers: number }>();
  const sumOf = (resource: string) => {
    let sum = sums.get(resource);
    if (sum === undefined) sums.set(resource, (sum = { us: 0, servers: 0 }));
    return sum;
  };
  for (const { kind, resource, servers } of load.stations)
    if (kind === "queue") sumOf(resource).servers += servers;
  const add = (steps: readonly Step[]): void => {
    for (const step of steps) {
      if ("all" in step) step.all.forEach(add);
      else if (step.at.kind === "queue") sumOf(step.at.resource).us += step.us;
    }
  };
  for (let caller = 0; caller < load.callers; caller++) add(load.steps(caller, random));
  return [...sums]
    .filter(([, { us }]) => us > 0)
    .map(([resource, { us, servers }]) => ({
      resource,
      unitsPerSecond: (servers * 1e6 * load.units * load.callers) / us,
    }))
    .sort((a, b) => a.unitsPerSecond - b.unitsPerSecond);
}
