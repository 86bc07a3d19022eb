/**
 * Windows of one key, as plain data: which of them a record belongs to, and which are due.
 *
 * Invariant: a window fires once, when the watermark reaches its end and its delay; a record that comes later is late and
 * is treated by the policy, never added to a window that has fired. The state is what JSON can hold, so a checkpoint in
 * the middle of a window is nothing special.
 */
import type { Aggregate, WindowBounds, WindowSpec } from "../api/contract.ts";
import { addToEphemeral, ephemeralDueTimes, fireEphemeral } from "./ephemeral-windows.ts";
import { addToSession, fireSessions, sessionDueTimes } from "./session-windows.ts";

/** Open windows by the text of their start (event time), or the one being counted. */
export interface KeyWindows {
  open: Record<string, unknown>;
  /** Records in the count window; of an ephemeral one 1 once it has fired. */
  count: number;
  /** Of sessions, by start: when they end. */
  ends?: Record<string, number>;
}

export const noWindows = (): KeyWindows => ({ open: {}, count: 0 });

export interface WindowEvents {
  fire(value: unknown, bounds: WindowBounds | undefined): void;
  /** A window was opened: it is due when the watermark reaches `dueMs`. */
  opened(dueMs: number): void;
  /** A record came after all its windows had fired. */
  late(): void;
}

/** Windows that begin at the same times for all keys. */
export type AlignedSpec = Extract<WindowSpec, { kind: "tumbling" | "sliding" }>;
export type AnyAggregate = Aggregate<unknown, unknown, unknown>;

export interface WindowRecord {
  key: string;
  value: unknown;
  timeMs: number;
  watermarkMs: number;
}

const COUNTED = "count";

function slideOf(spec: AlignedSpec): number {
  return spec.kind === "sliding" ? spec.slideMs : spec.rangeMs;
}

/** When the window that starts there is due. */
export function dueOf(spec: AlignedSpec, startMs: number): number {
  return startMs + spec.rangeMs + spec.delayMs;
}

/** Starts of the windows that hold `timeMs`, ascending. */
export function startsOf(spec: AlignedSpec, timeMs: number): number[] {
  const slideMs = slideOf(spec);
  const last = Math.floor(timeMs / slideMs) * slideMs;
  const count = Math.ceil((last + spec.rangeMs - timeMs) / slideMs);
  return Array.from({ length: count }, (_, index) => last - (count - 1 - index) * slideMs);
}

/** Puts one record into its windows. */
export function addRecord(
  spec: WindowSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  record: WindowRecord,
  events: WindowEvents,
): void {
  if (spec.kind === "count") return addCounted(spec.count, aggregate, state, record, events);
  if (spec.kind === "session") return addToSession(spec, aggregate, state, record, events);
  if (spec.kind === "ephemeral") return addToEphemeral(spec, aggregate, state, record, events);
  const { value, timeMs, watermarkMs } = record;
  const open = startsOf(spec, timeMs).filter((start) => dueOf(spec, start) > watermarkMs);
  for (const start of open) addTo(spec, aggregate, state, start, value, events);
  if (open.length === 0) addLate(spec, aggregate, state, record, events);
}

function addCounted(
  count: number,
  aggregate: AnyAggregate,
  state: KeyWindows,
  { key, value }: { key: string; value: unknown },
  events: WindowEvents,
): void {
  const before = state.count === 0 ? aggregate.initial() : state.open[COUNTED];
  const after = aggregate.update(value, before);
  state.count += 1;
  if (state.count < count) {
    state.open[COUNTED] = after;
    return;
  }
  state.count = 0;
  delete state.open[COUNTED];
  events.fire(aggregate.output(key, after, undefined), undefined);
}

/** A count window has no time: it fires before it is full only when everything is to fire. */
function fireCounted(
  aggregate: AnyAggregate,
  state: KeyWindows,
  key: string,
  watermarkMs: number,
  fire: WindowEvents["fire"],
): boolean {
  if (watermarkMs !== Number.POSITIVE_INFINITY || state.count === 0) return state.count > 0;
  const accumulator = state.open[COUNTED];
  delete state.open[COUNTED];
  state.count = 0;
  fire(aggregate.output(key, accumulator, undefined), undefined);
  return false;
}

function addTo(
  spec: AlignedSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  startMs: number,
  value: unknown,
  events: WindowEvents,
): void {
  const name = String(startMs);
  if (!Object.hasOwn(state.open, name)) {
    state.open[name] = aggregate.initial();
    events.opened(dueOf(spec, startMs));
  }
  state.open[name] = aggregate.update(value, state.open[name]);
}

function addLate(
  spec: AlignedSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  { key, value, timeMs, watermarkMs }: WindowRecord,
  events: WindowEvents,
): void {
  if (spec.late === "fire") {
    const startMs = startsOf(spec, timeMs).at(-1) as number;
    const output = aggregate.output(
      key,
      aggregate.update(value, aggregate.initial()),
      boundsOf(spec, startMs),
    );
    events.fire(output, boundsOf(spec, startMs));
  } else if (spec.late === "oldest") {
    addTo(spec, aggregate, state, oldestOpen(spec, watermarkMs), value, events);
  } else events.late();
}

/** The start of the first window that is not due yet. */
function oldestOpen(spec: AlignedSpec, watermarkMs: number): number {
  const slideMs = slideOf(spec);
  return (Math.floor((watermarkMs - spec.rangeMs - spec.delayMs) / slideMs) + 1) * slideMs;
}

const boundsOf = (spec: AlignedSpec, startMs: number): WindowBounds => ({
  startMs,
  endMs: startMs + spec.rangeMs,
});

/** Fires what is due, oldest first (all of it when the watermark is infinite); returns whether the key has windows left. */
export function fireDue(
  spec: WindowSpec,
  aggregate: AnyAggregate,
  state: KeyWindows,
  key: string,
  watermarkMs: number,
  fire: WindowEvents["fire"],
): boolean {
  if (spec.kind === "count") return fireCounted(aggregate, state, key, watermarkMs, fire);
  if (spec.kind === "session") return fireSessions(spec, aggregate, state, key, watermarkMs, fire);
  if (spec.kind === "ephemeral") return fireEphemeral(spec, aggregate, state, key, watermarkMs, fire);
  const starts = Object.keys(state.open)
    .map(Number)
    .sort((a, b) => a - b);
  let left = starts.length;
  for (const start of starts) {
    if (dueOf(spec, start) > watermarkMs) break;
    const accumulator = state.open[String(start)];
    delete state.open[String(start)];
    left -= 1;
    fire(aggregate.output(key, accumulator, boundsOf(spec, start)), boundsOf(spec, start));
  }
  return left > 0;
}

/** When each open window is due. */
export function dueTimes(spec: WindowSpec, state: KeyWindows): number[] {
  if (spec.kind === "count") return [];
  if (spec.kind === "session") return sessionDueTimes(spec, state);
  if (spec.kind === "ephemeral") return ephemeralDueTimes(spec, state);
  return Object.keys(state.open).map((start) => dueOf(spec, Number(start)));
}
