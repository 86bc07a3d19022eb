/** System calls that Bun does not offer: file locks, the service manager's datagram and its clock (native/system.c). */
import { link } from "./library.ts";

const symbols = {
  nx_file_lock: { args: ["i32"], returns: "i32" },
  nx_monotonic_us: { args: [], returns: "u64" },
  nx_signal_at_parent_death: { args: ["i32"], returns: "i32" },
  nx_notify: { args: ["ptr", "usize", "ptr", "usize"], returns: "i32" },
} as const;

let linked: ReturnType<typeof link<typeof symbols>> | undefined;
const native = () => (linked ??= link(symbols));

/**
 * Locks an open file for this process, without waiting. False when someone else holds the lock. The kernel drops it
 * when the descriptor is closed or the process dies.
 */
export function lockFile(fd: number): boolean {
  return native().nx_file_lock(fd) === 0;
}

/** Microseconds of CLOCK_MONOTONIC, which other processes of this host read too. */
export function monotonicUs(): number {
  return Number(native().nx_monotonic_us());
}

/** Asks the kernel for a signal when the parent process dies; it may come several times. False where refused. */
export function signalAtParentDeath(signal: number): boolean {
  return native().nx_signal_at_parent_death(signal) === 0;
}

/** Sends `state` (`READY=1`, `STATUS=…`) to the manager behind `socketPath`; false when nobody takes it. */
export function notifyManager(socketPath: string, state: string): boolean {
  const path = Buffer.from(socketPath);
  const message = Buffer.from(state);
  return native().nx_notify(path, path.byteLength, message, message.byteLength) === 0;
}
