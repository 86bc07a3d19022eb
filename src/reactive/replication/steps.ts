/** Work that is done step by step, none of them longer than some milliseconds: between two of them others have their turn. */
export type Steps<Result> = Generator<void, Result, void>;

/** All that is left of it, now. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
