/** The tss role in simulated clusters: what clients get, whatever happens to the servers. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { checkTimestamps, type Issued } from "../checkers/timestamps.ts";
import { TimestampClient } from "../../../src/reactive/tss/client.ts";
import {
  decodeTimestamp,
  encodeCount,
  encodeTimestamp,
  Timestamps,
} from "../../../src/reactive/tss/timestamps.ts";
import { ByteReader } from "../../../src/reactive/wire/bytes.ts";
import { TssSimulation } from "./simulation.ts";

setDefaultTimeout(600_000);

/** A founded group with clients that ask; runs `life` and checks everything that was handed out. */
function simulate(
  seed: number,
  life: (simulation: TssSimulation) => Promise<void>,
  replicas = 3,
): TssSimulation {
  const simulation = new TssSimulation(seed, replicas);
  simulation.run(async () => {
    await simulation.prepareDisks();
    simulation.startAll();
    simulation.startClients(3);
    await simulation.pause(1500);
    expect(simulation.issued.length).toBeGreaterThan(0);
    await life(simulation);
    await simulation.finish();
  });
  return simulation;
}

test("timestamps begin with 1 and are unique and in the order in which they were asked for", () => {
  const { issued } = simulate(1, (simulation) => simulation.pause(1000));
  expect(issued.length).toBeGreaterThan(100);
  expect(Math.min(...issued.map(({ timestamp }) => timestamp))).toBe(1);
});

test("one reservation serves many requests; a primary of another view begins above all of it", () => {
  const counter = new Timestamps();
  const next = (view: number, count = 1) => decodeTimestamp(counter.query(encodeCount(count), view));
  expect(next(0)).toBe(0);
  const [reply] = counter.apply({
    op: 1,
    timeMs: 0,
    commands: [{ session: 1, number: 1, body: encodeCount(3) }],
  });
  const bound = decodeTimestamp(reply as Uint8Array);
  expect([next(0, 3), next(0), next(0, 2)]).toEqual([1, 4, 5]);
  expect(next(0, bound)).toBe(0);
  expect(next(0)).toBe(7);
  expect(next(2)).toBe(0);
  counter.apply({ op: 2, timeMs: 0, commands: [{ session: 1, number: 2, body: encodeCount(3) }] });
  expect(next(2)).toBe(bound + 1);
});

test("one round serves all requests that wait already, and none that comes later", async () => {
  const rounds: { count: number; answer(first: number): void }[] = [];
  const query = (body: Uint8Array) =>
    new Promise<Uint8Array>((resolve) => {
      const count = new ByteReader(body).u32();
      rounds.push({ count, answer: (first) => resolve(encodeTimestamp(first)) });
    });
  const client = new TimestampClient({ query, command: () => Promise.reject(new Error("not needed")) }, 1);
  const first = client.next();
  const waiting = Array.from({ length: 50 }, () => client.next());
  expect(rounds.map(({ count }) => count)).toEqual([1]);
  rounds[0]?.answer(7);
  expect(await first).toBe(7);
  const late = client.next();
  expect(rounds.map(({ count }) => count)).toEqual([1, 50]);
  rounds[1]?.answer(20);
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 50 }, (_, index) => 20 + index));
  expect(rounds.map(({ count }) => count)).toEqual([1, 50, 1]);
  rounds[2]?.answer(90);
  expect(await late).toBe(90);
  expect(client.requests).toBe(3);
});

test("S19, tss: the primary is killed six times; each time others go on in less than three seconds", () => {
  simulate(2, async (simulation) => {
    for (let round = 0; round < 6; round++) {
      const fromMs = simulation.timeMs;
      const primary = await simulation.primary();
      expect(primary).toBeGreaterThanOrEqual(0);
      simulation.kill(primary);
      await simulation.pause(2000);
      expect(simulation.longestGapMs(fromMs, simulation.timeMs)).toBeLessThan(1500);
      simulation.start(primary);
      await simulation.pause(500);
    }
  });
});

test("a primary that is asked to end hands over first: nobody waits for an election", () => {
  simulate(5, async (simulation) => {
    for (let round = 0; round < 3; round++) {
      await simulation.pause(1000);
      const [fromMs, primary] = [simulation.timeMs, await simulation.primary()];
      await simulation.stop(primary);
      await simulation.pause(1000);
      // An election would take at least 300.
      expect(simulation.longestGapMs(fromMs, simulation.timeMs)).toBeLessThan(200);
      simulation.start(primary);
    }
  });
});

test("S20, tss: after power loss of all servers timestamps go on above the old maximum", () => {
  simulate(3, async (simulation) => {
    for (let round = 0; round < 2; round++) {
      const before = Math.max(...simulation.issued.map(({ timestamp }) => timestamp));
      for (let index = 0; index < 3; index++) simulation.losePower(index);
      const lostAt = simulation.timeMs;
      await simulation.pause(300);
      simulation.startAll();
      await simulation.pause(4000);
      const after = simulation.issued
        .filter(({ askedAt }) => askedAt > lostAt)
        .map(({ timestamp }) => timestamp);
      expect(after.length).toBeGreaterThan(0);
      expect(Math.min(...after)).toBeGreaterThan(before);
    }
  });
});

test("S21, tss: an isolated primary hands out nothing, the others go on, and it comes back", () => {
  simulate(4, async (simulation) => {
    const old = await simulation.primary();
    simulation.isolate(old);
    const fromMs = simulation.timeMs;
    await simulation.pause(5000);
    const lastOfOld = (await simulation.stats(old))?.last;
    expect(simulation.longestGapMs(fromMs, simulation.timeMs)).toBeLessThan(3000);
    await simulation.pause(2000);
    expect((await simulation.stats(old))?.last).toBe(lastOfOld);
    simulation.cluster.network.heal();
    await simulation.pause(5000);
    const lasts = await Promise.all([0, 1, 2].map((index) => simulation.stats(index)));
    expect(lasts.map((stats) => stats?.phase)).toEqual(["normal", "normal", "normal"]);
  });
});

test("a group of one keeps its promise alone", () => {
  simulate(
    5,
    async (simulation) => {
      for (let round = 0; round < 3; round++) {
        simulation.losePower(0);
        await simulation.pause(200);
        simulation.start(0);
        await simulation.pause(3000);
      }
    },
    1,
  );
});

test("the checker notices a timestamp that came twice, and one that was fetched ahead", () => {
  const issued = (timestamp: number, askedAt: number, receivedAt: number): Issued => ({
    client: `c${askedAt}`,
    timestamp,
    askedAt,
    receivedAt,
  });
  expect(checkTimestamps([issued(1, 0, 5), issued(2, 1, 6), issued(3, 7, 8)])).toEqual([]);
  expect(checkTimestamps([issued(1, 0, 5), issued(1, 1, 6)])[0]).toContain("went to");
  expect(checkTimestamps([issued(9, 0, 5), issued(2, 6, 7)])[0]).toContain("had 9 at 5");
  // Both were under way: either order is right.
  expect(checkTimestamps([issued(9, 0, 5), issued(2, 4, 7)])).toEqual([]);
});
