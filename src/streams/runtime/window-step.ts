/**
 * A windowed step of an engine: keeps each key's windows in the step's store and knows which keys are due when.
 *
 * Invariant: the table of due times is a view of the store: it is built again after the store was rolled back or loaded,
 * and a key stands in it for every open window it has. A window whose output throws is gone, others fire. Keys fire in the order of their windows' ends, then by name, so two
 * runs over the same records emit the same.
 */
import type { WindowBounds } from "../api/contract.ts";
import type { WindowNode } from "../plan/nodes.ts";
import type { StateStore } from "../state/store.ts";
import { DueTimes } from "./due-times.ts";
import { addRecord, dueTimes, fireDue, type KeyWindows, type WindowEvents } from "./windows.ts";

export interface WindowOutput {
  emit(value: unknown, timeMs: number): void;
  late(value: unknown): void;
  /** A window of this key could not be put out, and is gone. Throwing stops the worker. */
  onBadWindow(key: string, error: unknown): void;
}

export class WindowStep {
  readonly #node: WindowNode;
  readonly #store: StateStore;
  readonly #out: WindowOutput;
  readonly #due = new DueTimes();
  #key = "";
  #value: unknown;
  readonly #events: WindowEvents;
  /** Nothing that ends up to here fires any more. */
  watermarkMs = Number.NEGATIVE_INFINITY;
  lateRecords = 0;
  /** Records came since the clock was last looked at. */
  #isActive = true;
  #activeAtMs = 0;

  constructor(node: WindowNode, store: StateStore, out: WindowOutput) {
    this.#node = node;
    this.#store = store;
    this.#out = out;
    this.#events = {
      fire: (value, bounds) => this.#fire(value, bounds),
      opened: (dueMs) => this.#due.expect(dueMs, this.#key),
      late: () => {
        this.lateRecords += 1;
        if ("late" in node.spec && node.spec.late === "side") this.#out.late(this.#value);
      },
    };
  }

  add(value: unknown, key: string, timeMs: number): void {
    const { spec, aggregate } = this.#node;
    this.#isActive = true;
    this.#key = key;
    this.#value = value;
    const state = this.#store.value(key) as KeyWindows;
    addRecord(spec, aggregate, state, { key, value, timeMs, watermarkMs: this.watermarkMs }, this.#events);
    if (state.count === 0 && isEmpty(state)) this.#store.remove(key);
  }

  /** Moves the watermark and fires what became due. */
  advance(watermarkMs: number): void {
    if (watermarkMs <= this.watermarkMs) return;
    this.watermarkMs = watermarkMs;
    this.#fireUpTo(watermarkMs);
  }

  /** Fires everything that is open when no record came for as long as the application says. */
  flushWhenIdle(nowMs: number): void {
    const { flushMs } = this.#node.spec;
    if (flushMs === undefined) return;
    if (this.#isActive) this.#activeAtMs = nowMs;
    this.#isActive = false;
    if (this.#store.size === 0 || nowMs - this.#activeAtMs < flushMs) return;
    this.#due.clear();
    for (const key of [...this.#store.keys()].sort()) this.#fireKey(key, Number.POSITIVE_INFINITY);
  }

  #fireUpTo(watermarkMs: number): void {
    for (let due; (due = this.#due.take(watermarkMs)) !== undefined;)
      for (const key of due.keys) this.#fireKey(key, due.dueMs);
  }

  #fireKey(key: string, dueMs: number): void {
    const { spec, aggregate } = this.#node;
    const state = this.#store.value(key) as KeyWindows;
    let hasWindows: boolean | undefined;
    while (hasWindows === undefined) {
      try {
        hasWindows = fireDue(spec, aggregate, state, key, dueMs, this.#events.fire);
      } catch (error) {
        // The window that threw is not open any more: the next turn begins behind it.
        this.#out.onBadWindow(key, error);
      }
    }
    if (!hasWindows) return this.#store.remove(key);
    // Windows whose end moved, or that are to be forgotten, are due again.
    if (spec.kind === "session" || spec.kind === "ephemeral")
      for (const againMs of dueTimes(spec, state)) this.#due.expect(againMs, key);
  }

  #fire(value: unknown, bounds: WindowBounds | undefined): void {
    if (value === undefined) return;
    this.#out.emit(value, bounds === undefined ? Number.NaN : bounds.endMs - 1);
  }

  /** To be called when the store was loaded or rolled back. */
  rebuild(watermarkMs: number): void {
    this.watermarkMs = watermarkMs;
    this.#isActive = true;
    this.#due.clear();
    if (this.#node.spec.kind === "count") return;
    for (const key of [...this.#store.keys()]) {
      for (const dueMs of dueTimes(this.#node.spec, this.#store.peek(key) as KeyWindows))
        this.#due.expect(dueMs, key);
    }
  }
}

function isEmpty(state: KeyWindows): boolean {
  for (const _ in state.open) return false;
  return true;
}
