/**
 * Which partition answers for which friend: a placement of up to N ids, each in one of its three partitions.
 *
 * Cuckoo placement: an id that finds all its partitions taken pushes another one out. Invariant: a partition answers for
 * at most one id, and what is sent does not depend on the outcome: every partition gets exactly one query.
 */

/** Pushes after which an id is given up; with 1.5 partitions per id that has never been seen to happen. */
const PUSHES_MAX = 1000;

/**
 * `choices[i]` are the partitions of id i. Returns the partition of each id, undefined for one that finds no place (it
 * is asked for in the next epoch). `random` picks who is pushed out: an integer below its argument.
 */
export function placeInPartitions(
  choices: readonly (readonly number[])[],
  random: (limit: number) => number,
): (number | undefined)[] {
  const placed = new Array<number | undefined>(choices.length);
  const holders = new Map<number, number>();
  for (let index = 0; index < choices.length; index++) {
    let homeless: number | undefined = index;
    for (let pushes = 0; homeless !== undefined && pushes < PUSHES_MAX; pushes++) {
      const own: readonly number[] = choices[homeless] ?? [];
      const free: number | undefined = own.find((partition) => !holders.has(partition));
      const target: number = free ?? (own[random(own.length)] as number);
      const pushed: number | undefined = holders.get(target);
      holders.set(target, homeless);
      placed[homeless] = target;
      if (pushed !== undefined) placed[pushed] = undefined;
      homeless = pushed;
    }
  }
  return placed;
}
