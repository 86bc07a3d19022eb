/**
 * Sessions of one key: records that follow each other with less than the gap between them.
 *
 * A session begins with its first record and ends a gap behind its last one. A record between two sessions, nearer than the
 * gap to both, makes one of them.
 *
 * Invariant: no two open sessions of a key overlap, so a record belongs to one of them, to a new one, or is late.
 */
import type { WindowSpec } from "../api/contract.ts";
import type { AnyAggregate, KeyWindows, WindowEvents, WindowRecord } from "./windows.ts";

export type SessionSpec = Extract<WindowSpec, { kind: "session" }>;

const dueOf = (spec: SessionSpec, endMs: number) => endMs + spec.delayMs;

/** Sessions by start, ascending, with their ends. */
function sessionsOf({ ends = {} }: KeyWindows): [startMs: number, endMs: number][] {
  return Object.entries(ends)
    .map(([start, end]): [number, number] => [Number(start), end])
    .sort(([one], [other]) => one - other);
}

export function addToSession(
  spec: SessionSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  { key, value, timeMs, watermarkMs }: WindowRecord,
  events: WindowEvents,
): void {
  const endMs = timeMs + spec.gapMs;
  const touching = sessionsOf(state).filter(([start, end]) => timeMs < end && start < endMs);
  if (touching.length === 0 && dueOf(spec, endMs) <= watermarkMs) {
    if (spec.late !== "fire") return events.late();
    const bounds = { startMs: timeMs, endMs };
    return events.fire(aggregate.output(key, aggregate.update(value, aggregate.initial()), bounds), bounds);
  }
  const ends = (state.ends ??= {});
  const accumulators = touching.map(([start]) => state.open[String(start)]);
  for (const [start] of touching) {
    delete state.open[String(start)];
    delete ends[String(start)];
  }
  const startMs = Math.min(timeMs, ...touching.map(([start]) => start));
  const before = accumulators.reduce(
    (one, other) => (aggregate.combine as NonNullable<AnyAggregate["combine"]>)(one, other),
    aggregate.initial(),
  );
  state.open[String(startMs)] = aggregate.update(value, before);
  const lastMs = Math.max(endMs, ...touching.map(([, end]) => end));
  ends[String(startMs)] = lastMs;
  if (touching.length === 0) events.opened(dueOf(spec, lastMs));
}

/** Fires the sessions that are over, oldest first; returns whether the key has others. */
export function fireSessions(
  spec: SessionSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  key: string,
  watermarkMs: number,
  fire: WindowEvents["fire"],
): boolean {
  const sessions = sessionsOf(state);
  const over = sessions.filter(([, end]) => dueOf(spec, end) <= watermarkMs);
  for (const [startMs, endMs] of over) {
    const accumulator = state.open[String(startMs)];
    delete state.open[String(startMs)];
    delete state.ends?.[String(startMs)];
    const bounds = { startMs, endMs };
    fire(aggregate.output(key, accumulator, bounds), bounds);
  }
  return over.length < sessions.length;
}

export function sessionDueTimes(spec: SessionSpec, state: KeyWindows): number[] {
  return sessionsOf(state).map(([, end]) => dueOf(spec, end));
}
