/**
 * Tells the service manager (systemd or one that speaks its protocol) how the process is: sd_notify(3).
 *
 * The watchdog datagram is sent from the event loop, so a loop that is stuck stops sending and is killed and restarted.
 */
import { monotonicUs, notifyManager } from "../../native/system.ts";
import type { Clock, Timer } from "../seams/clock.ts";
import { escapeControls } from "../logging/log.ts";

const STATUS_LENGTH_MAX = 512;
/** From each sign of progress on, this long without another is still a start and not a hang. */
const START_EXTENSION_US = 60_000_000;

export interface ServiceManager {
  ready(status: string): void;
  /** `isStarting`: also asks for more time to start, because something moves. */
  status(text: string, isStarting?: boolean): void;
  reloading(): void;
  stopping(): void;
  close(): void;
}

/** `environment` is the process's; without NOTIFY_SOCKET everything is a no-op. */
export function connectServiceManager(
  environment: Record<string, string | undefined>,
  clock: Clock,
): ServiceManager {
  const socketPath = environment.NOTIFY_SOCKET;
  const send = (state: string) => {
    if (socketPath !== undefined) notifyManager(socketPath, state);
  };
  const line = (text: string) => escapeControls(text).slice(0, STATUS_LENGTH_MAX);
  let watchdog: Timer | undefined;
  const timeoutUs = Number(environment.WATCHDOG_USEC);
  const isForUs = environment.WATCHDOG_PID === undefined || Number(environment.WATCHDOG_PID) === process.pid;
  if (socketPath !== undefined && timeoutUs > 0 && isForUs) {
    watchdog = clock.every(timeoutUs / 1000 / 2, () => send("WATCHDOG=1"));
  }
  return {
    ready: (status) => send(`READY=1\nSTATUS=${line(status)}`),
    status: (text, isStarting = false) =>
      send(`STATUS=${line(text)}${isStarting ? `\nEXTEND_TIMEOUT_USEC=${START_EXTENSION_US}` : ""}`),
    reloading: () => send(`RELOADING=1\nMONOTONIC_USEC=${monotonicUs()}`),
    stopping: () => send("STOPPING=1"),
    close: () => watchdog?.cancel(),
  };
}
