/**
 * Decides whether a history is linearizable for any sequential model: the search of Wing and Gong with Lowe's memory of
 * states that led nowhere. For small histories and few clients at once; large ones of lists have `append-lists.ts`.
 */

export interface Operation<Input, Output> {
  input: Input;
  /** Undefined: it never returned; it may have taken effect at any time after it was invoked, or never. */
  output: Output | undefined;
  invokedAt: number;
  returnedAt: number;
}

export interface Model<State, Input, Output> {
  initial: State;
  /** The state after `input`, or undefined when `output` cannot come of it. An `output` of undefined fits everything. */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal for equal states. */
  keyOf(state: State): string;
}

export function isLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): boolean {
  const operations = history.toSorted((a, b) => a.invokedAt - b.invokedAt);
  const mustReturn = operations.map(({ output }) => output !== undefined);
  const dead = new Set<string>();
  const done = operations.map(() => false);

  const search = (state: State, left: number): boolean => {
    if (left === 0) return true;
    const key = `${done.map(Number).join("")}|${model.keyOf(state)}`;
    if (dead.has(key)) return false;
    // Whatever is next was invoked before the first of the others returned.
    const firstReturn = Math.min(
      ...operations.map(({ returnedAt }, index) =>
        done[index] || !mustReturn[index] ? Infinity : returnedAt,
      ),
    );
    for (const [index, { input, output, invokedAt }] of operations.entries()) {
      if (invokedAt > firstReturn) break;
      if (done[index]) continue;
      const next = model.step(state, input, output);
      if (next === undefined) continue;
      done[index] = true;
      if (search(next, left - (mustReturn[index] ? 1 : 0))) return true;
      done[index] = false;
    }
    dead.add(key);
    return false;
  };
  return search(model.initial, mustReturn.filter(Boolean).length);
}

/** A register: reads return the last write. */
export const registerModel: Model<number, { write: number } | "read", number> = {
  initial: 0,
  step(state, input, output) {
    if (input !== "read") return input.write;
    return output === undefined || output === state ? state : undefined;
  },
  keyOf: String,
};
