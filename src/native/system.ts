/**
 * System calls that Bun does not offer: file locks, the service manager's datagram and its clock, settings of
 * sockets, holes in files, the length of devices, a write that tells whether it waited, a sleep of microseconds,
 * a thread's own processor time, a thread that lets others go first (native/system.c), and the end of connections
 * that were never answered (native/unanswered.c).
 */
import type { KeepAlive } from "../core/seams/net.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_file_lock: { args: ["i32"], returns: "i32" },
  nx_file_lock_posix: { args: ["i32"], returns: "i32" },
  nx_file_punch: { args: ["i32", "u64", "u64"], returns: "i32" },
  nx_file_write_now: { args: ["i32", "ptr", "u64", "u64"], returns: "i32" },
  nx_device_bytes: { args: ["i32"], returns: "i64" },
  nx_monotonic_us: { args: [], returns: "u64" },
  nx_signal_at_parent_death: { args: ["i32"], returns: "i32" },
  nx_socket_keepalive: { args: ["i32", "i32", "i32", "i32"], returns: "i32" },
  nx_socket_backlog: { args: ["i32", "i32"], returns: "i32" },
  nx_socket_unsent: { args: ["i32", "i32"], returns: "i32" },
  nx_socket_send: { args: ["i32", "ptr", "usize"], returns: "i32" },
  nx_thread_cpu_ms: { args: [], returns: "f64" },
  nx_thread_rest: { args: ["u32"], returns: "void" },
  nx_thread_stand_back: { args: ["i32", "i32", "u32"], returns: "i32" },
  nx_unanswered_close: { args: ["u32", "ptr", "u32", "ptr"], returns: "u32" },
  nx_notify: { args: ["ptr", "usize", "ptr", "usize"], returns: "i32" },
} as const;

const native = linked(symbols);

/**
 * Locks an open file for this process, without waiting. False when someone else holds the lock. The kernel drops it
 * when the descriptor is closed or the process dies. `isPosix`: a lock that programs see which know no flock.
 */
export function lockFile(fd: number, isPosix: boolean): boolean {
  return (isPosix ? native().nx_file_lock_posix(fd) : native().nx_file_lock(fd)) === 0;
}

/** Makes a hole in an open file or block device, which reads as zeros; false where that cannot be. */
export function punchHole(fd: number, offset: number, bytes: number): boolean {
  return native().nx_file_punch(fd, BigInt(offset), BigInt(bytes)) === 0;
}

/** Writes all of `bytes` before it returns: 0, 1 when the thread had to wait for something, or a negative errno. */
export function writeFileNow(fd: number, bytes: Uint8Array, offset: number): number {
  return native().nx_file_write_now(fd, bytes, bytes.byteLength, offset);
}

/** The length of a block device, or a negative errno. */
export function deviceBytes(fd: number): number {
  return Number(native().nx_device_bytes(fd));
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

/** Sets when the kernel gives up a silent peer; false where it refuses. */
export function setKeepAlive(fd: number, { idleSeconds, intervalSeconds, probes }: KeepAlive): boolean {
  return native().nx_socket_keepalive(fd, idleSeconds, intervalSeconds, probes) === 0;
}

/** Sets how many connections may wait at a socket that listens; the kernel has a limit of its own. */
export function setBacklog(fd: number, backlog: number): boolean {
  return native().nx_socket_backlog(fd, backlog) === 0;
}

/**
 * Sets how many bytes the kernel takes of a connection beyond those that its peer has room for. A listener hands the
 * setting on to what it accepts. False where the kernel refuses.
 */
export function setUnsentBytesMax(fd: number, bytes: number): boolean {
  return native().nx_socket_unsent(fd, bytes) === 0;
}

/** Sends what the kernel takes at once, at most 1 GiB. Returns how many bytes it took, or a negative errno. */
export function sendBytes(fd: number, bytes: Uint8Array): number {
  return native().nx_socket_send(fd, bytes, bytes.byteLength);
}

/** Which connections that were never sent anything are to be ended. */
export interface UnansweredRule {
  /** They were silent for so long, */
  silentMsMin: number;
  /** sent no more than so many bytes before, */
  receivedBytesMax: number;
  /** and the rules before this one leave more connections than so many. */
  connectedMin: number;
}

/**
 * Ends connections at a TCP port of this thread that were never sent anything, by rules that are applied in their order.
 * Tells how many each of them ended, and how many connections there were in all.
 */
export function closeUnanswered(
  port: number,
  rules: readonly UnansweredRule[],
): { closed: number[]; connected: number } {
  const words = rules.flatMap((rule) => [rule.silentMsMin, rule.receivedBytesMax, rule.connectedMin]);
  const closed = new Uint32Array(new ArrayBuffer(4 * rules.length));
  const connected = native().nx_unanswered_close(port, Uint32Array.from(words), rules.length, closed);
  return { closed: [...closed], connected };
}

/** Stops this thread for that long. */
export function restThread(microseconds: number): void {
  native().nx_thread_rest(microseconds);
}

/** Milliseconds of a processor that this thread has taken since its start. */
export function threadCpuMs(): number {
  return native().nx_thread_cpu_ms();
}

/**
 * Has another thread of this process work in turns of so many microseconds that others may interrupt, and be nicer than this one.
 * Returns 0; 1 where this thread is not scheduled as usual, and nothing was done; or a negative errno.
 */
export function standBack(thread: number, nicer: number, turnUs: number): number {
  return native().nx_thread_stand_back(thread, nicer, turnUs);
}
