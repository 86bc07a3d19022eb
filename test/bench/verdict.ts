/**
 * A floor and a goal, and the verdict of a figure.
 *
 * Invariant: a figure that could not be measured (NaN) holds nothing. A floor that is not held fails the run; a goal that
 * is not reached is marked.
 */
export interface Limit {
  name: string;
  better: "higher" | "lower";
  floor: number;
  goal?: number;
}

export interface Verdict {
  name: string;
  value: number;
  floor: number;
  goal?: number;
  outcome: "goal reached" | "floor held" | "FLOOR FAILED";
}

export function judge(limit: Limit, value: number): Verdict {
  const { name, better, floor, goal } = limit;
  const holds = (bound: number) => (better === "higher" ? value >= bound : value <= bound);
  const outcome = !holds(floor)
    ? "FLOOR FAILED"
    : goal === undefined || holds(goal)
      ? "goal reached"
      : "floor held";
  return { name, value, floor, ...(goal !== undefined && { goal }), outcome };
}

export function verdictText(verdict: Verdict): string {
  const { name, value, floor, goal, outcome } = verdict;
  if (outcome === "goal reached") return `${name}: ok`;
  const figure = value.toFixed(3);
  return outcome === "FLOOR FAILED"
    ? `**${name}: FLOOR FAILED** (${figure}, floor ${floor})`
    : `${name}: goal missed (${figure}, goal ${goal})`;
}
