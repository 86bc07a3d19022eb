/**
 * A feed that nobody wants asks its shard nothing, and one that is wanted again misses nothing behind `started`. The shards here answer
 * when the test says so.
 */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import type { ShardGroup } from "../../../src/reactive/engines/builtin/backend.ts";
import { ShardFeeds } from "../../../src/reactive/engines/builtin/shard-feeds.ts";
import type { Change } from "../../../src/reactive/shard/feed.ts";
import { decodeQuery, encodeChanges } from "../../../src/reactive/shard/query-messages.ts";

const END = Number.MAX_SAFE_INTEGER;

interface Asked {
  position: number;
  waits: boolean;
  answer(position: number, timestamps?: number[], floor?: number): Promise<void>;
}

/** What was begun is carried on as far as it goes. */
const soon = async () => {
  for (let round = 0; round < 20; round++) await Promise.resolve();
};

/** Questions that wait for an answer, oldest first. */
class SlowShard {
  readonly asked: Asked[] = [];

  query: ShardGroup["query"] = (body) => {
    const query = decodeQuery(body);
    if (query.kind !== "changes") throw new Error(`a feed does not ask for ${query.kind}`);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const asked: Asked = {
      position: query.position,
      waits: query.waits,
      answer: async (position, timestamps = [], floor = 0) => {
        this.asked.splice(this.asked.indexOf(asked), 1);
        const changes = timestamps.map((timestamp): Change => ({ position, timestamp, keys: [] }));
        resolve(encodeChanges({ position, floor, changes }));
        await soon();
      },
    };
    this.asked.push(asked);
    return promise;
  };

  /** The questions without what makes them answerable. */
  get questions() {
    return this.asked.map(({ position, waits }) => ({ position, waits }));
  }

  command: ShardGroup["command"] = () => Promise.reject(new Error("a feed commands nothing"));
}

const follow = (shards: SlowShard[]) => {
  const told: number[] = [];
  const state = { isWanted: false };
  const feeds = new ShardFeeds(shards, new SimClock(new Scheduler(1)), {
    onChange: ({ timestamp }) => void told.push(timestamp),
    onCaughtUp: () => {},
    onGap: () => void told.push(Number.NaN),
    isWanted: () => state.isWanted,
  });
  const start = () => {
    state.isWanted = true;
    let isStarted = false;
    void feeds.started({ keys: [Buffer.from("k")], prefixes: [] }).then(() => (isStarted = true));
    return () => isStarted;
  };
  return { feeds, told, state, start };
};

test("a shard is asked nothing while nobody watches, and `started` waits for the position where its feed begins", async () => {
  const shard = new SlowShard();
  const { feeds, told, state, start } = follow([shard]);
  await soon();
  expect(shard.asked).toEqual([]);

  const isStarted = start();
  await soon();
  expect([isStarted(), shard.questions]).toEqual([false, [{ position: END, waits: false }]]);
  await shard.asked[0]?.answer(7);
  expect([isStarted(), shard.questions]).toEqual([true, [{ position: 7, waits: true }]]);
  await shard.asked[0]?.answer(8, [80]);
  expect([told, shard.questions]).toEqual([[80], [{ position: 8, waits: true }]]);

  // Nobody watches any more: the question that is under way is the last one.
  state.isWanted = false;
  await shard.asked[0]?.answer(9, [90]);
  expect(shard.asked).toEqual([]);

  // What happened meanwhile is nobody's; it begins where the shard is now.
  const isStartedAgain = start();
  await soon();
  expect([isStartedAgain(), shard.questions]).toEqual([false, [{ position: END, waits: false }]]);
  await shard.asked[0]?.answer(50);
  expect([isStartedAgain(), shard.questions]).toEqual([true, [{ position: 50, waits: true }]]);
  await shard.asked[0]?.answer(51, [510]);
  expect(told).toEqual([80, 90, 510]);
  feeds.stop();
});

test("a watch that comes while the last question is still under way goes on where the feed is: nothing is left out", async () => {
  const shard = new SlowShard();
  const { feeds, told, state, start } = follow([shard]);
  start();
  await soon();
  await shard.asked[0]?.answer(7);
  state.isWanted = false;
  const isStarted = start();
  await soon();
  expect(isStarted()).toBe(true);
  await shard.asked[0]?.answer(8, [80]);
  expect([told, shard.questions]).toEqual([[80], [{ position: 8, waits: true }]]);
  feeds.stop();
});

test("how far a feed is stays unknown when it rested meanwhile: what it brings then may be older", async () => {
  const shard = new SlowShard();
  const { feeds, state, start } = follow([shard]);
  start();
  await soon();
  await shard.asked[0]?.answer(7);
  const polled = feeds.poll(100);
  await soon();
  const [waiting, poll] = [...shard.asked];
  state.isWanted = false;
  await waiting?.answer(8, [80]);
  start();
  await soon();
  await poll?.answer(9, [90], 100);
  expect(await polled).toBe(0);
  feeds.stop();
});

test("a watch of one shard has all shards followed, so that it is known how far it is", async () => {
  const shards = [new SlowShard(), new SlowShard()] as const;
  const { feeds, start } = follow([...shards]);
  const isStarted = start();
  await soon();
  for (const { questions } of shards) expect(questions).toEqual([{ position: END, waits: false }]);
  expect(await feeds.poll(100)).toBe(0);
  for (const { asked } of shards) await asked[0]?.answer(7);
  expect(isStarted()).toBe(true);
  const polled = feeds.poll(100);
  await soon();
  for (const { asked } of shards) await asked.find(({ waits }) => !waits)?.answer(8, [], 100);
  expect(await polled).toBe(100);
  feeds.stop();
});
