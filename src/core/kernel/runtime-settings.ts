/**
 * When the JavaScript runtime collects garbage in a role that answers within a millisecond.
 *
 * Left alone it collects once a second, however little there is, and again some time after anything was allocated: 1 to 2 ms
 * each, 4 ms for a full collection, in which nothing is answered. A request that passes through three processes meets one of
 * these in one of a hundred cases, which then is its p99. Where little happens it makes full collections too, to drop code that
 * has not run for a while. Here it collects when memory has grown, and once a minute.
 *
 * The runtime reads these settings from the environment before any code runs. So the program is started again in place, with
 * the same pid and the same open files, before it has touched anything. What an operator has set himself is left as it is.
 */
import { readFileSync } from "node:fs";
import { buildInfo } from "../build-info.ts";

type Environment = Record<string, string | undefined>;

const RARE_COLLECTIONS: Readonly<Record<string, string>> = {
  BUN_GC_TIMER_INTERVAL: "60000",
  // No full collections because it is quiet.
  BUN_IDLE_GC_SECONDS: "0",
  // The share of the processor that collections may take, for each MiB that was allocated: the engine's own timers never end.
  BUN_JSC_percentCPUPerMBForEdenTimer: "0.000000001",
  BUN_JSC_percentCPUPerMBForFullTimer: "0.000000001",
};

/** The environment with rare collections; undefined where it says something of each setting already. */
export function withRareCollections(environment: Environment): Environment | undefined {
  const missing = Object.entries(RARE_COLLECTIONS).filter(([name]) => environment[name] === undefined);
  return missing.length === 0 ? undefined : { ...environment, ...Object.fromEntries(missing) };
}

/**
 * Starts the executable again with rare collections, unless it has them. Returns only where nothing was to be done or the
 * system refuses: then collections are as frequent as ever, and nothing else is different.
 */
export function restartWithRareCollections(environment: Environment): void {
  const wanted = buildInfo.isCompiled ? withRareCollections(environment) : undefined;
  if (wanted === undefined) return;
  try {
    // As it was called: inside the executable the runtime shows other words.
    const words = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
    process.execve?.(process.execPath, words, wanted as Record<string, string>);
  } catch {
    // Slower now and then is better than not at all.
  }
}
