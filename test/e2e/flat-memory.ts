/**
 * Whether what processes hold grows while their load stays the same.
 *
 * Memory of a process with a garbage collector is a saw: two moments of it differ by half, whatever it keeps. So the highest of many
 * moments of the second half of the time is compared with the highest of the first half. Invariant: what is kept for good raises every later
 * peak, so it is found; where in its saw a process was at the end makes no difference.
 */

/** Bytes of each process, by its name, at one moment. */
export type Moment = ReadonlyMap<string, number>;

/** Too few moments miss the peaks. */
const MOMENTS_MIN = 10;

export interface Growth {
  /** Of the process that grew most. */
  name: string;
  /** The peak of its second half divided by that of its first. */
  ratio: number;
}

/** `moments`: in their order, evenly spread. */
export function largestGrowth(moments: readonly Moment[]): Growth {
  if (moments.length < 2 * MOMENTS_MIN)
    throw new RangeError(`${moments.length} moments of memory, at least ${2 * MOMENTS_MIN} are wanted`);
  const middle = Math.floor(moments.length / 2);
  const peaks = (half: readonly Moment[], name: string) =>
    Math.max(...half.map((each) => each.get(name) ?? 0));
  const names = [...(moments[0] as Moment).keys()];
  const growths = names.map((name) => ({
    name,
    ratio: peaks(moments.slice(middle), name) / peaks(moments.slice(0, middle), name),
  }));
  return growths.reduce((largest, next) => (next.ratio > largest.ratio ? next : largest));
}
