/**
 * The processes of this host, as /proc shows them: which belong to something, and the end of one.
 *
 * A process is named by its pid and the moment it started, so a pid that the kernel gave to somebody else is never
 * taken for it. Processes of other users whose environment we may not read are not seen.
 */
import { readdirSync, readFileSync } from "node:fs";
import { errnoOf } from "./errors.ts";
import { sleep, type Clock } from "./seams/clock.ts";

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from the boot to its start. */
  startTicks: string;
}

const POLL_MS = 10;

/** The process that has this pid, or undefined when there is none (a zombie is none). */
export function processOf(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything; the fields follow the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    return state === "Z" || state === "X" || startTicks === undefined ? undefined : { pid, startTicks };
  } catch {
    return undefined;
  }
}

/** Every process whose environment has all of these variables with these values, and what `wanted` names of it. */
export function processesWith(
  variables: Record<string, string>,
  wanted: string,
): (ProcessIdentity & { value: string })[] {
  const found: (ProcessIdentity & { value: string })[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const environment = environmentOf(name);
    const isMatch = Object.entries(variables).every(([key, value]) => environment.get(key) === value);
    const identity = isMatch ? processOf(Number(name)) : undefined;
    if (identity !== undefined) found.push({ ...identity, value: environment.get(wanted) ?? "" });
  }
  return found;
}

function environmentOf(pid: string): Map<string, string> {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return new Map(
      entries.map(
        (entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)] as const,
      ),
    );
  } catch {
    return new Map();
  }
}

/** Sends a signal to exactly this process; false when it is gone. */
export function signalProcess({ pid, startTicks }: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (processOf(pid)?.startTicks !== startTicks) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
    throw error;
  }
}

/** Resolves when the process is gone; false when it is still there at the deadline. */
export async function untilGone(
  clock: Clock,
  identity: ProcessIdentity,
  timeoutMs: number,
): Promise<boolean> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  while (processOf(identity.pid)?.startTicks === identity.startTicks) {
    if (clock.monotonicMs() > deadlineMs) return false;
    await sleep(clock, POLL_MS);
  }
  return true;
}
