/**
 * What of each round goes into the history: a value for every figure, and what happened to instances since the round before.
 *
 * Invariant: a counter gives a value only between two answers of the same life of an instance.
 */
import type { Watched } from "../core/watch/watched.ts";
import type { Condition } from "../core/watch/snapshot.ts";
import { figuresOf, growthOf } from "./figures.ts";
import type { Happening } from "./messages.ts";

/** The values of an instance's newest answer, by figure. */
export function valuesOf({ latest, before, snapshot }: Watched): Map<string, number> {
  const values = new Map<string, number>();
  if (latest === undefined) return values;
  const seconds = before === undefined ? 0 : (latest.atMs - before.atMs) / 1000;
  for (const figure of figuresOf(snapshot.role)) {
    const value = figure.read(latest.answer);
    if (value === undefined) continue;
    if (figure.kind === "gauge") values.set(figure.id, value);
    else if (before !== undefined && seconds > 0) {
      const earlier = figure.read(before.answer);
      if (earlier !== undefined && value >= earlier)
        values.set(figure.id, growthOf(figure, (value - earlier) / seconds));
    }
  }
  return values;
}

interface Seen {
  condition: Condition;
  pid: number | undefined;
  version: string | undefined;
}

/** Compares each round with the one before it. */
export class HappeningsWatch {
  readonly #seen = new Map<string, Seen>();

  /** What happened, for every instance that was seen before. */
  round(watched: readonly Watched[], atMs: number): Happening[] {
    const found: Happening[] = [];
    for (const { identity, snapshot, latest } of watched) {
      const { condition, reasons, version, uptimeSeconds } = snapshot;
      const before = this.#seen.get(identity.name);
      const add = (kind: Happening["kind"], text: string) =>
        found.push({ atMs, instance: identity.name, kind, text });
      const isFirstAnswer = before?.pid === undefined && before?.version === undefined;
      const pid = latest?.answer.pid ?? before?.pid;
      this.#seen.set(identity.name, { condition, pid, version: version ?? before?.version });
      if (before === undefined) continue;
      const hasRestarted = before.pid !== undefined && pid !== before.pid;
      if (hasRestarted) add("restarted", `started anew ${Math.round(uptimeSeconds ?? 0)} s ago`);
      if (version !== undefined && before.version !== undefined && version !== before.version)
        add("version", `runs ${version}, before it ran ${before.version}`);
      if (condition === before.condition || (isFirstAnswer && condition === "ready")) continue;
      const why = reasons.join("; ");
      if (condition === "unreachable") add("silent", `does not answer: ${why}`);
      else if (condition === "not ready") add("not ready", `is not ready: ${why}`);
      else if (before.condition === "unreachable" && !hasRestarted) add("answers", "answers again");
      else add("ready", "is ready");
    }
    return found;
  }
}
