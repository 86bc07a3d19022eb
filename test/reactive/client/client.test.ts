/** The client against a model of a frontend: transactions, reactive transactions, faults at given moments. */
import { afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import {
  AbortedError,
  type Client,
  counter,
  list,
  memoryStorage,
  originalCalls,
  OutcomeUnknownError,
  type Reader,
  RequestError,
  text,
  UnavailableError,
} from "../../../src/reactive/client.ts";
import { COMMITTED, NOW } from "../../../src/reactive/client-wire/messages.ts";
import { until } from "../../core/kernel/harness.ts";
import { LifeClock } from "./life.ts";
import { ModelCluster } from "./model-frontend.ts";

setDefaultTimeout(120_000);

const open: Client[] = [];
async function clientOf(cluster: ModelCluster, options = {}): Promise<Client> {
  const client = await cluster.client(options);
  open.push(client);
  return client;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});

const score = counter("score");
const motto = text("motto");

/** Resolves when everything that is under way in this process has happened. */
const settled = () => Bun.sleep(5);
const readsOf = (cluster: ModelCluster) => cluster.received.filter(({ type }) => type === "read").length;

describe("transactions", () => {
  test("are committed once, with what they read and wrote", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const before = await client.execute(async (transaction) => {
      score.add(transaction, 5);
      motto.set(transaction, "all or nothing");
      return score.value(transaction);
    });
    expect(before).toBe(5n);
    expect(await client.readOnly(async (transaction) => motto.value(transaction))).toBe("all or nothing");
    expect(cluster.store.commits).toBe(1);
  });

  test("whose reads have changed are run again", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    let runs = 0;
    await one.execute(async (transaction) => {
      runs += 1;
      const seen = await motto.value(transaction);
      if (runs === 1) await other.execute((inner) => motto.set(inner, "between"));
      motto.set(transaction, `${seen}+`);
    });
    expect(runs).toBe(2);
    expect(await one.readOnly((transaction) => motto.value(transaction))).toBe("between+");
  });

  test("give up after their retries, with the reason, and at once when their code says so", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const attempt = one.execute(
      async (transaction) => {
        await score.value(transaction);
        await other.execute((inner) => score.increment(inner));
        motto.set(transaction, "never");
      },
      { retries: 2 },
    );
    expect(await attempt.catch((error: unknown) => error)).toMatchObject({
      name: "AbortedError",
      reason: "stale",
    });
    const own = one.execute((transaction) => {
      motto.set(transaction, "never");
      transaction.abort("not today");
    });
    expect(await own.catch((error: unknown) => error)).toMatchObject({
      reason: "byUser",
      message: "not today",
    });
    expect(await one.readOnly((transaction) => motto.value(transaction))).toBe("");
  });

  test("see one snapshot, also when they read one key after the other while others write", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const set = (value: string) =>
      other.execute((inner) => {
        text("left").set(inner, value);
        text("right").set(inner, value);
      });
    await set("1");
    const pair = await one.readOnly(async (transaction) => {
      const left = await text("left").value(transaction);
      await set("2");
      return [left, await text("right").value(transaction)];
    });
    expect(pair).toEqual(["1", "1"]);
  });

  test("a commit whose answer is lost is sent again under its name and executed once", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    let lost = 0;
    cluster.fault = ({ type }) => (type === "commit" && lost++ < 3 ? "after" : false);
    await client.execute((transaction) => score.increment(transaction));
    expect(lost).toBe(4);
    expect(cluster.store.commits).toBe(1);
    expect(await client.readOnly((transaction) => score.value(transaction))).toBe(1n);
  });

  test.each([
    ["arrived", "after" as const, "committed"],
    ["did not arrive", true, "aborted"],
  ])("the outcome of a commit that %s can be asked for later", async (_name, fault, outcome) => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    cluster.fault = ({ type }) => {
      if (type !== "commit") return false;
      for (const address of ["one:1", "two:2"]) cluster.down.add(address);
      return fault;
    };
    const error = await client
      .execute((transaction) => score.increment(transaction), { timeoutMs: 60 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    cluster.down.clear();
    expect((await client.resolve(error as OutcomeUnknownError)).kind).toBe(outcome as "aborted");
    cluster.fault = () => false;
    const expected = outcome === "committed" ? 1n : 0n;
    expect(await client.readOnly((transaction) => score.value(transaction))).toBe(expected);
  });

  test("nothing can have become of one that only read: it is run again, whatever is known of its commit", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    cluster.fault = ({ type }) => {
      if (type === "commit") cluster.down.add("one:1").add("two:2");
      return type === "commit" && "after";
    };
    const error = await client
      .execute((transaction) => score.value(transaction), { timeoutMs: 60 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    cluster.down.clear();
    expect((await client.resolve(error as OutcomeUnknownError)).kind).toBe("aborted");
  });

  test("without a frontend they fail in time and did not happen", async () => {
    const cluster = new ModelCluster();
    cluster.down.add("one:1").add("two:2");
    const client = await clientOf(cluster);
    const attempt = client.execute(async (transaction) => motto.value(transaction), { timeoutMs: 50 });
    expect(await attempt.catch((error: unknown) => error)).toBeInstanceOf(UnavailableError);
    const blind = client.execute((transaction) => score.increment(transaction), { timeoutMs: 50 });
    expect(await blind.catch((error: unknown) => error)).toBeInstanceOf(UnavailableError);
  });

  test("a commit that is on its way when the client is closed has an unknown outcome, not none", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    const arrived = Promise.withResolvers<void>();
    cluster.fault = ({ type }) => {
      if (type === "commit") arrived.resolve();
      return type === "commit" ? "after" : false;
    };
    const attempt = client
      .execute((transaction) => score.increment(transaction))
      .catch((error: unknown) => error);
    await arrived.promise;
    await client.close();
    expect(await attempt).toBeInstanceOf(OutcomeUnknownError);
  });

  test("a frontend that says nothing any more is left for another one within three seconds", async () => {
    const cluster = new ModelCluster();
    const clock = new LifeClock();
    const client = await clientOf(cluster, { seams: { clock } });
    await client.connected();
    const [silent] = cluster.urls;
    cluster.latency = (url) => (url === silent ? new Promise(() => {}) : Promise.resolve());
    let isDone = false;
    const done = client.execute((transaction) => score.increment(transaction)).then(() => (isDone = true));
    let waitedMs = 0;
    for (; !isDone && waitedMs < 10_000; waitedMs += 100) {
      clock.advance(100);
      for (let hops = 0; hops < 100; hops++) await Promise.resolve();
    }
    await done;
    expect(waitedMs).toBeLessThanOrEqual(3000);
    expect(cluster.urls).not.toContain(silent as string);
  });

  test("what is longer than a frontend takes is refused at once, and the connection goes on", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    const [url] = cluster.urls;
    // The model's frontends take a mebibyte.
    const attempt = client.execute((transaction) => motto.set(transaction, "x".repeat(1 << 20)));
    const error = await attempt.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject({ code: "tooLarge" });
    expect(String(error)).toContain("a frontend takes 1048576");
    await client.execute((transaction) => score.increment(transaction));
    expect(cluster.urls).toEqual([url as string]);
    expect(cluster.received.filter(({ type }) => type === "commit")).toHaveLength(1);
  });

  test("what is over a limit of the protocol is refused at once, and the connection goes on", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    const many = Array.from({ length: 100_001 }, (_, index) => counter(`n${index}`));
    const attempts: [object, () => Promise<unknown>][] = [
      [
        { code: "tooMany" },
        () => client.readOnly((reader) => Promise.all(many.map((each) => each.value(reader)))),
      ],
      [{ code: "tooMany" }, () => client.execute((writer) => many.forEach((each) => each.increment(writer)))],
      [{ code: "tooLarge" }, () => client.list("k".repeat(65_536))],
      [{ code: "tooLarge" }, () => client.list("k", { after: "k".repeat(65_536) })],
      [{ name: "RangeError" }, () => client.list("k", { limit: 10_001 })],
      [{ name: "RangeError" }, () => client.list("k", { limit: -1 })],
      [{ name: "RangeError" }, () => client.list("k", { at: -1 })],
    ];
    for (const [wanted, attempt] of attempts)
      expect(await attempt().catch((reason: unknown) => reason)).toMatchObject(wanted);
    for (const delayMs of [-1, 60_001, Number.NaN])
      expect(() => client.executeReactive(() => undefined, { delayMs })).toThrow("delayMs: 0 to 60000");
    const prefixes = Array.from({ length: 1001 }, (_, index) => `p${index}`);
    const told = Promise.withResolvers<unknown>();
    const handle = client.executeReactive(
      async (reader) => {
        for (const prefix of prefixes) await reader.list(prefix);
      },
      { onError: told.resolve },
    );
    expect(await told.promise).toMatchObject({ code: "tooMany" });
    await handle.stop();
    await client.execute((transaction) => score.increment(transaction));
    expect(cluster.urls).toHaveLength(1);
  });

  test("read committed, what is read is asked for at once, never cached and not checked", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const strict = { isolation: "strict" } as const;
    await one.execute((transaction) => motto.set(transaction, "first"), strict);
    const seen: unknown[] = [];
    const isolation = "readCommitted";
    const { timestamp } = await one.executeTimed(
      async (transaction) => {
        const both = [motto.value(transaction), score.value(transaction)] as const;
        seen.push(await both[0], await both[1]);
        await other.execute((inner) => motto.set(inner, "between"), strict);
        score.add(transaction, 1);
      },
      { isolation },
    );
    expect(seen).toEqual(["first", 0n]);
    expect(timestamp).toBe(cluster.store.timestamp);
    const asked = cluster.received.filter(({ type }) => type === "read" || type === "begin");
    expect(asked).toMatchObject([{ at: COMMITTED, keys: [{}, {}] }]);
    const commits = cluster.received.filter(({ type }) => type === "commit");
    expect(commits.at(-1)).toMatchObject({ transaction: { level: 0, accesses: [{ reads: [] }] } });
    // What only reads has nothing to commit, and no place among what does.
    const only = await one.executeTimed((transaction) => motto.value(transaction), { isolation });
    expect(only).toEqual({ result: "between", timestamp: 0 });
    expect(cluster.received.filter(({ type }) => type === "commit")).toHaveLength(commits.length);
  });

  test("an isolation level that there is not is a mistake of the code", async () => {
    const client = await clientOf(new ModelCluster());
    const isolation = "serializable" as "strict";
    const attempt = client.execute((transaction) => score.increment(transaction), { isolation });
    expect(await attempt.catch(String)).toContain("one of strict, snapshot, readCommitted");
  });

  test("a refusal for good is told with its code, and a wrong token ends the client", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    await client.connected();
    cluster.fault = (message) => {
      if (message.type !== "commit") return false;
      cluster.say({ type: "failed", request: message.request, code: "forbidden", text: "no right to write" });
      return false;
    };
    const attempt = await client
      .execute((transaction) => score.increment(transaction))
      .catch((error) => error);
    expect(attempt).toBeInstanceOf(RequestError);
    expect(attempt).toMatchObject({ code: "forbidden" });
    cluster.say({ type: "failed", request: 0, code: "denied", text: "the token is not known" });
    await settled();
    cluster.cutAll();
    expect(await client.connected().catch((error: unknown) => error)).toMatchObject({ code: "denied" });
  });

  test("a token that is revoked ends reactive code with the reason, once, and the client with it", async () => {
    const cluster = new ModelCluster();
    const connection: unknown[] = [];
    const errors: unknown[] = [];
    const onConnection = (isConnected: boolean, reason: string) => connection.push([isConnected, reason]);
    const client = await clientOf(cluster, { onConnection });
    let runs = 0;
    client.executeReactive(async (transaction) => void (await score.value(transaction), (runs += 1)), {
      onError: (error) => errors.push(error),
    });
    const loop = (async () => {
      for await (const _value of client.follow((transaction) => score.value(transaction)));
    })().catch((error: unknown) => error);
    await until("both watches", () => (runs === 1 && cluster.watches === 2) || undefined);
    cluster.say({ type: "failed", request: 0, code: "denied", text: "the token does not count any more" });
    await settled();
    cluster.cutAll();
    await settled();
    expect(errors).toMatchObject([{ code: "denied" }]);
    expect(await loop).toMatchObject({ code: "denied", message: "the token does not count any more" });
    expect(connection).toEqual([
      [true, ""],
      [false, "the token does not count any more"],
    ]);
    expect(cluster.urls).toEqual([]);
  });
});

describe("reactive transactions", () => {
  test("run now and at each change of what they read, with what was pushed and no further request", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const seen: bigint[] = [];
    one.executeReactive(async (transaction) => void seen.push(await score.value(transaction)));
    await until("the first run", () => (seen.length === 1 && cluster.watches === 1 ? true : undefined));
    const reads = readsOf(cluster);
    for (let turn = 1; turn <= 5; turn++) {
      await other.execute((transaction) => score.increment(transaction));
      await until("a run", () => (seen.at(-1) === BigInt(turn) ? true : undefined));
      await other.execute((transaction) => motto.set(transaction, "nobody reads this"));
    }
    await settled();
    expect(seen).toEqual([0n, 1n, 2n, 3n, 4n, 5n]);
    expect(readsOf(cluster)).toBe(reads);
  });

  test("follow a pointer: the new target is watched, the old one is not", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const set = (key: string, value: string) =>
      other.execute((transaction) => text(key).set(transaction, value));
    await set("pointer", "a");
    const seen: string[] = [];
    one.executeReactive(async (transaction) => {
      const target = await text("pointer").value(transaction);
      seen.push(`${target}=${await text(target).value(transaction)}`);
    });
    const last = (wanted: string) => until(wanted, () => (seen.at(-1) === wanted ? true : undefined));
    await last("a=");
    await settled();
    await set("a", "1");
    await last("a=1");
    await set("pointer", "b");
    await last("b=");
    await settled();
    await set("a", "2");
    await set("b", "3");
    await last("b=3");
    expect(seen).toEqual(["a=", "a=1", "b=", "b=3"]);
  });

  test("miss nothing over connections that end, and their timestamps rise", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const runs: { timestamp: number; value: bigint }[] = [];
    one.executeReactive(async (transaction, run) => {
      const value = await score.value(transaction);
      runs.push({ timestamp: run.timestamp, value });
    });
    for (let turn = 1; turn <= 20; turn++) {
      if (turn % 3 === 0) cluster.cutAll();
      await other.execute((transaction) => score.increment(transaction));
    }
    await until("the last value", () => (runs.at(-1)?.value === 20n ? true : undefined));
    const timestamps = runs.map(({ timestamp }) => timestamp);
    expect(timestamps).toEqual(timestamps.toSorted((a, b) => a - b));
    expect(new Set(timestamps).size).toBe(timestamps.length);
  });

  test("errors of the code are reported, and it runs again at the next change", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const errors: unknown[] = [];
    const seen: bigint[] = [];
    client.executeReactive(
      async (transaction) => {
        const value = await score.value(transaction);
        if (value === 0n) throw new Error("nothing yet");
        seen.push(value);
      },
      { onError: (error) => errors.push(error) },
    );
    await until("the error", () => (errors.length === 1 && cluster.watches === 1 ? true : undefined));
    await client.execute((transaction) => score.increment(transaction));
    await until("the run", () => (seen.length === 1 ? true : undefined));
  });

  test("errors that nobody asked for are told on the console, and nothing ends", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const told = spyOn(console, "error").mockImplementation(() => {});
    try {
      let runs = 0;
      client.executeReactive(async (transaction) => {
        await score.value(transaction);
        throw new Error(`run ${++runs}`);
      });
      await until("the error", () => (told.mock.calls.length === 1 ? true : undefined));
      await until("the watch", () => (cluster.watches === 1 ? true : undefined));
      await client.execute((transaction) => score.increment(transaction));
      await until("the next run", () => (runs === 2 ? true : undefined));
      expect(told.mock.calls.map(([error]) => String(error))).toEqual(["Error: run 1", "Error: run 2"]);
    } finally {
      told.mockRestore();
    }
  });

  test("code that is slower than the changes sees the latest state, not each of them", async () => {
    const cluster = new ModelCluster();
    const [one, other] = [await clientOf(cluster), await clientOf(cluster)];
    const seen: bigint[] = [];
    const changes: number[] = [];
    let hold = Promise.resolve();
    one.executeReactive(async (transaction, run) => {
      changes.push(run.changes);
      seen.push(await score.value(transaction));
      await hold;
    });
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    const gate = Promise.withResolvers<void>();
    hold = gate.promise;
    for (let turn = 0; turn < 10; turn++) await other.execute((transaction) => score.increment(transaction));
    hold = Promise.resolve();
    gate.resolve();
    await until("the latest", () => (seen.at(-1) === 10n ? true : undefined));
    expect(seen.length).toBeLessThanOrEqual(4);
    expect(changes.reduce((sum, count) => sum + count)).toBe(10);
  });

  test("stopped means that nothing runs any more, and the frontend forgets it", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    let runs = 0;
    const handle = client.executeReactive(async (transaction) => {
      await score.value(transaction);
      runs += 1;
    });
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    await handle.stop();
    await client.execute((transaction) => score.increment(transaction));
    await settled();
    expect({ runs, watches: cluster.watches }).toEqual({ runs: 1, watches: 0 });
  });

  test("as a loop they give the latest value, and leaving the loop stops them", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const values: bigint[] = [];
    for await (const value of client.follow((transaction) => score.value(transaction))) {
      values.push(value);
      if (value === 3n) break;
      await client.execute((transaction) => score.increment(transaction));
    }
    expect(values).toEqual([0n, 1n, 2n, 3n]);
    await until("nothing to be watched", () => (cluster.watches === 0 ? true : undefined));
  });

  test("what is under a prefix can be listed, and a new key is a change", async () => {
    const cluster = new ModelCluster();
    const [client, other] = [await clientOf(cluster), await clientOf(cluster)];
    const seen: string[] = [];
    client.executeReactive(async (transaction) => {
      const entries = await transaction.list("user:");
      seen.push(entries.map(({ key }) => key).join());
    });
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    await other.execute((transaction) => text("user:b").set(transaction, "b"));
    await until("the new key", () => (seen.at(-1) === "user:b" ? true : undefined));
    await other.execute((transaction) => text("elsewhere").set(transaction, "x"));
    await other.execute((transaction) => text("user:a").set(transaction, "a"));
    await until("another one", () => (seen.at(-1) === "user:a,user:b" ? true : undefined));
    expect(seen).toEqual(["", "user:b", "user:a,user:b"]);
    const tooMany = client.readOnly((transaction) => transaction.list("user:", 1));
    expect(await tooMany.catch((error: unknown) => error)).toBeInstanceOf(RangeError);
  });

  test("a refetch asks for everything anew", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const causes: string[] = [];
    const handle = client.executeReactive(async (transaction, run) => {
      await score.value(transaction);
      causes.push(run.cause);
    });
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    const reads = readsOf(cluster);
    handle.refetch();
    await until("the second run", () => (causes.length === 2 ? true : undefined));
    expect(causes).toEqual(["first", "refetch"]);
    expect(readsOf(cluster)).toBe(reads + 1);
  });
});

test("the original's calls are there by their names", async () => {
  const cluster = new ModelCluster();
  const { execute_txn, reactive_txn, reactive_stop, abort_txn } = originalCalls(await clientOf(cluster));
  const seen: bigint[] = [];
  const id = reactive_txn(async (transaction) => void seen.push(await score.value(transaction)));
  await until("the first run", () => (cluster.watches === 1 ? true : undefined));
  const outcome = (code: Parameters<typeof execute_txn>[0]) =>
    new Promise<boolean>((resolve) => execute_txn(code, resolve));
  expect(await outcome((transaction) => score.increment(transaction))).toBe(true);
  expect(await outcome((transaction) => abort_txn(transaction))).toBe(false);
  await until("the change", () => (seen.at(-1) === 1n ? true : undefined));
  await reactive_stop(id);
  await until("it to be forgotten", () => (cluster.watches === 0 ? true : undefined));
});

describe("what is older than versions are kept", () => {
  /** Reads at a timestamp fail so many times. */
  function forgets(cluster: ModelCluster, times: number): void {
    let left = times;
    cluster.answer = (message) =>
      message.type === "read" && message.at !== NOW && left-- > 0
        ? { type: "failed", request: message.request, code: "tooOld", text: "read again without one" }
        : undefined;
  }

  test("a transaction and a read-only one are run again on the newest", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster, { cacheBytesMax: 0 });
    forgets(cluster, 2);
    let runs = 0;
    const both = async (transaction: Reader) => {
      runs += 1;
      await score.value(transaction);
      return motto.value(transaction);
    };
    expect(await client.execute(both)).toBe("");
    expect(await client.readOnly(both)).toBe("");
    expect(runs).toBe(4);
  });

  test("a reactive one says that it reads everything anew", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    const causes: string[] = [];
    client.executeReactive(async (transaction, run) => {
      await score.value(transaction);
      await motto.value(transaction);
      causes.push(run.cause);
    });
    forgets(cluster, 1);
    await until("the run", () => (causes.length === 1 && cluster.watches === 1 ? true : undefined));
    expect(causes).toEqual(["refetch"]);
    await client.execute((transaction) => score.increment(transaction));
    await until("the next run", () => (causes.length === 2 ? true : undefined));
    expect(causes).toEqual(["refetch", "changed"]);
  });

  test("a read that is refused is told, and what was read before still counts", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster, { cacheBytesMax: 0 });
    const errors: unknown[] = [];
    const seen: bigint[] = [];
    client.executeReactive(
      async (transaction) => {
        const value = await score.value(transaction);
        if (value === 1n) await motto.value(transaction);
        seen.push(value);
      },
      { onError: (error) => errors.push(error) },
    );
    await until("the first run", () => (seen.length === 1 && cluster.watches === 1 ? true : undefined));
    cluster.answer = (message) =>
      message.type === "read"
        ? { type: "failed", request: message.request, code: "forbidden", text: "no right to read" }
        : undefined;
    await client.execute((transaction) => score.increment(transaction));
    await until("the refusal", () => (errors.length === 1 ? true : undefined));
    await client.execute((transaction) => score.increment(transaction));
    await until("the next run", () => (seen.at(-1) === 2n ? true : undefined));
    expect(seen).toEqual([0n, 2n]);
  });

  test("a watch that a frontend refuses for good ends, with the reason", async () => {
    const cluster = new ModelCluster();
    const client = await clientOf(cluster);
    cluster.answer = (message) =>
      message.type === "watch"
        ? { type: "failed", request: message.request, code: "tooMany", text: "too many watches" }
        : undefined;
    const errors: unknown[] = [];
    client.executeReactive(async (transaction) => void (await score.value(transaction)), {
      onError: (error) => errors.push(error),
    });
    await until("the refusal", () => (errors.length === 1 ? true : undefined));
    expect(errors[0]).toMatchObject({ code: "tooMany" });
  });
});

describe("queued transactions", () => {
  test("are seen at once by optimistic code, committed when a frontend is there, and never flicker", async () => {
    const cluster = new ModelCluster();
    cluster.isQuiet = true;
    const client = await clientOf(cluster);
    const say = client.queued("say", (transaction, words: string) => list("chat").append(transaction, words));
    const note = client.queued("note", (transaction, words: string) =>
      list("notes").append(transaction, words),
    );
    const seen: { words: string[]; pending: number }[] = [];
    client.executeReactive(
      async (transaction, run) => {
        const words = await list("chat").value(transaction);
        seen.push({ words, pending: run.pending });
      },
      { optimistic: true },
    );
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    cluster.down.add("one:1").add("two:2");
    cluster.cutAll();
    const [first, second] = [await say("hello"), await say("world")];
    await until("both to be seen", () => (seen.at(-1)?.words.length === 2 ? true : undefined));
    expect(seen.at(-1)).toEqual({ words: ["hello", "world"], pending: 2 });
    expect(cluster.store.commits).toBe(0);
    const runs = seen.length;
    const elsewhere = await note("nobody who reads the chat sees this");
    await until("a run behind it", () => (seen.length > runs ? true : undefined));
    expect(seen.at(-1)).toEqual({ words: ["hello", "world"], pending: 2 });
    cluster.down.clear();
    await Promise.all([first.settled, second.settled, elsewhere.settled]);
    cluster.isQuiet = false;
    await client.execute((transaction) => list("chat").append(transaction, "!"));
    await until("the store's own", () => (seen.at(-1)?.words.length === 3 ? true : undefined));
    expect(seen.at(-1)).toEqual({ words: ["hello", "world", "!"], pending: 0 });
    const lengths = seen.map(({ words }) => words.length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  });

  test("what their code gives up is rolled back where it was seen", async () => {
    const cluster = new ModelCluster();
    const [client, other] = [await clientOf(cluster), await clientOf(cluster)];
    const spend = client.queued("spend", async (transaction, amount: number) => {
      if ((await score.value(transaction)) < BigInt(amount)) transaction.abort("not enough");
      score.add(transaction, -amount);
    });
    await client.execute((transaction) => score.set(transaction, 10));
    const seen: bigint[] = [];
    client.executeReactive(async (transaction) => void seen.push(await score.value(transaction)), {
      optimistic: true,
    });
    await until("the first run", () => (cluster.watches === 1 ? true : undefined));
    cluster.down.add("one:1").add("two:2");
    cluster.cutAll();
    const spent = await spend(8);
    await until("it to be seen", () => (seen.at(-1) === 2n ? true : undefined));
    cluster.down.clear();
    await until("somebody else to be faster", async () => {
      await other.execute((transaction) => score.set(transaction, 5));
      return true;
    });
    const outcome = await spent.settled.catch((error: unknown) => error);
    if (outcome instanceof AbortedError) {
      await until("the rollback", () => (seen.at(-1) === 5n ? true : undefined));
    } else await until("both", () => (seen.at(-1) === 5n ? true : undefined));
  });

  test.each([
    ["was never sent", () => true],
    ["arrived, but its answer did not", () => "after" as const],
    ["did not arrive", ({ type }: { type: string }) => type === "commit"],
  ] as [string, ModelCluster["fault"]][])(
    "one that %s when the program ended is committed once by its next life",
    async (_name, fault) => {
      const cluster = new ModelCluster();
      const storage = memoryStorage();
      const define = (client: Client) =>
        client.queued("add", (transaction, amount: number) => score.add(transaction, amount));
      const first = await cluster.client({ storage });
      await first.connected();
      let isOver = false;
      cluster.fault = (message, url) => {
        if (isOver || message.type !== "commit") return isOver;
        isOver = true;
        return fault(message, url);
      };
      if (_name === "was never sent") isOver = true;
      await define(first)(5);
      if (_name !== "was never sent") await until("the commit", () => isOver || undefined);
      await first.close();
      cluster.fault = () => false;
      const second = await clientOf(cluster, { storage });
      expect(second.queuedCount).toBe(1);
      define(second);
      await until("the queue to be empty", () => (second.queuedCount === 0 ? true : undefined));
      expect(await second.readOnly((transaction) => score.value(transaction))).toBe(5n);
      expect(cluster.store.commits).toBe(1);
    },
  );

  test("of an earlier life are committed once, also when others are committed before they are asked for", async () => {
    const cluster = new ModelCluster();
    const storage = memoryStorage();
    const define = (client: Client) =>
      client.queued("add", (transaction, amount: number) => score.add(transaction, amount));
    const first = await cluster.client({ storage });
    let isOver = false;
    cluster.fault = ({ type }) => {
      if (isOver || type !== "commit") return isOver;
      isOver = true;
      return "after";
    };
    await define(first)(5);
    await until("the commit", () => isOver || undefined);
    await first.close();
    cluster.fault = () => false;
    const second = await clientOf(cluster, { storage });
    for (let turn = 0; turn < 3; turn++) await second.execute((transaction) => score.add(transaction, 100));
    define(second);
    await until("the queue to be empty", () => (second.queuedCount === 0 ? true : undefined));
    expect(await second.readOnly((transaction) => score.value(transaction))).toBe(305n);
  });

  test("wait while the log cannot be written, are told of it once, and are committed once", async () => {
    const cluster = new ModelCluster();
    const kept = memoryStorage();
    let isFull = false;
    const append = (line: string) =>
      isFull && line.includes("settled") ? Promise.reject(new Error("no space left")) : kept.append(line);
    const errors: unknown[] = [];
    const client = await clientOf(cluster, {
      storage: { ...kept, append },
      onError: (error: unknown) => errors.push(error),
    });
    const add = client.queued("add", (transaction, amount: number) => score.add(transaction, amount));
    isFull = true;
    const { settled: done } = await add(5);
    await until("several attempts to keep its end", () =>
      cluster.received.filter(({ type }) => type === "resolve").length > 2 ? true : undefined,
    );
    isFull = false;
    await done;
    expect(errors.map(String)).toEqual(["StorageError: the client's log cannot be written: no space left"]);
    expect(await client.readOnly((transaction) => score.value(transaction))).toBe(5n);
  });

  test("are kept when the token is refused", async () => {
    const cluster = new ModelCluster();
    const storage = memoryStorage();
    const client = await clientOf(cluster, { storage });
    await client.connected();
    cluster.answer = (message) =>
      message.type === "commit"
        ? { type: "failed", request: message.request, code: "denied", text: "the token is not known" }
        : undefined;
    const say = client.queued("say", (transaction, words: string) => list("chat").append(transaction, words));
    await say("kept");
    await until("the refusal", () =>
      cluster.received.some(({ type }) => type === "commit") ? true : undefined,
    );
    await settled();
    await client.close();
    cluster.answer = () => undefined;
    const next = await clientOf(cluster, { storage });
    expect(next.queuedCount).toBe(1);
  });

  test("are committed in their order, one after the other", async () => {
    const cluster = new ModelCluster();
    cluster.down.add("one:1").add("two:2");
    const client = await clientOf(cluster);
    const say = client.queued("say", (transaction, words: string) => list("chat").append(transaction, words));
    const all = await Promise.all(["a", "b", "c", "d"].map((words) => say(words)));
    cluster.down.clear();
    await Promise.all(all.map(({ settled: done }) => done));
    expect(await client.readOnly((transaction) => list("chat").value(transaction))).toEqual([
      "a",
      "b",
      "c",
      "d",
    ]);
  });
});
