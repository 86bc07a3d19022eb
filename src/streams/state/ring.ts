/**
 * Which worker a key belongs to: the space of hashes cut into intervals, each with an owner.
 *
 * Invariant: every hash has exactly one owner, and all workers that know the same ring agree on it. When workers come or
 * go only what has to move moves: newcomers get an equal share out of everybody's, leavers' intervals are spread evenly.
 */

/** Hashes are 32 bits. */
export const SPACE = 0x1_0000_0000;

export interface Interval {
  /** First hash of it; it reaches to the next interval's. */
  start: number;
  owner: string;
}

/** Sorted by `start`, the first begins at 0. */
export type Ring = readonly Interval[];

export function hashOf(key: string): number {
  return Bun.hash.xxHash32(key);
}

export function ringOf(workers: readonly string[]): Ring {
  if (workers.length === 0) return [];
  return workers.map((owner, index) => ({ start: Math.floor((SPACE * index) / workers.length), owner }));
}

export function ownerOf(ring: Ring, hash: number): string {
  let low = 0;
  let high = ring.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((ring[middle] as Interval).start <= hash) low = middle;
    else high = middle - 1;
  }
  return (ring[low] as Interval).owner;
}

/** Hashes that each worker owns. */
export function shares(ring: Ring): Map<string, number> {
  const result = new Map<string, number>();
  ring.forEach(({ start, owner }, index) => {
    const end = ring[index + 1]?.start ?? SPACE;
    result.set(owner, (result.get(owner) ?? 0) + end - start);
  });
  return result;
}

/** The ring after the workers changed to `workers`. */
export function reshape(ring: Ring, workers: readonly string[]): Ring {
  if (ring.length === 0 || workers.length === 0) return ringOf(workers);
  const staying = new Set(workers);
  const owned = shares(ring);
  /** How much each may have; the first ones take what does not divide. */
  const target = new Map(workers.map((worker, index) => [worker, shareOf(index, workers.length)]));
  const surplus = new Map<string, number>();
  for (const [worker, size] of owned) {
    surplus.set(worker, staying.has(worker) ? Math.max(0, size - (target.get(worker) as number)) : size);
  }
  const wanting = workers
    .map((worker) => ({ worker, size: (target.get(worker) as number) - (owned.get(worker) ?? 0) }))
    .filter(({ size }) => size > 0);
  return joined(handOver(ring, surplus, wanting));
}

function shareOf(index: number, count: number): number {
  return Math.floor((SPACE * (index + 1)) / count) - Math.floor((SPACE * index) / count);
}

/** Walks the ring and gives every owner's surplus, from the front of its intervals, to those who want. */
function handOver(
  ring: Ring,
  surplus: Map<string, number>,
  wanting: { worker: string; size: number }[],
): Interval[] {
  const result: Interval[] = [];
  ring.forEach(({ start, owner }, index) => {
    const end = ring[index + 1]?.start ?? SPACE;
    let at = start;
    for (let left = surplus.get(owner) ?? 0; left > 0 && at < end && wanting.length > 0;) {
      const [first] = wanting as [{ worker: string; size: number }];
      const size = Math.min(left, end - at, first.size);
      result.push({ start: at, owner: first.worker });
      at += size;
      left -= size;
      surplus.set(owner, left);
      first.size -= size;
      if (first.size === 0) wanting.shift();
    }
    if (at < end) result.push({ start: at, owner });
  });
  return result;
}

/** Neighbours of one owner become one interval. */
function joined(ring: readonly Interval[]): Ring {
  return ring.filter(({ owner }, index) => index === 0 || ring[index - 1]?.owner !== owner);
}
