/**
 * Closes connections of an HTTP listener that never sent a whole request: the runtime's idle timeout does not see them,
 * and each takes one of the files that this process may have open.
 *
 * Invariant: no request that is being answered is cut. One that said nothing at all can have none; one that said
 * something may, so those are closed only while no request is under way.
 */
import { closeUnanswered, type UnansweredRule } from "../../native/system.ts";
import type { Log } from "../logging/log.ts";
import type { Clock, Timer } from "../seams/clock.ts";

const SWEEP_MS = 2000;
/** How long a connection may say nothing, and how long where there are many. */
const SILENT_MS = 10_000;
const MANY_SILENT_MS = 1000;
const MANY = 256;
/** How long it may be silent in the middle of a request's head. */
const HALF_MS = 20_000;

const silent: readonly UnansweredRule[] = [
  { silentMsMin: SILENT_MS, receivedBytesMax: 0, connectedMin: 0 },
  { silentMsMin: MANY_SILENT_MS, receivedBytesMax: 0, connectedMin: MANY },
];
const half: UnansweredRule = { silentMsMin: HALF_MS, receivedBytesMax: 0xffff_ffff, connectedMin: 0 };

interface HttpListener {
  readonly port?: number | undefined;
  readonly pendingRequests: number;
}

export function sweepUnanswered(clock: Clock, log: Log, listener: HttpListener): Timer {
  const port = listener.port ?? 0;
  return clock.every(SWEEP_MS, () => {
    const rules = listener.pendingRequests === 0 ? [...silent, half] : silent;
    const { closed, connected } = closeUnanswered(port, rules);
    const many = closed[1] ?? 0;
    if (many > 0)
      log.warn("many connections said nothing and were closed", { port, connected, closed: many });
  });
}
