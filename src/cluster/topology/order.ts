/**
 * In which order roles start, and which roles need each other. Stopping goes the other way round.
 *
 * Each line is one family: a role's servers connect to those of the roles before it. Nothing breaks when the order is
 * not kept (servers retry), it only takes longer, and logs are full of complaints.
 */
import type { Instance } from "./types.ts";

export interface StartOrder {
  /** Roles in the order in which they start. */
  roles: readonly string[];
  /** A prefix with one of the roles must have all of them. */
  isComplete: boolean;
}

export const startOrders: readonly StartOrder[] = [
  { roles: ["archive", "proxy", "storage"], isComplete: true },
  { roles: ["tss", "shard", "frontend"], isComplete: true },
  { roles: ["regserver", "lookup"], isComplete: true },
  { roles: ["replica", "worker", "sender"], isComplete: false },
];

/**
 * Instances in start order: families as declared, then roles of no family as `roleNames` has them; within a role by
 * number and replica.
 */
export function inStartOrder<Item extends Pick<Instance, "role" | "index" | "replica">>(
  instances: readonly Item[],
  roleNames: readonly string[],
  orders: readonly StartOrder[] = startOrders,
): Item[] {
  const ranked = [...orders.flatMap(({ roles }) => roles), ...roleNames];
  const rank = ({ role }: Item) => ranked.indexOf(role);
  return instances.toSorted(
    (a, b) => rank(a) - rank(b) || a.index - b.index || (a.replica ?? 0) - (b.replica ?? 0),
  );
}

/**
 * Instances in steps: those of one step may start at the same time, each step waits for the one before it. Roles of
 * no family are all in one step.
 */
export function startSteps<Item extends Pick<Instance, "role" | "index" | "replica">>(
  instances: readonly Item[],
  roleNames: readonly string[],
  orders: readonly StartOrder[] = startOrders,
): Item[][] {
  const depth = ({ role }: Item) => Math.max(0, ...orders.map(({ roles }) => roles.indexOf(role)));
  const steps: Item[][] = [];
  for (const item of inStartOrder(instances, roleNames, orders)) (steps[depth(item)] ??= []).push(item);
  return steps.filter((step) => step !== undefined);
}

/** The roles that the prefix lacks, each with the role that needs it. */
export function missingRoles(
  present: ReadonlySet<string>,
  orders: readonly StartOrder[] = startOrders,
): { role: string; neededBy: string }[] {
  return orders
    .filter(({ isComplete }) => isComplete)
    .flatMap(({ roles }) => {
      const neededBy = roles.find((role) => present.has(role));
      if (neededBy === undefined) return [];
      return roles.filter((role) => !present.has(role)).map((role) => ({ role, neededBy }));
    });
}
