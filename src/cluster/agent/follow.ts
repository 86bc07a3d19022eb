/** The last lines of instances, and those that come, whatever keeps them: files or the journal. */
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { HostServices } from "../services/services.ts";

const LOOK_MS = 300;
/** Lines that may come between two looks without any being missed. */
const WINDOW_LINES = 2000;

export interface FollowOptions {
  clock: Clock;
  services: HostServices;
  instances: readonly string[];
  lines: number;
  isFollowing: boolean;
  signal: AbortSignal;
}

export async function follow(
  { clock, services, instances, lines, isFollowing, signal }: FollowOptions,
  emit: (instance: string, line: string) => Promise<void>,
): Promise<void> {
  const seen = new Map<string, string[]>();
  for (const instance of instances) {
    const last = await services.lastLines(instance, Math.max(lines, isFollowing ? WINDOW_LINES : 0));
    seen.set(instance, last);
    for (const line of lines === 0 ? [] : last.slice(-lines)) await emit(instance, line);
  }
  while (isFollowing && !signal.aborted) {
    await sleep(clock, LOOK_MS);
    for (const instance of instances) {
      const last = await services.lastLines(instance, WINDOW_LINES);
      for (const line of newLines(seen.get(instance) ?? [], last)) await emit(instance, line);
      seen.set(instance, last);
    }
  }
}

/** What of `now` is behind its longest beginning that `before` ends with. */
export function newLines(before: readonly string[], now: readonly string[]): string[] {
  for (let start = Math.max(0, before.length - now.length); start < before.length; start++) {
    const overlap = before.length - start;
    if (before.slice(start).every((line, index) => line === now[index])) return now.slice(overlap);
  }
  return [...now];
}
