/** Plans that change no release: start, stop and restart what is deployed, go back to an earlier release. */
import { NxError } from "../../core/errors.ts";
import type { Inventory } from "../agent/messages.ts";
import type { PlannedInstance } from "../rollout/steps.ts";
import type { Instance } from "../topology/types.ts";
import { isRunning, plannedOf } from "./deploy-plan.ts";

export type RunVerb = "stop" | "restart";

/** Instances with something to do, in start order. What was never deployed on its host is left out. */
export function planRun(
  verb: RunVerb,
  selected: readonly Instance[],
  inventories: ReadonlyMap<string, Inventory>,
): PlannedInstance[] {
  return selected.flatMap((instance) => {
    const state = stateOf(instance, inventories);
    if (state === undefined) return [];
    if (verb === "stop") return isRunning(state) ? [plannedOf(instance, state, "stop")] : [];
    return [plannedOf(instance, state, isRunning(state) ? "restart" : "start")];
  });
}

export interface Candidate {
  release: string;
  createdAtMs: number;
  madeBy: string;
  version: string;
  isBad: boolean;
  isCurrent: boolean;
  /** Hosts that have it. */
  hosts: string[];
}

/** Every release that a host has, the newest first. */
export function candidatesOf(inventories: ReadonlyMap<string, Inventory>): Candidate[] {
  const byId = new Map<string, Candidate>();
  for (const [host, { releases, currentRelease }] of inventories) {
    for (const { id, createdAtMs, madeBy, version, isBad } of releases) {
      const known = byId.get(id) ?? {
        release: id,
        createdAtMs,
        madeBy,
        version,
        isBad: false,
        isCurrent: false,
        hosts: [],
      };
      known.hosts.push(host);
      known.isBad ||= isBad;
      known.isCurrent ||= currentRelease === id;
      byId.set(id, known);
    }
  }
  return [...byId.values()].sort((a, b) => b.createdAtMs - a.createdAtMs);
}

/** The release to go back to: the one asked for, else the newest good one that all hosts have and that is not current. */
export function rollbackTarget(
  inventories: ReadonlyMap<string, Inventory>,
  asked: string | undefined,
): Candidate {
  const candidates = candidatesOf(inventories);
  const everywhere = candidates.filter(({ hosts }) => hosts.length === inventories.size);
  const current = Math.max(
    ...candidates.filter(({ isCurrent }) => isCurrent).map(({ createdAtMs }) => createdAtMs),
  );
  const found =
    asked === undefined
      ? everywhere.find(({ isBad, isCurrent, createdAtMs }) => !isBad && !isCurrent && createdAtMs < current)
      : everywhere.find(({ release }) => release === asked);
  if (found !== undefined) return found;
  const names = candidates.map(
    ({ release, hosts, isBad }) => `${release} (on ${hosts.length} of ${inventories.size}${isBad ? ", bad" : ""})`,
  );
  throw new NxError(
    "NX_RELEASE_UNKNOWN",
    asked === undefined
      ? "there is no earlier good release that all hosts have"
      : `not every host has ${asked}`,
    { hint: names.length === 0 ? "nothing was deployed yet" : `there are ${names.join(", ")}` },
  );
}

export function planRollback(
  target: string,
  selected: readonly Instance[],
  inventories: ReadonlyMap<string, Inventory>,
): PlannedInstance[] {
  return selected.flatMap((instance) => {
    const state = stateOf(instance, inventories);
    if (state === undefined) return [];
    const isThere = state.activeRelease === target && (state.runningRelease ?? target) === target;
    return isThere && isRunning(state) ? [] : [plannedOf(instance, state, isThere ? "start" : "replace")];
  });
}

function stateOf({ name, host }: Instance, inventories: ReadonlyMap<string, Inventory>) {
  return inventories.get(host)?.instances.find(({ service }) => service.instance === name);
}
