/**
 * n4 of the original's tests: while a writer writes, some of storage, proxy and archive are stopped in one order and started in
 * another; then the newest snapshot is compared with the volume. `n4a` are all orders of all of them, `n4b` some by chance.
 */
import { seededRandom, type Random } from "../../../src/core/seams/random.ts";
import { Group, shuffled, Writer } from "./cluster.ts";

/** Which of the three are stopped, and in which order they come back. */
export type Stops = [stopped: readonly number[], started: readonly number[]];

const SERVERS = [0, 1, 2];

/** Every order of so many of these, and of fewer. */
function ordersOf(items: readonly number[]): number[][] {
  return items.flatMap((item) => [
    [item],
    ...ordersOf(items.filter((each) => each !== item)).map((rest) => [item, ...rest]),
  ]);
}

const hasSame = (one: readonly number[], other: readonly number[]) =>
  one.length === other.length && one.every((item) => other.includes(item));

export const allStops: readonly Stops[] = ordersOf(SERVERS).flatMap((stopped) =>
  ordersOf(SERVERS)
    .filter((started) => hasSame(stopped, started))
    .map((started): Stops => [stopped, started]),
);

export function someStops(count: number, random: Random): Stops[] {
  return Array.from({ length: count }, () => {
    const some = shuffled(SERVERS, random).slice(0, 1 + random.integer(3));
    return [some, shuffled(some, random)];
  });
}

export async function runStops(
  stops: readonly Stops[],
  seed = 1,
): Promise<{ rounds: number; writes: number }> {
  await using group = await Group.start();
  const writer = new Writer(seed, () => group.client());
  const pause = seededRandom(seed);
  await group.initStorage();
  await writer.write(40);
  await group.backup("full-bkp");
  const servers = [group.storage, group.proxy, group.archive];
  for (const [stopped, started] of stops) {
    writer.begin();
    for (const index of stopped) await servers[index]?.stop();
    await Bun.sleep(pause.integer(30));
    for (const index of started) await servers[index]?.start();
    await writer.end();
    await group.compareSnapshot();
  }
  return { rounds: stops.length, writes: writer.writes };
}
