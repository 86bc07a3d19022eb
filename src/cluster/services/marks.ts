/**
 * How a process of a deployment is told from all others on its host: by two variables in its environment, the
 * deployment's root and the instance. They need no file that could be lost, and no name that another deployment could
 * have too.
 */
import { processesWith, type ProcessIdentity } from "../../core/processes.ts";

const DEPLOYMENT = "NODE_X_DEPLOYMENT_ROOT";
const INSTANCE = "NODE_X_DEPLOYMENT_INSTANCE";

export function marksOf(root: string, instance: string): Record<string, string> {
  return { [DEPLOYMENT]: root, [INSTANCE]: instance };
}

export interface InstanceProcess extends ProcessIdentity {
  instance: string;
}

/** The processes of a deployment, those that instances started themselves included. */
export function processesOf(root: string): InstanceProcess[] {
  return processesWith({ [DEPLOYMENT]: root }, INSTANCE).map(({ value, ...identity }) => ({
    ...identity,
    instance: value,
  }));
}
