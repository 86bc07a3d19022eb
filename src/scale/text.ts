/** Figures of the simulation as people read them: tables for a terminal and for docs/SCALE.md. */
import type { Scaled } from "./run.ts";

const THOUSANDS = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
] as const;

/** Three digits: `1.55 M`, `62.4 k`, `9.54`. */
export function figureText(value: number): string {
  const [size, letter] = THOUSANDS.find(([least]) => value >= least) ?? [1, ""];
  const part = value / size;
  const digits = part >= 100 ? 0 : part >= 10 ? 1 : 2;
  return `${part.toFixed(digits)}${letter === "" ? "" : ` ${letter}`}`;
}

/** `521 µs`, `25.9 ms`, `12.2 s`. */
export function timeText(us: number): string {
  if (us < 1000) return `${us.toFixed(0)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(1)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

export const percentText = (share: number): string => `${Math.round(share * 100)} %`;

/** What saturates, or what is busiest and how much. */
export function busiestText({ bottleneck, used }: Scaled): string {
  if (bottleneck !== undefined) return bottleneck;
  const [first] = used;
  return first === undefined ? "" : `nothing; ${first.resource} at ${percentText(first.share)}`;
}

export const SCALED_HEAD = [
  "hosts",
  "per second",
  "per host",
  "asked for",
  "p50",
  "p99",
  "saturates first",
] as const;

export function scaledRow(scaled: Scaled): string[] {
  const { hosts, unitsPerSecond, asked, p50Us, p99Us } = scaled;
  return [
    hosts.toLocaleString("en-US"),
    figureText(unitsPerSecond),
    figureText(unitsPerSecond / hosts),
    asked === undefined ? "" : figureText(asked),
    timeText(p50Us),
    timeText(p99Us),
    busiestText(scaled),
  ];
}
