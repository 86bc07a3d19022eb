/**
 * What a check of the host found, and what checks may look at.
 *
 * Checks read through a `Probe`, so tests can show each one every kind of host.
 */
import type { Clock } from "../seams/clock.ts";

export type Verdict = "ok" | "warn" | "fail";

export interface Finding {
  /** Stable, for programs: `nofile`. */
  name: string;
  verdict: Verdict;
  /** What was measured, with unit. */
  found: string;
  /** What to do; absent when the verdict is ok. */
  fix?: string;
}

export interface Probe {
  /** The text of a file of /proc or /sys; undefined where this kernel has none. */
  read(path: string): string | undefined;
  /** Names in a directory; empty where there is none. */
  list(path: string): string[];
  clock: Clock;
}

export function ok(name: string, found: string): Finding {
  return { name, verdict: "ok", found };
}

export function warn(name: string, found: string, fix: string): Finding {
  return { name, verdict: "warn", found, fix };
}

export function fail(name: string, found: string, fix: string): Finding {
  return { name, verdict: "fail", found, fix };
}
