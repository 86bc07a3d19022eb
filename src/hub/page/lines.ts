/**
 * Figures over time for the graphs of a page: asked for together, then continued.
 *
 * Each further question is about the time since the last answer and a little before, because the newest point of coarse graphs
 * is still growing.
 */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { HistoryAnswer, Line } from "../messages.ts";
import { clockSkewMs, hub } from "./live.ts";
import { range } from "./route.ts";
import { ask } from "./server.ts";

export interface WantedLine {
  instance: string;
  figure: string;
}

export interface Window {
  fromMs: number;
  toMs: number;
}

export interface Lines {
  window: Window;
  of(instance: string, figure: string): Line;
}

const emptyLine: Line = { atMs: [], mean: [], max: [] };
const keyOf = ({ instance, figure }: WantedLine) => `${instance}/${figure}`;
/** The hub answers about so many lines at once. */
const LINES_MAX = 200;

/** What is known, without what the newer one says again and what is out of the window. */
export function continued(known: Line | undefined, newer: Line, sinceMs: number, fromMs: number): Line {
  if (known === undefined) return newer;
  const kept = known.atMs.flatMap((atMs, index) => (atMs >= fromMs && atMs < sinceMs ? [index] : []));
  const join = (old: (number | null)[], added: (number | null)[]) => [
    ...kept.map((index) => old[index] ?? null),
    ...added,
  ];
  return {
    atMs: join(known.atMs, newer.atMs) as number[],
    mean: join(known.mean, newer.mean),
    max: join(known.max, newer.max),
  };
}

/** Lines of the chosen range, kept up to date while the page shows them. */
export function useLines(wanted: readonly WantedLine[]): Lines {
  const words = [...new Set(wanted.map(keyOf))].slice(0, LINES_MAX);
  const { ms } = range.value;
  const [answer, setAnswer] = useState<{ window: Window; lines: Map<string, Line> } | undefined>(undefined);
  const identity = `${ms} ${words.join(" ")}`;
  useEffect(() => {
    let isGone = false;
    let lines = new Map<string, Line>();
    let askedToMs: number | undefined;
    setAnswer(undefined);
    const overlapMs = ms <= 20 * 60_000 ? 3000 : ms / 40;
    const look = async () => {
      const toMs = Date.now() + clockSkewMs.value;
      const fromMs = toMs - ms;
      const sinceMs = askedToMs === undefined ? fromMs : Math.max(fromMs, askedToMs - overlapMs);
      const found = await ask<HistoryAnswer>("/api/history", {
        from: String(Math.floor(sinceMs)),
        to: String(Math.ceil(toMs)),
        line: words,
      });
      if (isGone) return;
      lines = new Map(
        found.lines.map((each) => [
          keyOf(each),
          continued(lines.get(keyOf(each)), each.line, Math.floor(sinceMs), fromMs),
        ]),
      );
      askedToMs = toMs;
      setAnswer({ window: { fromMs, toMs }, lines });
    };
    const periodMs = Math.max(hub.peek()?.scrapePeriodMs ?? 1000, ms / 450);
    const tryToLook = () => void look().catch(() => undefined); // that the hub is gone is said elsewhere
    if (words.length > 0) tryToLook();
    const timer = words.length > 0 ? setInterval(tryToLook, periodMs) : undefined;
    return () => {
      isGone = true;
      clearInterval(timer);
    };
  }, [identity]);
  // The same answer is the same object: who draws it need not draw it again with each message of the hub.
  return useMemo(() => {
    const toMs = Date.now() + clockSkewMs.peek();
    return {
      window: answer?.window ?? { fromMs: toMs - ms, toMs },
      of: (instance, figure) => answer?.lines.get(keyOf({ instance, figure })) ?? emptyLine,
    };
  }, [answer, ms]);
}
