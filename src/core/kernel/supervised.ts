/**
 * The child's side of a supervisor that is not systemd: it stops when its supervisor dies, however that happened.
 *
 * The supervisor puts its pid into the environment; the child asks the kernel for a signal at its parent's death. That
 * signal may come more than once, so it is not one of those whose repetition forces the end.
 */
import { constants } from "node:os";
import { signalAtParentDeath } from "../../native/system.ts";

export const SUPERVISOR_VARIABLE = "NODE_X_SUPERVISOR_PID";

/**
 * Calls `onDeath` once when the supervisor that the environment names is gone (at once, if it is already). Without one
 * nothing happens. Returns how to stop watching.
 */
export function watchSupervisor(
  environment: Record<string, string | undefined>,
  onDeath: () => void,
): () => void {
  const supervisor = environment[SUPERVISOR_VARIABLE];
  if (supervisor === undefined) return () => {};
  let isDead = false;
  const look = () => {
    if (isDead || String(process.ppid) === supervisor) return;
    isDead = true;
    onDeath();
  };
  process.on("SIGUSR2", look);
  signalAtParentDeath(constants.signals.SIGUSR2);
  look(); // it may have died before the request
  return () => process.off("SIGUSR2", look);
}
