/**
 * Has the threads that the JavaScript runtime keeps beside the program let the program go first.
 *
 * Compilers and collectors run for 2 to 5 ms at a time. The kernel lets a thread finish its turn, so on a host of few cores a main
 * thread that wakes up to answer a request waits for a whole turn of theirs, and a request that passes through several
 * processes has as many chances to. Here theirs are long turns, longer than all others: from Linux 6.12 on a thread with a shorter
 * turn interrupts one with a longer. They keep nearly their share of the processor, so nobody who needs what they hold
 * waits long for it (at idle priority that took 20 ms), and the program's own turns are as they were (shortening those costs a
 * tenth of the rate at full load).
 *
 * The runtime makes these threads when it needs them and ends them after some seconds without work, so they are looked for
 * four times a second, by their names. A thread may get its name some time after its start: one that is none of them is
 * asked again, at first each time, later once a second. Threads that write and sync files are left alone: requests wait for them. Where the kernel or
 * a service manager's filter refuses, everything is as it was.
 */
import { readdirSync, readFileSync } from "node:fs";
import { standBack } from "../../native/system.ts";
import type { Log } from "../logging/log.ts";
import type { Clock, Timer } from "../seams/clock.ts";

/** As the kernel has them, which keeps the last 15 bytes that the engine gives it of a longer one. */
const HELPERS: ReadonlySet<string> = new Set([
  "JITWorker",
  "JSCWarmUp",
  "HeapHelper",
  "ollector Thread",
  "mi-scavenger",
]);

const LOOK_PERIOD_MS = 250;
/** So often a thread is asked for its name each time; then at every so-manieth look. */
const EAGER_LOOKS = 8;
const LOOKS_PER_SECOND = 1000 / LOOK_PERIOD_MS;
/** The longest that the kernel takes; the usual turn is 0.7 to 3 ms. */
const TURN_US = 100_000;
/** A third of the weight while others want the processor. */
const NICER = 5;

/** The threads of this process. */
export interface ProcessThreads {
  /** All but the main one. */
  list(): readonly number[];
  /** Empty when it has ended. */
  nameOf(thread: number): string;
  /** Returns 0, 1 where nothing is to be done in this process, or a negative errno. */
  standBack(thread: number): number;
}

const ownThreads: ProcessThreads = {
  list() {
    try {
      const all = readdirSync("/proc/self/task").map(Number);
      return all.filter((thread) => thread !== process.pid);
    } catch {
      return [];
    }
  },
  nameOf(thread) {
    try {
      return readFileSync(`/proc/self/task/${thread}/comm`, "utf8").trimEnd();
    } catch {
      return "";
    }
  },
  standBack: (thread) => standBack(thread, NICER, TURN_US),
};

const NO_SUCH_THREAD = -3;

/** Looks for such threads at once and then every quarter of a second, until it is cancelled or refused. */
export function keepHelpersBack(
  clock: Pick<Clock, "every">,
  log: Pick<Log, "trace">,
  threads: ProcessThreads = ownThreads,
): Timer {
  /** Looks at each living thread so far; of one that stands back, Infinity. */
  let looks = new Map<number, number>();
  const look = () => {
    looks = new Map(threads.list().map((thread) => [thread, (looks.get(thread) ?? 0) + 1]));
    for (const [thread, count] of looks) {
      if (!isAsked(count) || !HELPERS.has(threads.nameOf(thread))) continue;
      const result = threads.standBack(thread);
      if (result === NO_SUCH_THREAD) continue;
      if (result !== 0) {
        timer.cancel();
        log.trace("threads of the runtime are scheduled like all others", { result });
        return;
      }
      looks.set(thread, Number.POSITIVE_INFINITY);
    }
  };
  const timer = clock.every(LOOK_PERIOD_MS, look);
  look();
  return timer;
}

function isAsked(looks: number): boolean {
  return looks <= EAGER_LOOKS || looks % LOOKS_PER_SECOND === 0;
}
