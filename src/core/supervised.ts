/**
 * The child's side of a supervisor that is not systemd: it ends when its supervisor does, however that ended.
 *
 * The supervisor puts its pid into the environment; the child then asks the kernel for SIGTERM at its parent's death.
 */
import { terminateWithParent } from "../native/system.ts";

export const SUPERVISOR_VARIABLE = "NODE_X_SUPERVISOR_PID";

/**
 * From here on the process ends with the supervisor that the environment names. False when that is gone already; true
 * also without any supervisor.
 */
export function endWithSupervisor(environment: Record<string, string | undefined>): boolean {
  const supervisor = environment[SUPERVISOR_VARIABLE];
  if (supervisor === undefined) return true;
  terminateWithParent();
  // Only now: had it died between the fork and the request, nobody would tell us.
  return String(process.ppid) === supervisor;
}
