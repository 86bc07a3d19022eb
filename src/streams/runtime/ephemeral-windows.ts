/**
 * The one window of a key that lives for a short time: opened by its first record, fired once, forgotten some time later.
 *
 * Its time is counted from where the watermark stood when it was opened (from the record's time, before there is a
 * watermark). Between firing and being forgotten records of the key are late; behind that one opens a new window.
 *
 * Invariant: a key has one window at most; `count` is 1 once it has fired.
 */
import type { WindowSpec } from "../api/contract.ts";
import type { AnyAggregate, KeyWindows, WindowEvents, WindowRecord } from "./windows.ts";

export type EphemeralSpec = Extract<WindowSpec, { kind: "ephemeral" }>;

function startOf({ open }: KeyWindows): number | undefined {
  for (const start in open) return Number(start);
  return undefined;
}

const boundsOf = (spec: EphemeralSpec, startMs: number) => ({ startMs, endMs: startMs + spec.rangeMs });

function dueOf(spec: EphemeralSpec, { count }: KeyWindows, startMs: number): number {
  const firesAtMs = startMs + spec.rangeMs + spec.delayMs;
  return count === 0 ? firesAtMs : firesAtMs + spec.keptMs;
}

export function addToEphemeral(
  spec: EphemeralSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  { key, value, timeMs, watermarkMs }: WindowRecord,
  events: WindowEvents,
): void {
  const known = startOf(state);
  if (known !== undefined && state.count > 0) {
    if (spec.late !== "fire") return events.late();
    const bounds = boundsOf(spec, known);
    return events.fire(aggregate.output(key, aggregate.update(value, aggregate.initial()), bounds), bounds);
  }
  const startMs = known ?? (Number.isFinite(watermarkMs) ? watermarkMs : timeMs);
  const before = known === undefined ? aggregate.initial() : state.open[String(startMs)];
  state.open[String(startMs)] = aggregate.update(value, before);
  if (known === undefined) events.opened(dueOf(spec, state, startMs));
}

/** Fires or forgets what is due; returns whether the key still has its window. */
export function fireEphemeral(
  spec: EphemeralSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  key: string,
  watermarkMs: number,
  fire: WindowEvents["fire"],
): boolean {
  const startMs = startOf(state);
  if (startMs === undefined) return false;
  const name = String(startMs);
  if (state.count === 0 && dueOf(spec, state, startMs) <= watermarkMs) {
    const accumulator = state.open[name];
    state.open[name] = null;
    state.count = 1;
    fire(aggregate.output(key, accumulator, boundsOf(spec, startMs)), boundsOf(spec, startMs));
  }
  if (state.count === 0 || dueOf(spec, state, startMs) > watermarkMs) return true;
  delete state.open[name];
  state.count = 0;
  return false;
}

export function ephemeralDueTimes(spec: EphemeralSpec, state: KeyWindows): number[] {
  const startMs = startOf(state);
  return startMs === undefined ? [] : [dueOf(spec, state, startMs)];
}
