/**
 * A rollout as an explicit list of steps: what happens on which host, to which instance, in which order.
 *
 * Invariant: the list is plain data, made before anything is touched, and every step may be repeated. Stages
 * follow each other; within a stage lanes run beside each other; the steps of a lane follow each other. Each
 * lane replaces at most one instance, and between `arm` and `disarm` the host itself would put that instance
 * back if nobody went on. So after any beginning of the list each instance has its old release or the new
 * one.
 */
import type { Instance } from "../topology/types.ts";

export type StepKind =
  /** Blocks, files, self-test: the release is on the host and eligible. */
  | "upload"
  /** The host promises to undo what follows if the operator falls silent. */
  | "arm"
  /** SIGTERM: the instance stops taking work, finishes what it began, ends. */
  | "stop"
  | "swap"
  | "start"
  /** Ready, and healthy for as long as its policy says. */
  | "gate"
  | "disarm"
  /** An instance that is no longer of this host. */
  | "forget"
  /** The host's `current` link. */
  | "current"
  | "prune";

export interface Step {
  /** Position in the whole list; what the journal refers to. */
  number: number;
  kind: StepKind;
  host: string;
  instance?: string;
}

/** One instance, or one host. */
export interface Lane {
  host: string;
  instance?: string;
  steps: Step[];
}

export interface Stage {
  /** For people: `upload`, `wave 2 of 4: dht`. */
  title: string;
  lanes: Lane[];
}

export type Action = "replace" | "restart" | "start" | "stop" | "forget";

/** An instance with what is to be done to it. */
export interface PlannedInstance extends Pick<
  Instance,
  "name" | "role" | "host" | "group" | "index" | "rollout"
> {
  action: Action;
  /** The release that it has; undefined when it has none. */
  from?: string;
  isRunning: boolean;
  /** Of its group, by its own word: it comes last, so that leadership moves once. */
  isLeader: boolean;
}

export interface RolloutPlan {
  operation: string;
  prefix: string;
  /** Undefined for a plan that only starts and stops. */
  release?: string;
  /** Hosts that get the release. */
  hosts: string[];
  /** In start order. */
  instances: PlannedInstance[];
  stages: Stage[];
}

const lanes: Record<Action, StepKind[]> = {
  replace: ["arm", "stop", "swap", "start", "gate", "disarm"],
  restart: ["stop", "start", "gate"],
  start: ["start", "gate"],
  stop: ["stop"],
  forget: ["forget"],
};

export interface PlanInput {
  operation: string;
  prefix: string;
  release?: string;
  hosts: readonly string[];
  /** In start order; those with nothing to do are left out. */
  instances: readonly PlannedInstance[];
  /** False: `current` stays, as not all instances were asked for. */
  isWhole: boolean;
}

/** Turns what is to be done into the list of steps. A pure function. */
export function planSteps(input: PlanInput): RolloutPlan {
  const { operation, prefix, release, hosts, instances, isWhole } = input;
  const stages: {
    title: string;
    lanes: Omit<Lane, "steps">[];
    kindsOf(lane: Omit<Lane, "steps">): StepKind[];
  }[] = [];
  const hostLanes = hosts.map((host) => ({ host }));
  if (release !== undefined && hosts.length > 0) {
    stages.push({ title: "upload", lanes: hostLanes, kindsOf: () => ["upload"] });
  }
  const actionOf = new Map(instances.map(({ name, action }) => [name, action]));
  for (const wave of wavesOf(instances)) {
    stages.push({
      title: `${wave[0]?.action} ${[...new Set(wave.map(({ role }) => role))].join(", ")}`,
      lanes: wave.map(({ host, name }) => ({ host, instance: name })),
      kindsOf: ({ instance }) => lanes[actionOf.get(instance ?? "") ?? "start"],
    });
  }
  if (release !== undefined && hosts.length > 0 && isWhole) {
    stages.push({ title: "finish", lanes: hostLanes, kindsOf: () => ["current", "prune"] });
  }
  let number = 0;
  return {
    operation,
    prefix,
    ...(release !== undefined && { release }),
    hosts: [...hosts],
    instances: [...instances],
    stages: stages.map(({ title, lanes: bare, kindsOf }) => ({
      title,
      lanes: bare.map((lane) => ({
        ...lane,
        steps: kindsOf(lane).map((kind) => ({ ...lane, kind, number: number++ })),
      })),
    })),
  };
}

/**
 * Which instances go at the same time. Those that stop go first, backwards, then starts and replacements
 * forwards, role by role. What is down already harms nobody by going at once; what is up goes in waves: one
 * alone as the canary, then `unavailableMax` at a time, never two replicas of one group, leaders last.
 */
export function wavesOf(instances: readonly PlannedInstance[]): PlannedInstance[][] {
  const leaving = instances.filter(({ action }) => action === "stop" || action === "forget");
  const coming = instances.filter(({ action }) => action !== "stop" && action !== "forget");
  return [
    ...byRole(leaving.toReversed()),
    ...byRole(coming).flatMap((ofRole) => [
      ...nonEmpty(ofRole.filter(({ isRunning }) => !isRunning)),
      ...carefully(ofRole.filter(({ isRunning }) => isRunning)),
    ]),
  ];
}

function nonEmpty(instances: PlannedInstance[]): PlannedInstance[][] {
  return instances.length === 0 ? [] : [instances];
}

/** Neighbours of one role together. */
function byRole(instances: readonly PlannedInstance[]): PlannedInstance[][] {
  const groups: PlannedInstance[][] = [];
  for (const instance of instances) {
    const last = groups.at(-1);
    if (last?.[0]?.role === instance.role) last.push(instance);
    else groups.push([instance]);
  }
  return groups;
}

function carefully(instances: readonly PlannedInstance[]): PlannedInstance[][] {
  const waiting = [
    ...instances.filter(({ isLeader }) => !isLeader),
    ...instances.filter(({ isLeader }) => isLeader),
  ];
  const waves: PlannedInstance[][] = [];
  while (waiting.length > 0) {
    const size = waves.length === 0 ? 1 : Math.max(1, waiting[0]?.rollout.unavailableMax ?? 1);
    const wave: PlannedInstance[] = [];
    const groups = new Set<string>();
    for (const instance of [...waiting]) {
      const group = groupOf(instance);
      if (wave.length === size || groups.has(group)) continue;
      // A leader waits for all who follow.
      if (instance.isLeader && waiting.some(({ isLeader }) => !isLeader)) continue;
      wave.push(instance);
      groups.add(group);
      waiting.splice(waiting.indexOf(instance), 1);
    }
    waves.push(wave);
  }
  return waves;
}

/** Replicas of one group share it; any other instance is alone in its own. */
function groupOf({ group, role, index, name }: PlannedInstance): string {
  return group === undefined ? name : `${role}${index}`;
}

export function allSteps(plan: RolloutPlan): Step[] {
  return plan.stages.flatMap(({ lanes: ofStage }) => ofStage.flatMap(({ steps }) => steps));
}

/** By its own word in `/stats`: `<role>.isPrimary`. */
export function isLeader(stats: Record<string, unknown> | undefined, role: string): boolean {
  const own = stats?.[role];
  return typeof own === "object" && own !== null && (own as { isPrimary?: unknown }).isPrimary === true;
}
