/**
 * Mistakes of a pipeline's author that can be seen while the pipeline is made: functions that are none or wait, aggregates and
 * windows that could not be what they are used for. Each throws NX_STREAM_APP_INVALID.
 */
import type { Aggregate, WindowSpec } from "./contract.ts";
import { NxError } from "../../core/errors.ts";
import { isJson } from "./codecs.ts";

export function invalid(message: string, hint?: string): NxError {
  return new NxError("NX_STREAM_APP_INVALID", message, hint === undefined ? {} : { hint });
}

/**
 * A step that waits would go on behind the checkpoint that should hold what it does, and what a generator yields nobody
 * takes. Types let both pass.
 */
export function assertPlain(what: string, ...steps: unknown[]): void {
  for (const step of steps) {
    if (typeof step !== "function") throw invalid(`${what} takes a function`);
    const kind = Object.prototype.toString.call(step).slice("[object ".length, -1);
    if (kind !== "Function")
      throw invalid(
        `${what} takes a plain function, not ${kind}`,
        "steps do not wait: emit to `out` and return",
      );
  }
}

/** An aggregate whose functions, and whose beginning, can be what they are used for. */
export function checked<T, A, U>(what: string, aggregate: Aggregate<T, A, U>): Aggregate<T, A, U> {
  assertPlain(what, aggregate.initial, aggregate.update, aggregate.output);
  const [one, other] = [aggregate.initial(), aggregate.initial()];
  if (!isJson(one))
    throw invalid(
      `${what} begins with what JSON cannot hold (undefined, a Map, NaN …)`,
      "checkpoints keep accumulators as JSON",
    );
  if (typeof one === "object" && one !== null && one === other)
    throw invalid(`${what} begins with the same object each time`, "initial() makes a new one for each key");
  return {
    initial: () => aggregate.initial(),
    update(value, accumulator) {
      const updated = aggregate.update(value, accumulator);
      if (updated === undefined)
        throw new TypeError(`${what} got nothing from update: it returns the accumulator`);
      return updated;
    },
    ...(aggregate.combine !== undefined && {
      combine: (first, second) => aggregate.combine?.(first, second) as A,
    }),
    output: (...words) => aggregate.output(...words),
  };
}

export function assertWindow(name: string, spec: WindowSpec, aggregate: { combine?: unknown }): void {
  const { flushMs = 1 } = spec;
  if (!(flushMs > 0)) throw invalid(`the window "${name}" is flushed after ${flushMs} ms`, "a time above 0");
  if (spec.kind === "count") {
    if (Number.isSafeInteger(spec.count) && spec.count > 0) return;
    throw invalid(`the window "${name}" counts ${spec.count} records`, "a whole number from 1");
  }
  const { lengthMs, wanted, isRight } = timesOf(spec);
  const areFinite = Number.isFinite(lengthMs) && Number.isFinite(spec.delayMs);
  if (!(areFinite && lengthMs > 0 && isRight && spec.delayMs >= 0))
    throw invalid(
      `the window "${name}" has a length of ${lengthMs} ms and waits ${spec.delayMs} ms`,
      `a finite length above 0, a delay from 0${wanted}`,
    );
  const isAligned = spec.kind === "tumbling" || spec.kind === "sliding";
  if (spec.late === "oldest" && !isAligned)
    throw invalid(`the window "${name}" has no oldest window for late records`, "drop, fire or side");
  if (spec.kind === "session" && typeof aggregate.combine !== "function")
    throw invalid(
      `the aggregate of the session window "${name}" has no combine`,
      "a function of two accumulators",
    );
}

/** A record is in so many windows at most: each is an accumulator of its own. */
const WINDOWS_OF_RECORD_MAX = 10_000;

function timesOf(spec: Exclude<WindowSpec, { kind: "count" }>): {
  lengthMs: number;
  isRight: boolean;
  wanted: string;
} {
  switch (spec.kind) {
    case "tumbling":
      return {
        lengthMs: spec.rangeMs,
        isRight: Number.isSafeInteger(spec.rangeMs),
        wanted: "; whole milliseconds",
      };
    case "sliding": {
      const { rangeMs, slideMs } = spec;
      const isWhole = Number.isSafeInteger(rangeMs) && Number.isSafeInteger(slideMs);
      return {
        lengthMs: rangeMs,
        isRight: isWhole && slideMs > 0 && slideMs <= rangeMs && rangeMs / slideMs <= WINDOWS_OF_RECORD_MAX,
        wanted: `, and a slide above 0 that is not longer and at least a ${WINDOWS_OF_RECORD_MAX}th of it, not ${slideMs} ms; whole milliseconds`,
      };
    }
    case "session":
      return { lengthMs: spec.gapMs, isRight: true, wanted: "" };
    case "ephemeral":
      return {
        lengthMs: spec.rangeMs,
        isRight: spec.keptMs >= 0 && Number.isFinite(spec.keptMs),
        wanted: `, and kept from 0, not ${spec.keptMs} ms`,
      };
  }
}
