/**
 * Reactive runs: each shows the store exactly as it was at one timestamp over all shards, and none is missed, whatever order messages
 * arrive in, whoever acknowledges what, whichever frontend a client comes back to.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { decodeServerMessage } from "../../../src/reactive/client-wire/codec.ts";
import type { Operation } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import { RunMessages } from "../../../src/reactive/frontend/watches/run-messages.ts";
import { SnapshotReader } from "../../../src/reactive/frontend/watches/snapshot-reader.ts";
import { WatchIndex } from "../../../src/reactive/frontend/watches/watch-index.ts";
import { Watcher, type WatcherShared } from "../../../src/reactive/frontend/watches/watcher.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import {
  mailClock,
  type ReactiveCluster,
  ReactiveClient,
  reactiveCluster,
  settled,
  write,
} from "./watch-harness.ts";

setDefaultTimeout(120_000);

const KEYS = ["a", "b", "c", "d", "e", "f"];

/** Resolves when it holds, looked at between messages. */
async function until(
  { cluster: { mail } }: ReactiveCluster,
  what: string,
  holds: () => boolean,
): Promise<void> {
  for (let turn = 0; turn < 20_000; turn++) {
    if (holds()) return;
    await mail.turn();
  }
  throw new Error(`${what}: not so after 20 000 messages`);
}

/** The newest versions of some keys, by the store itself. */
const newest = async ({ cluster }: ReactiveCluster, keys: string[]) => {
  const found = await cluster.read(keys, 0);
  return new Map([...found].map(([key, { start }]) => [key, start]));
};

async function converged(store: ReactiveCluster, client: ReactiveClient): Promise<void> {
  await store.cluster.mail.turn();
  await Promise.all(store.frontends.map(({ backend }) => backend.coordinator.idle()));
  const wanted = await newest(store, client.keys);
  await until(store, "the last run shows the last state", () => {
    const seen = client.runs.at(-1)?.versions;
    return seen !== undefined && client.keys.every((key) => seen.get(key) === wanted.get(key));
  });
}

const pick = (random: () => number, from: readonly string[], share: number) => {
  const some = from.filter(() => random() < share);
  return some.length > 0 ? some : [from[Math.floor(random() * from.length)] as string];
};

async function life(seed: number): Promise<string[]> {
  const store = reactiveCluster({ seed });
  const { cluster, random } = store;
  try {
    const clients = Array.from(
      { length: 4 },
      (_, index) => new ReactiveClient(store, pick(random, KEYS, 0.4), { unackedMax: 1 + (index % 3) }),
    );
    const watcher = async (client: ReactiveClient) => {
      await client.connect(Math.floor(random() * 2));
      for (let move = 0; move < 3; move++) {
        for (let wait = random() * 60; wait > 0; wait--) await cluster.mail.turn();
        await client.connect(Math.floor(random() * 2));
      }
    };
    const writer = async (frontend: number) => {
      for (let number = 0; number < 12; number++) await write(store, frontend, pick(random, KEYS, 0.4));
    };
    await cluster.mail.run(Promise.all([...clients.map(watcher), writer(0), writer(1)]));
    await cluster.mail.run(Promise.all(store.frontends.map(({ backend }) => backend.coordinator.idle())));
    await cluster.mail.run(Promise.all(clients.map((client) => converged(store, client))));
    const checked = Promise.all(clients.map((client) => client.check()));
    await cluster.mail.run(checked);
    return (await checked).flat().map((fault) => `seed ${seed}: ${fault}`);
  } finally {
    store.close();
  }
}

test("S11: every run of 16 random lives is the store at its timestamp, and the last one is the last state", async () => {
  const faults: string[] = [];
  for (let seed = 1; seed <= 16; seed++) faults.push(...(await life(seed)));
  expect(faults).toEqual([]);
});

test("S12: two keys that are always written together, on different shards, are equal in every run", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const store = reactiveCluster({ seed });
    // Clients that never acknowledge late and clients that hold one round back see the same.
    const clients = [1, 4].map((unackedMax) => new ReactiveClient(store, ["x", "y"], { unackedMax }));
    const { mail } = store.cluster;
    const writer = async (frontend: number) => {
      for (let turn = 0; turn < 15; turn++) await write(store, frontend, ["x", "y"]);
    };
    await mail.run(
      Promise.all([writer(0), writer(1), ...clients.map((client, index) => client.connect(index))]),
    );
    await mail.run(Promise.all(clients.map((client) => converged(store, client))));
    for (const { runs, faults } of clients) {
      expect(faults).toEqual([]);
      expect(runs.filter(({ versions }) => versions.get("x") !== versions.get("y"))).toEqual([]);
      expect(runs.length).toBeGreaterThan(1);
    }
    store.close();
  }
});

test("a change with a smaller timestamp that is heard of later is in the run or leads to another one", async () => {
  // Shard 0 carries out 11 and the client acknowledges it before shard 1 carries out 10.
  const faults: string[] = [];
  let later = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const store = reactiveCluster({ seed, shards: 2, frontends: 1 });
    const { mail } = store.cluster;
    const client = new ReactiveClient(store, ["a", "b"], { unackedMax: 1 });
    await mail.run(client.connect(0));
    const both = Promise.all([write(store, 0, ["a"]), write(store, 0, ["b"])]);
    await mail.run(both);
    const [a = 0, b = 0] = await both;
    await mail.run(converged(store, client));
    const checked = client.check();
    await mail.run(checked);
    faults.push(...(await checked));
    if (client.runs.length > 2 && client.runs.some(({ at }) => at < Math.max(a, b))) later += 1;
    store.close();
  }
  expect(faults).toEqual([]);
  expect(later).toBeGreaterThan(5);
});

test("S13: a write at any moment of a registration is in the first run or leads to another one", async () => {
  for (let seed = 1; seed <= 80; seed++) {
    const store = reactiveCluster({ seed, shards: 2, frontends: 1 });
    const { mail } = store.cluster;
    const client = new ReactiveClient(store, ["x", "y"]);
    await mail.run(Promise.all([client.connect(0), write(store, 0, ["x", "y"])]));
    await mail.run(converged(store, client));
    expect(client.faults).toEqual([]);
    store.close();
  }
});

test("S14: a read set that moves takes its changes along, and drops those of what is no longer read", async () => {
  const store = reactiveCluster({ seed: 14, frontends: 1 });
  const { mail } = store.cluster;
  const targets = ["t0", "t1", "t2", "t3", "t4", "t5"];
  let pointer = 0;
  // The run reads the pointer, then the key that it names.
  const client = new ReactiveClient(store, ["p", targets[0] as string], {
    readSet: () => ["p", targets[pointer] as string],
  });
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  for (let move = 1; move < targets.length; move++) {
    const before = client.runs.length;
    pointer = move;
    await mail.run(write(store, 0, ["p"]));
    await mail.run(until(store, "the run behind the move", () => client.runs.length === before + 1));
    await mail.run(mail.turn());
    await mail.run(settled(store));
    // What is no longer read says nothing; what is read instead does.
    await mail.run(write(store, 0, [targets[move - 1] as string]));
    await mail.run(settled(store));
    expect(client.runs).toHaveLength(before + 1);
    expect(store.frontends[0]?.watching.figures.watchedKeys).toBe(2);
    await mail.run(write(store, 0, [targets[move] as string]));
    await mail.run(until(store, "the run behind the new target", () => client.runs.length === before + 2));
  }
  const checked = client.check();
  await mail.run(checked);
  expect(await checked).toEqual([]);
  store.close();
});

test("all watches of a client move together: behind each message they show one moment", async () => {
  let along = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const store = reactiveCluster({ seed, frontends: 1 });
    const { mail } = store.cluster;
    const { watching } = store.frontends[0] as (typeof store.frontends)[0];
    const views = new Map<number, Map<string, number>>();
    const seen: { at: number; versions: Map<string, number> }[] = [];
    const watcher = watching.open(
      {
        isCongested: false,
        send(bytes) {
          const message = decodeServerMessage(bytes.slice());
          if (message.type !== "runs") return;
          for (const { watch, values } of message.runs)
            for (const { key, start } of values) views.get(watch)?.set(Buffer.from(key).toString(), start);
          along += message.runs.length > 1 ? 1 : 0;
          if ([...views.values()].every(({ size }) => size > 0))
            seen.push({
              at: message.at,
              versions: new Map([...views.values()].flatMap((view) => [...view])),
            });
          void mail.turn().then(() => watcher.acknowledge(message.at));
        },
      },
      1,
    );
    const sets = [["a", "b"], ["c"], ["d", "e"]];
    const watched = sets.map(async (keys, id) => {
      views.set(id, new Map());
      await watcher.watch(id, { keys: keys.map((key) => Buffer.from(key)), prefixes: [] }, 0, 0);
      watcher.pump();
    });
    await mail.run(Promise.all(watched));
    const writer = async () => {
      for (let turn = 0; turn < 10; turn++) await write(store, 0, pick(store.random, KEYS, 0.5));
    };
    await mail.run(Promise.all([writer(), writer()]));
    await mail.run(settled(store));
    const checked = Promise.all(
      seen.map(async ({ at, versions }) => {
        const truth = await store.cluster.read([...versions.keys()], at);
        return [...versions]
          .filter(([key, start]) => truth.get(key)?.start !== start)
          .map(([key]) => `${key}@${at}`);
      }),
    );
    await mail.run(checked);
    expect((await checked).flat()).toEqual([]);
    watching.close(watcher);
    store.close();
  }
  expect(along).toBeGreaterThan(20);
});

test("S15: no run begins after a watch is stopped, and nothing is left of clients that went away", async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const store = reactiveCluster({ seed, frontends: 1 });
    const { mail, shards } = store.cluster;
    const { watching } = store.frontends[0] as (typeof store.frontends)[0];
    const clients = Array.from({ length: 5 }, () => new ReactiveClient(store, ["x", "y"]));
    const leaving = clients.map(async (client, index) => {
      await client.connect(0);
      for (let wait = index * 3; wait > 0; wait--) await mail.turn();
      client.leave();
      return client.runs.length;
    });
    const left = Promise.all(leaving);
    await mail.run(Promise.all([left, write(store, 0, ["x", "y"]), write(store, 0, ["x"])]));
    await mail.run(settled(store));
    expect(clients.map(({ runs }) => runs.length)).toEqual(await left);
    expect(watching.figures).toMatchObject({ watches: 0, watchedKeys: 0 });
    expect(shards.map(({ state }) => state.prepared.size)).toEqual([0, 0, 0]);
    store.close();
  }
});

test("S16: a client that does not acknowledge or read is owed one run, and the others get theirs", async () => {
  const store = reactiveCluster({ seed: 16, frontends: 1 });
  const { mail } = store.cluster;
  const silent = new ReactiveClient(store, ["hot"], { unackedMax: 1 });
  const full = new ReactiveClient(store, ["hot"]);
  const healthy = new ReactiveClient(store, ["hot"]);
  silent.acknowledges = false;
  await mail.run(Promise.all([silent, full, healthy].map((client) => client.connect(0))));
  await mail.run(until(store, "first runs", () => healthy.runs.length * full.runs.length === 1));
  full.isCongested = true;
  for (let turn = 1; turn <= 20; turn++) {
    await mail.run(write(store, 0, ["hot"]));
    await mail.run(until(store, "the healthy client's run", () => healthy.runs.length === 1 + turn));
  }
  expect([silent, full].map(({ runs }) => runs.length)).toEqual([1, 1]);
  silent.acknowledge();
  full.relieve();
  await mail.run(Promise.all([silent, full].map((client) => converged(store, client))));
  expect([silent, full].map(({ runs }) => runs.length)).toEqual([2, 2]);
  expect(full.runs[1]?.run).toMatchObject({ cause: "changed", changes: 20 });
  store.close();
});

test("deletes and writes of every level lead to runs", async () => {
  const store = reactiveCluster({ seed: 7, frontends: 1 });
  const { mail } = store.cluster;
  const client = new ReactiveClient(store, ["x", "y"]);
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  const put = { kind: "put", value: { type: "bytes", bytes: Buffer.from("same") } } as const;
  const writes: [Operation, Level][] = [
    [put, Level.readCommitted],
    [put, Level.snapshot],
    [put, Level.strict],
    [{ kind: "delete" }, Level.strict],
  ];
  for (const [index, [operation, level]] of writes.entries()) {
    await mail.run(write(store, 0, ["x", "y"], operation, level));
    await mail.run(until(store, "the run", () => client.runs.length === index + 2));
    await mail.run(settled(store));
  }
  expect(client.runs).toHaveLength(1 + writes.length);
  expect(client.faults).toEqual([]);
  store.close();
});

test("changes are gathered for as long as a watch allows", async () => {
  const store = reactiveCluster({ seed: 3, frontends: 1 });
  const { mail } = store.cluster;
  const client = new ReactiveClient(store, ["x"], { delayMs: 5000 });
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  await mail.run(Promise.all([1, 2, 3, 4].map(() => write(store, 0, ["x"]))));
  await mail.run(converged(store, client));
  const told = client.runs.slice(1).map(({ run }) => run.changes);
  expect(told.length).toBeLessThan(4);
  expect(client.faults).toEqual([]);
  store.close();
});

test("a shard that no longer has the changes since then makes its watchers read again", async () => {
  let gaps = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const store = reactiveCluster({ seed, frontends: 2, settings: { feedKeysMax: 1 } });
    const { mail, groups } = store.cluster;
    const clients = ["a", "b", "c"].map((key) => new ReactiveClient(store, [key, "d"]));
    await mail.run(Promise.all(clients.map((client) => client.connect(0))));
    // The feed stands still while more is written than the shards keep.
    const gate = Promise.withResolvers<void>();
    for (const group of groups) {
      const { query } = group;
      group.query = async (body) => {
        if (body[0] === 3) await gate.promise;
        return query(body);
      };
    }
    // Through the other frontend: what is lost has timestamps that this one knows nothing of, but for the first of them.
    for (let turn = 0; turn < 12; turn++) {
      await mail.run(write(store, 1, pick(store.random, KEYS, 0.5)));
      if (turn === 3)
        await mail.run((store.frontends[0] as (typeof store.frontends)[0]).backend.nextTimestamp());
    }
    gate.resolve();
    await mail.run(Promise.all(clients.map((client) => converged(store, client))));
    const checked = Promise.all(clients.map((client) => client.check()));
    await mail.run(checked);
    expect((await checked).flat()).toEqual([]);
    gaps += store.frontends[0]?.watching.figures.gaps ?? 0;
    store.close();
  }
  expect(gaps).toBeGreaterThan(5);
});

test("what was deleted and forgotten while a client was away is told as a refetch", async () => {
  const store = reactiveCluster({ seed: 8, settings: { retentionMs: 1000 } });
  const { mail } = store.cluster;
  const client = new ReactiveClient(store, ["gone", "other"]);
  await mail.run(write(store, 0, ["gone"]));
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  client.leave();
  await mail.run(write(store, 0, ["gone"], { kind: "delete" }));
  for (let turn = 0; turn < 60; turn++) await mail.run(write(store, 0, KEYS));
  await mail.run(client.connect(1));
  await mail.run(until(store, "the refetch", () => client.runs.length === 2));
  expect(client.runs[1]?.run.cause).toBe("refetch");
  expect(client.runs[1]?.versions.get("gone")).toBe(0);
  store.close();
});

test("a read that fails is made again, and its changes are not lost", async () => {
  const store = reactiveCluster({ seed: 5, frontends: 1 });
  const { mail, groups } = store.cluster;
  const client = new ReactiveClient(store, ["x", "y"]);
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  let failures = 6;
  for (const group of groups) {
    const { query } = group;
    group.query = (body) => {
      // Reads only (shard/commands.ts): the feed goes on.
      if (body[0] === 1 && failures-- > 0) return Promise.reject(new Error("no answer"));
      return query(body);
    };
  }
  await mail.run(write(store, 0, ["x", "y"]));
  await mail.run(until(store, "the failures", () => failures <= 0));
  await mail.run(converged(store, client));
  expect(client.runs.at(-1)?.run).toMatchObject({ cause: "changed", since: client.runs[0]?.at });
  store.close();
});

test("a shard that does not answer fails the watches of its keys, leaves nothing of them behind, and is followed later", async () => {
  const store = reactiveCluster({ seed: 9, shards: 2, frontends: 1 });
  const { mail, groups } = store.cluster;
  const { watching, backend } = store.frontends[0] as (typeof store.frontends)[0];
  const [a, b] = ["x", "y"].map((key) => Buffer.from(key)) as [Buffer, Buffer];
  expect(shardOf(a, 2)).not.toBe(shardOf(b, 2));
  const down = groups[shardOf(b, 2)] as (typeof groups)[0];
  const { query } = down;
  down.query = async () => {
    await mail.turn();
    throw new Error("no answer");
  };
  const other = new Watching(backend, mailClock(mail));
  const watcher = other.open({ isCongested: false, send: () => {} }, 1);
  await mail.run(watcher.watch(1, { keys: [a], prefixes: [] }, 0, 0));
  const failed = watcher.watch(2, { keys: [a, b], prefixes: [] }, 0, 0).then(
    () => "watching",
    (error: Error) => error.message,
  );
  await mail.run(failed);
  expect(await failed).toBe("no answer");
  expect(other.figures).toMatchObject({ watches: 1, watchedKeys: 1 });
  down.query = query;
  await mail.run(watcher.watch(2, { keys: [a, b], prefixes: [] }, 0, 0));
  expect(other.figures).toMatchObject({ watches: 2, watchedKeys: 2 });
  other.stop();
  watching.stop();
  store.close();
});

test("progress reaches whoever misses nothing, and never passes what is still on its way to him", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const store = reactiveCluster({ seed, frontends: 1 });
    const { mail } = store.cluster;
    const { watching, backend } = store.frontends[0] as (typeof store.frontends)[0];
    const client = new ReactiveClient(store, ["x", "y"]);
    await mail.run(client.connect(0));
    const poll = async () => {
      for (let turn = 0; turn < 10; turn++) {
        await watching.poll(await backend.nextTimestamp());
        // What it was told up to here has to be all there is.
        const told = client.progress;
        const missed = store.written.filter((at) => at <= told && at > client.last);
        expect(missed).toEqual([]);
      }
    };
    const writer = async () => {
      for (let turn = 0; turn < 6; turn++) await write(store, 0, ["x", "y"]);
    };
    await mail.run(Promise.all([poll(), writer()]));
    await mail.run(settled(store));
    await mail.run(poll());
    expect(client.progress).toBeGreaterThan(Math.max(...store.written));
    store.close();
  }
});

test("a frontend where nobody watches asks the shards for no changes, tells that nothing is missed, and misses nothing of who comes back", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const store = reactiveCluster({ seed, shards: 2, frontends: 1 });
    const { mail, groups } = store.cluster;
    const { watching, backend } = store.frontends[0] as (typeof store.frontends)[0];
    let questions = 0;
    for (const group of groups) {
      const { query } = group;
      group.query = async (body) => {
        if (body[0] !== 3) return query(body);
        questions += 1;
        // Slower than what he reads himself: what changes in between is the feed's to tell.
        for (let turn = 0; turn < 8; turn++) await mail.turn();
        return query(body);
      };
    }
    const client = new ReactiveClient(store, ["x", "y"]);
    const writer = async () => {
      for (let turn = 0; turn < 4; turn++) await write(store, 0, pick(store.random, ["x", "y"], 0.6));
    };
    for (let visit = 0; visit < 4; visit++) {
      // The feed takes leave with the answer to the question that is under way.
      await mail.run(Promise.all([write(store, 0, ["x"]), write(store, 0, ["y"])]));
      await mail.run(settled(store));
      const before = questions;
      await mail.run(writer());
      await mail.run(backend.nextTimestamp().then((issued) => watching.poll(issued)));
      expect([questions, watching.figures.progress]).toEqual([before, backend.known]);
      // He comes back while something changes for the last time, and leaves again.
      await mail.run(Promise.all([client.connect(0), write(store, 0, ["x"])]));
      await mail.run(converged(store, client));
      client.leave();
    }
    const checked = client.check();
    await mail.run(checked);
    expect(await checked).toEqual([]);
    store.close();
  }
});

test("a client that does not read is not told of progress either, and hears of it when it reads again", async () => {
  const store = reactiveCluster({ seed: 9, frontends: 1 });
  const { mail } = store.cluster;
  const { watching, backend } = store.frontends[0] as (typeof store.frontends)[0];
  const client = new ReactiveClient(store, ["x"]);
  await mail.run(client.connect(0));
  await mail.run(until(store, "the first run", () => client.runs.length === 1));
  const poll = async () => {
    await watching.poll(await backend.nextTimestamp());
    await settled(store);
  };
  await mail.run(poll());
  const before = client.progress;
  client.isCongested = true;
  for (let second = 0; second < 3; second++) await mail.run(poll());
  expect([before > 0, client.progress]).toEqual([true, before]);
  client.relieve();
  await mail.run(poll());
  expect(client.progress).toBeGreaterThan(before);
  store.close();
});

test("a range whose watch is replaced before its shards are followed is fetched again: nobody heard what changed until then", async () => {
  const store = {
    known: 10,
    nextTimestamp: async () => store.known,
    readNewest: async () => ({ timestamp: 0, versions: [], horizon: 0 }),
  };
  const { promise: followed, resolve: follow } = Promise.withResolvers<void>();
  const shared: WatcherShared = {
    ...{ store, index: new WatchIndex(), dirty: new Set(), messages: new RunMessages() },
    started: () => followed,
    clock: new SimClock(new Scheduler(1)),
    reader: new SnapshotReader(async () => ({ timestamp: store.known, versions: [], horizon: 0 })),
    figures: { runs: 0, rounds: 0, gathered: 0, failedReads: 0 },
  };
  const causes: string[] = [];
  const send = (bytes: Uint8Array) => {
    const message = decodeServerMessage(bytes.slice());
    if (message.type === "runs") causes.push(...message.runs.map(({ cause }) => cause));
  };
  const watcher = new Watcher(shared, { isCongested: false, send }, 8);
  const read = { keys: [], prefixes: [Buffer.from("list:")] };
  const watched = [watcher.watch(1, read, 5, 0), watcher.watch(1, read, 5, 0)];
  follow();
  await Promise.all(watched);
  watcher.pump();
  await Bun.sleep(0);
  expect(causes).toEqual(["refetch"]);
  watcher.close();
});

test("a range that changed while its watch was replaced is told of, and a run that was on its way then is made up for", async () => {
  const nothing = { start: 0, end: 0, type: 0, value: new Uint8Array(0), operations: 0 };
  const store = {
    known: 10,
    nextTimestamp: async () => store.known,
    readNewest: async () => ({ timestamp: 0, versions: [], horizon: 0 }),
  };
  const index = new WatchIndex();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const shared: WatcherShared = {
    ...{ store, index, dirty: new Set(), messages: new RunMessages(), started: async () => {} },
    clock: new SimClock(new Scheduler(1)),
    reader: new SnapshotReader(async (keys, timestamp) => {
      await gate;
      return { timestamp, versions: keys.map(() => nothing), horizon: 0 };
    }),
    figures: { runs: 0, rounds: 0, gathered: 0, failedReads: 0 },
  };
  const runs: { at: number; cause: string }[] = [];
  const outlet = {
    isCongested: false,
    send(bytes: Uint8Array) {
      const message = decodeServerMessage(bytes.slice());
      if (message.type === "runs") runs.push({ at: message.at, cause: message.runs[0]?.cause ?? "" });
    },
  };
  const watcher = new Watcher(shared, outlet, 8);
  const read = { keys: [Buffer.from("one")], prefixes: [Buffer.from("list:")] };
  await watcher.watch(1, read, 5, 0);
  watcher.pump();
  index.onChange((store.known = 11), [Buffer.from("list:a")]);
  // The run at 10 waits for its read, a change at 11 waits for the run; then the client replaces the watch.
  await watcher.watch(1, read, 10, 0);
  open();
  await Bun.sleep(0);
  watcher.pump();
  await Bun.sleep(0);
  expect(runs).toEqual([{ at: 11, cause: "changed" }]);
  watcher.close();
});
