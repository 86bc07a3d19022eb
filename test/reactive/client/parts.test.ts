/** The parts of the client by themselves: the cache of versions, its log and where that is kept, names, waiting. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { decodeClientMessage, encodeServerMessage } from "../../../src/reactive/client-wire/codec.ts";
import type { ClientMessage, ServerMessage } from "../../../src/reactive/client-wire/messages.ts";
import { backoffMs } from "../../../src/reactive/client/backoff.ts";
import { ClientLog } from "../../../src/reactive/client/client-log.ts";
import { Connection, type Request, socketUrl } from "../../../src/reactive/client/connection.ts";
import type { Version } from "../../../src/reactive/client/execution.ts";
import { StorageError } from "../../../src/reactive/client/errors.ts";
import { transactionNames } from "../../../src/reactive/client/names.ts";
import { fileStorage, type LogStorage, memoryStorage } from "../../../src/reactive/client/storage.ts";
import type { OpenSocket, SocketHandlers } from "../../../src/reactive/client/socket.ts";
import { VersionCache } from "../../../src/reactive/client/version-cache.ts";
import { browser } from "./browser-tabs.ts";
import { LifeClock } from "./life.ts";

setDefaultTimeout(120_000);

const directory = mkdtempSync(join(tmpdir(), "node-x-client-"));
afterAll(() => rmSync(directory, { recursive: true }));

const bytes = (count: number): Version["value"] => ({ type: "bytes", bytes: new Uint8Array(count) });

describe("the cache", () => {
  /** A key's history: it changes at these timestamps, ascending. */
  const history = fc
    .uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 12 })
    .map((all) => all.sort((a, b) => a - b));
  const look = fc.record({
    key: fc.constantFrom("a", "b"),
    at: fc.integer({ min: 1, max: 60 }),
    isCapped: fc.boolean(),
  });

  const versionAt = (changes: number[], at: number, isCapped: boolean): Version => {
    const start = changes.findLast((each) => each <= at) ?? 0;
    const next = changes.find((each) => each > at) ?? Number.POSITIVE_INFINITY;
    return { start, end: isCapped ? at : Math.min(next - 1, 60), value: bytes(start) };
  };

  const holds = (cacheOf: () => VersionCache) =>
    fc.assert(
      fc.property(history, history, fc.array(look, { maxLength: 60 }), (a, b, looks) => {
        const cache = cacheOf();
        for (const { key, at, isCapped } of looks) {
          const changes = key === "a" ? a : b;
          for (let time = 1; time <= 60; time++) {
            const found = cache.at(key, time);
            if (found !== undefined && found.start !== versionAt(changes, time, true).start)
              throw new Error(`${key} at ${time}: ${found.start}`);
          }
          cache.learn(key, versionAt(changes, at, isCapped));
          const quiet = changes.find((each) => each > at) ?? 61;
          cache.extend(key, at, quiet - 1);
        }
      }),
      { numRuns: 200 },
    );

  test("never gives a version that a shard would not give", () => {
    holds(() => new VersionCache(1 << 20));
  });

  test("control: intervals without an end are found out", () => {
    class Unbounded extends VersionCache {
      override learn(key: string, version: Version): void {
        super.learn(key, { ...version, end: 60 });
      }
    }
    expect(() => holds(() => new Unbounded(1 << 20))).toThrow();
  });

  test("keeps to its size: the key that was not used for longest goes first", () => {
    const cache = new VersionCache(10_000);
    for (let index = 0; index < 100; index++) {
      cache.learn(`key ${index}`, { start: 1, end: 5, value: bytes(900) });
      cache.at("key 0", 1);
      expect(cache.bytes).toBeLessThanOrEqual(10_000);
    }
    expect(cache.at("key 0", 3)).toBeDefined();
    expect(cache.at("key 1", 3)).toBeUndefined();
    cache.learn("large", { start: 1, end: 5, value: bytes(20_000) });
    expect(cache.at("large", 1)).toBeUndefined();
    for (let index = 0; index < 100; index++) cache.forget(`key ${index}`);
    expect({ bytes: cache.bytes, keys: cache.keys }).toEqual({ bytes: 0, keys: 0 });
  });

  test("can be switched off", () => {
    const cache = new VersionCache(0);
    cache.learn("key", { start: 1, end: 5, value: bytes(1) });
    expect(cache.at("key", 3)).toBeUndefined();
  });
});

describe.each([
  ["memory", () => memoryStorage(), 1],
  ["a file", () => fileStorage(join(directory, `log-${Math.random()}`)), 1],
  ["a browser's storage", () => browser().tab(), 1],
] as [string, () => LogStorage, number][])("a log in %s", (_name, create) => {
  test("keeps lines in their order, and is replaced as a whole", async () => {
    const storage = create();
    expect(await storage.load()).toEqual([]);
    await storage.append("one");
    await storage.append("two, with é and \u{1f600}");
    expect(await reopened(storage)).toEqual(["one", "two, with é and \u{1f600}"]);
    await storage.replace(["three"]);
    await storage.append("four");
    expect(await reopened(storage)).toEqual(["three", "four"]);
    await storage.replace([]);
    expect(await reopened(storage)).toEqual([]);
    await storage.close();
  });

  async function reopened(storage: LogStorage): Promise<string[]> {
    await storage.close();
    return storage.load();
  }
});

test("a line that a crash cut short is not there, and the next one is whole", async () => {
  const path = join(directory, "torn");
  writeFileSync(path, "whole\nto");
  const storage = fileStorage(path);
  expect(await storage.load()).toEqual(["whole"]);
  await storage.append("next");
  await storage.close();
  expect(readFileSync(path, "utf8")).toBe("whole\nnext\n");
});

test("a line for which the disk has no room leaves nothing behind", async () => {
  const path = join(directory, "full");
  const lines = join(import.meta.dir, "../../../src/core/seams/line-file.ts");
  const script = `
    const { LineFile } = await import(${JSON.stringify(lines)});
    const file = new LineFile(${JSON.stringify(path)});
    await file.load();
    await file.append("short");
    console.log(await file.append("x".repeat(4096)).then(() => "kept", ({ code }) => code));
    await file.append("short again");
    await file.close();
  `;
  // A file may have one block; the signal that tells of more is ignored, so the write ends where the block does.
  const shell = `trap '' XFSZ; ulimit -f 1; exec "$0" -e "$1"`;
  const child = Bun.spawnSync(["bash", "-c", shell, process.execPath, script]);
  expect([child.stdout.toString(), child.stderr.toString()]).toEqual(["EFBIG\n", ""]);
  expect(readFileSync(path, "utf8")).toBe("short\nshort again\n");
});

test("a file belongs to one process; what a dead one left behind is taken over", async () => {
  const path = join(directory, "owned");
  const first = fileStorage(path);
  await first.load();
  expect(await fileStorage(path).load().catch(String)).toContain("another process has it");
  await first.close();
  writeFileSync(`${path}.lock`, "999999999\n");
  const second = fileStorage(path);
  expect(await second.load()).toEqual([]);
  await second.close();
});

test("every tab has a log of its own; a new tab goes on with that of a closed one", async () => {
  const { tab } = browser();
  const [one, other] = [tab(), tab()];
  await one.load();
  await other.load();
  await one.append("of the first");
  await other.append("of the second");
  await one.close();
  const next = tab();
  expect(await next.load()).toEqual(["of the first"]);
  await next.close();
  await other.close();
});

describe("the client's log", () => {
  const random = seededRandom(7);

  test("keeps the client's name, never gives a number twice, and knows what waits", async () => {
    const storage = memoryStorage();
    const given = new Set<number>();
    let client: number | undefined;
    for (let life = 0; life < 4; life++) {
      const log = await ClientLog.open(storage, random);
      client ??= log.client;
      expect(log.client).toBe(client);
      for (let index = 0; index < 12_000; index++) {
        const number = log.nextNumber();
        expect(given.has(number)).toBe(false);
        given.add(number);
      }
      const entry = await log.queue("post", { life });
      await log.attempt(entry, { number: life + 1, keys: ["k"] });
      if (life % 2 === 0) await log.settle(entry);
      await log.close();
    }
    const { entries } = await ClientLog.open(storage, random);
    expect(entries.map(({ arguments: words, attempt }) => ({ words, attempt }))).toEqual([
      { words: { life: 1 }, attempt: { number: 2, keys: ["k"] } },
      { words: { life: 3 }, attempt: { number: 4, keys: ["k"] } },
    ]);
  });

  test("says which transaction may still be asked for, until its end is kept", async () => {
    const storage = memoryStorage();
    const log = await ClientLog.open(storage, random);
    expect(log.oldestAttempt).toBe(Number.POSITIVE_INFINITY);
    const entry = await log.queue("post", 1);
    await log.attempt(entry, { number: 41, keys: ["k"] });
    expect((await ClientLog.open(storage, random)).oldestAttempt).toBe(41);
    const settling = log.settle(entry);
    expect(log.oldestAttempt).toBe(41);
    await settling;
    expect(log.oldestAttempt).toBe(Number.POSITIVE_INFINITY);
  });

  test("does not keep what it could not write, not even when it is written over", async () => {
    const kept = memoryStorage();
    let isFull = true;
    const append = (line: string) =>
      isFull ? Promise.reject(new Error("no space left on device")) : kept.append(line);
    const log = await ClientLog.open({ ...kept, append }, random);
    const refused = await log.queue("post", "refused").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StorageError);
    expect(String(refused)).toContain("no space left on device");
    isFull = false;
    for (let index = 0; index < 450; index++) await log.settle(await log.queue("post", index));
    expect((await kept.load()).join()).not.toContain("refused");
  });

  test("does not grow with what is settled", async () => {
    const path = join(directory, "grown");
    const storage = fileStorage(path);
    const log = await ClientLog.open(storage, random);
    for (let index = 0; index < 450; index++) await log.settle(await log.queue("post", index));
    await log.close();
    expect(readFileSync(path, "utf8").split("\n").length).toBeLessThan(420);
  });

  test("that is damaged is refused with the place", async () => {
    const path = join(directory, "damaged");
    const log = await ClientLog.open(fileStorage(path), random);
    await log.close();
    appendFileSync(path, "nonsense\n");
    expect(await ClientLog.open(fileStorage(path), random).catch(String)).toContain("damaged at line 2");
  });
});

test("the floor of names is below everything whose outcome may still be asked for", () => {
  let last = 0;
  const names = transactionNames(9, () => ++last);
  const [one, two] = [names.open(), names.open()];
  expect(names.floor).toBe(1);
  names.close(one);
  expect(names.floor).toBe(2);
  names.close(two);
  expect(names.floor).toBe(3);
  // Of an earlier life, whose log knows of it.
  expect(transactionNames(9, () => ++last, () => 1).floor).toBe(1); // prettier-ignore
});

test("waiting doubles up to its bound and is spread", () => {
  const backoff = { firstMs: 10, maxMs: 100 };
  expect([1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, backoff, 1))).toEqual([
    10, 20, 40, 80, 100, 100,
  ]);
  expect(backoffMs(1, backoff, 0)).toBe(5);
});

test("a long message on a slow line is not taken for the silence of the other side", () => {
  const clock = new LifeClock();
  let unsentBytes = 10_000;
  let isClosed = false;
  const open: OpenSocket = () => ({
    get unsentBytes() {
      return unsentBytes;
    },
    send() {},
    close: () => void (isClosed = true),
  });
  new Connection({
    ...{ url: "host:1", client: 1, token: "", open, clock },
    ...{ onWelcome() {}, onRuns() {}, onProgress() {}, onEnd() {} },
  });
  for (; unsentBytes > 0; unsentBytes -= 500) clock.advance(500);
  expect(isClosed).toBe(false);
  for (let ticks = 0; ticks < 6; ticks++) clock.advance(500);
  expect(isClosed).toBe(true);
});

describe("requests beyond what a frontend takes at once", () => {
  const id = (number: number) => ({ client: 1, number });
  const commit = (number: number): Request => ({
    type: "commit",
    transaction: { id: id(number), floor: 0, level: undefined, snapshot: 0, accesses: [] },
  });

  /** A connection to a frontend that answers when it is told to. */
  async function open() {
    const sent: ClientMessage[] = [];
    const handlers = Promise.withResolvers<SocketHandlers>();
    const connection = new Connection({
      ...{ url: "host:1", client: 1, token: "", clock: new LifeClock() },
      ...{ onWelcome() {}, onRuns() {}, onProgress() {}, onEnd() {} },
      open: (_url, given) => {
        handlers.resolve(given);
        return {
          send: (bytes) => void sent.push(decodeClientMessage(bytes)),
          close: () => given.onClose("closed"),
        };
      },
    });
    const { onOpen, onMessage } = await handlers.promise;
    onOpen();
    const say = (message: ServerMessage) => onMessage(encodeServerMessage(message));
    say({
      ...{ type: "welcome", protocol: 2, known: 1, principal: "", messageBytesMax: 1e6 },
      ...{ watchesMax: 1, watchedKeysMax: 1, tables: [] },
    });
    sent.length = 0;
    /** Answers all that was sent. */
    const answerAll = async () => {
      for (const message of sent.splice(0))
        if (message.type === "commit")
          say({ type: "settled", request: message.request, outcome: { kind: "committed", timestamp: 2 } });
      for (let hops = 0; hops < 10; hops++) await Promise.resolve();
    };
    return { connection, sent, answerAll };
  }

  test("wait in the client, in their order, and are all answered", async () => {
    const { connection, sent, answerAll } = await open();
    const all = Array.from({ length: 2500 }, (_, number) => connection.request(commit(number)));
    const numbers: number[] = [];
    for (let round = 0; round < 100 && sent.length > 0; round++) {
      expect(sent.length).toBeLessThanOrEqual(250);
      for (const message of sent) if (message.type === "commit") numbers.push(message.transaction.id.number);
      await answerAll();
    }
    expect(numbers).toEqual(Array.from({ length: 2500 }, (_, number) => number));
    expect((await Promise.all(all)).every(({ type }) => type === "settled")).toBe(true);
  });

  test("are passed by reads, and by who has its turn; all together stay below a thousand", async () => {
    const { connection, sent } = await open();
    const lost: Promise<unknown>[] = [];
    const ask = (request: Request) => lost.push(connection.request(request).catch(() => "lost"));
    for (let number = 1; number <= 1000; number++) {
      ask(commit(number));
      ask({ type: "readInTurn", line: number, id: id(10_000 + number), keys: [new Uint8Array(1)] });
    }
    const before = sent.length;
    ask({ type: "read", at: 0, keys: [new Uint8Array(1)] });
    ask(commit(10_001));
    expect(sent.slice(before).map(({ type }) => type)).toEqual(["read", "commit"]);
    connection.send({ type: "leave", line: 2 });
    ask(commit(10_002));
    expect(sent.at(-1)?.type).toBe("leave");
    for (let number = 3; number <= 1000; number++) {
      ask(commit(10_000 + number));
      ask({ type: "begin" });
    }
    expect(sent.length).toBeLessThan(1000);
    // What has not been sent yet ends with the connection, too.
    connection.close();
    expect(new Set(await Promise.all(lost))).toEqual(new Set(["lost"]));
  });
});

test("addresses may be written as people write them", () => {
  expect(
    ["host:1", "http://host:1", "https://host", "ws://host:1/elsewhere", "http://[::1]:5/"].map(socketUrl),
  ).toEqual([
    "ws://host:1/v1/connect",
    "ws://host:1/v1/connect",
    "wss://host/v1/connect",
    "ws://host:1/elsewhere",
    "ws://[::1]:5/v1/connect",
  ]);
});
