/** What the engine does when a client or the node is at a limit. */
import { afterEach, describe, expect, test } from "bun:test";
import { RespFlag, type RespSettings } from "../../../../src/native/resp.ts";
import { encode } from "./raw.ts";
import { openTestService, type TestService } from "./service.ts";

let node: TestService | undefined;
function open(settings: Partial<RespSettings> = {}): TestService {
  node = openTestService(settings);
  return node;
}
afterEach(() => {
  node?.close();
  node = undefined;
});

describe("output", () => {
  test("execution stops at the soft reply limit and goes on only when asked", () => {
    const { engine, service, run, open: connect } = open({ replySoftBytesMax: 10_000 });
    const session = connect();
    run(session, "SET", "k", "x".repeat(4000));
    let flags = service.receive(
      session,
      Buffer.concat(Array.from({ length: 10 }, () => encode(["GET", "k"]))),
    );
    expect(flags).toBe(RespFlag.More);
    expect(engine.replies().byteLength).toBe(3 * 4009);
    // Input that arrives meanwhile waits its turn.
    flags = service.receive(session, encode(["PING"]));
    expect([flags, engine.replies().byteLength]).toEqual([RespFlag.More, 0]);
    let bytes = 3 * 4009;
    while ((flags & RespFlag.More) !== 0) {
      flags = service.resume(session);
      expect(engine.replies().byteLength).toBeLessThanOrEqual(3 * 4009 + 7);
      bytes += engine.replies().byteLength;
    }
    expect(bytes).toBe(10 * 4009 + "+PONG\r\n".length);
  });

  test("a reply over the hard limit becomes an error that names SCAN, and nothing is lost by it", () => {
    const { run, open: connect } = open({ replyBytesMax: 1200, valueBytesMax: 1100 });
    const session = connect();
    const error =
      "-ERR the reply would be longer than 1200 bytes: ask for less at a time, e.g. with SCAN\r\n";
    for (let index = 0; index < 100; index++) run(session, "SET", `a-rather-long-key-${index}`, "v");
    const large = "x".repeat(1100);
    run(session, "SET", "large", large);
    expect(run(session, "KEYS", "*")).toBe(error);
    expect(run(session, "MGET", "large", "large")).toBe(error);
    expect(run(session, "GET", "large")).toBe(`$1100\r\n${large}\r\n`);
    // The reply of a transaction is one: what would not fit must not be taken away either.
    for (const destructive of [
      ["GETDEL", "large"],
      ["GETSET", "large", "y"],
      ["SET", "large", "y", "GET"],
      ["GETEX", "large", "EX", "10"],
    ]) {
      run(session, "MULTI");
      run(session, "GET", "large");
      run(session, ...destructive);
      run(session, "PING");
      expect(run(session, "EXEC")).toBe(`*3\r\n$1100\r\n${large}\r\n${error}+PONG\r\n`);
      expect(run(session, "STRLEN", "large")).toBe(":1100\r\n");
      expect(run(session, "TTL", "large")).toBe(":-1\r\n");
    }
  });

  test("whatever value may be stored may be read", () => {
    const { run, open: connect } = open({ replyBytesMax: 10, valueBytesMax: 100_000, replySoftBytesMax: 5 });
    const session = connect();
    run(session, "SET", "k", "x".repeat(100_000));
    expect(run(session, "GET", "k")).toHaveLength(100_011);
  });
});

describe("input", () => {
  test("an unfinished request over the limit closes the connection", () => {
    const { service, send, open: connect } = open({ requestBytesMax: 10_000 });
    const session = connect();
    const { text, flags } = send(session, Buffer.from(`*2\r\n$4\r\nECHO\r\n$60000\r\n${"x".repeat(20_000)}`));
    expect(text).toBe("-ERR Protocol error: request is too large\r\n");
    expect(flags).toBe(RespFlag.Close);
    expect(service.receive(session, encode(["PING"]))).toBe(RespFlag.Close);
  });

  test("all clients together hold a bounded amount, and leaving gives it back", () => {
    const { engine, send, service, open: connect } = open({ inputBytesMax: 200_000 });
    const part = Buffer.from(`*2\r\n$4\r\nECHO\r\n$60000\r\n${"x".repeat(50_000)}`);
    const sessions = Array.from({ length: 10 }, connect);
    const ends = sessions.map((session) => send(session, part));
    const refused = ends.filter(({ flags }) => flags === RespFlag.Close);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(10);
    expect(refused[0]?.text).toBe("-ERR Protocol error: too much unfinished input on this server\r\n");
    expect(engine.statistics().inputBytes).toBeLessThanOrEqual(200_000);
    for (const session of sessions) service.close(session);
    expect(engine.statistics().inputBytes).toBe(0);
  });

  test("a transaction that does not fit cannot be executed", () => {
    const { run, open: connect } = open({ requestBytesMax: 10_000 });
    const session = connect();
    run(session, "MULTI");
    expect(run(session, "SET", "a", "x".repeat(6000))).toBe("+QUEUED\r\n");
    expect(run(session, "SET", "b", "x".repeat(6000))).toBe("-ERR the transaction is too large to queue\r\n");
    expect(run(session, "EXEC")).toBe("-EXECABORT Transaction discarded because of previous errors.\r\n");
    expect(run(session, "EXISTS", "a")).toBe(":0\r\n");
  });

  test("watched keys are bounded too", () => {
    const { engine, run, open: connect, service } = open({ inputBytesMax: 20_000 });
    const session = connect();
    const keys = Array.from({ length: 500 }, (_, index) => `key-${index}`);
    expect(run(session, "WATCH", ...keys)).toBe("-ERR too many watched keys on this server\r\n");
    expect(engine.statistics().watchedKeys).toBeGreaterThan(50);
    service.close(session);
    expect(engine.statistics()).toMatchObject({ inputBytes: 0, watchedKeys: 0 });
  });

  test("idle connections hold no input and little memory", () => {
    const { engine, run, open: connect } = open();
    const before = process.memoryUsage.rss();
    const sessions = Array.from({ length: 10_000 }, connect);
    for (const session of sessions) run(session, "PING");
    expect(engine.statistics()).toMatchObject({ connections: 10_000, inputBytes: 0 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(60 * 1024 * 1024);
  });

  test("keys and values over the limit are refused by name", () => {
    const { run, send, open: connect } = open({ valueBytesMax: 1_000_000 });
    const session = connect();
    expect(run(session, "SET", "k".repeat(524_289), "v")).toBe("-ERR key is longer than 524288 bytes\r\n");
    expect(run(session, "SET", "k".repeat(524_288), "v")).toBe("+OK\r\n");
    run(session, "SET", "a", "x".repeat(999_999));
    expect(run(session, "APPEND", "a", "x")).toBe(":1000000\r\n");
    const tooLong = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    expect(run(session, "APPEND", "a", "x")).toBe(tooLong);
    expect(run(session, "SETRANGE", "a", "1000000", "x")).toBe(tooLong);
    expect(send(session, Buffer.from("*2\r\n$4\r\nECHO\r\n$1000001\r\n"))).toEqual({
      text: "-ERR Protocol error: invalid bulk length\r\n",
      flags: RespFlag.Close,
    });
  });
});

describe("the store", () => {
  const oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

  test("at the memory limit writes are refused, reads and removals go on", () => {
    const { run, open: connect } = open({ memoryBytesMax: 4 * 1024 * 1024 });
    const session = connect();
    let stored = 0;
    while (run(session, "SET", `k${stored}`, "x".repeat(10_000)) === "+OK\r\n") stored++;
    expect(stored).toBeGreaterThan(100);
    expect(run(session, "SET", "another", "x".repeat(10_000))).toBe(oom);
    expect(run(session, "STRLEN", "k0")).toBe(":10000\r\n");
    expect(run(session, "DEL", ...Array.from({ length: 50 }, (_, index) => `k${index}`))).toBe(":50\r\n");
    expect(run(session, "SET", "another", "x".repeat(10_000))).toBe("+OK\r\n");
  });

  test("MSET stores all pairs or none", () => {
    const { run, open: connect } = open({ memoryBytesMax: 4 * 1024 * 1024 });
    const session = connect();
    const pairs = (count: number) =>
      Array.from({ length: count }, (_, index) => [`k${index}`, "x".repeat(10_000)]).flat();
    expect(run(session, "MSET", ...pairs(600))).toBe(oom);
    expect(run(session, "DBSIZE")).toBe(":0\r\n");
    expect(run(session, "MSETNX", ...pairs(600))).toBe(oom);
    expect(run(session, "DBSIZE")).toBe(":0\r\n");
    expect(run(session, "MSET", ...pairs(300))).toBe("+OK\r\n");
    expect(run(session, "SET", "large", "x".repeat(3_000_000))).toBe(oom);
  });

  test("while writes are refused, reads go on and a transaction that writes is discarded", () => {
    const { engine, run, open: connect } = open();
    const session = connect();
    run(session, "SET", "k", "1");
    run(session, "MULTI");
    run(session, "SET", "k", "2");
    engine.refuseWrites("MISCONF the disk is full");
    expect(run(session, "EXEC")).toBe(
      "-EXECABORT Transaction discarded because of: MISCONF the disk is full\r\n",
    );
    expect(run(session, "SET", "k", "2")).toBe("-MISCONF the disk is full\r\n");
    expect(run(session, "FLUSHALL")).toBe("-MISCONF the disk is full\r\n");
    expect(run(session, "GET", "k")).toBe("$1\r\n1\r\n");
    run(session, "MULTI");
    run(session, "GET", "k");
    expect(run(session, "EXEC")).toBe("*1\r\n$1\r\n1\r\n");
    engine.refuseWrites(undefined);
    expect(run(session, "SET", "k", "2")).toBe("+OK\r\n");
  });

  test("a watched key whose time comes breaks the transaction", () => {
    const { run, advance, open: connect } = open();
    const session = connect();
    for (const [waitMs, reply] of [
      [999, "*0\r\n"],
      [1000, "*-1\r\n"],
    ] as const) {
      run(session, "SET", "k", "v", "PX", "1000");
      run(session, "WATCH", "k");
      run(session, "MULTI");
      advance(waitMs);
      expect(run(session, "EXEC")).toBe(reply);
    }
    // A key that was gone already may stay gone.
    run(session, "SET", "k", "v", "PX", "1000");
    advance(1000);
    run(session, "WATCH", "k");
    run(session, "MULTI");
    expect(run(session, "EXEC")).toBe("*0\r\n");
  });

  test("a channel that another client removes is found again", () => {
    const { run, open: connect } = open();
    const [first, second] = [connect(), connect()];
    expect(run(first, "SELECT", "orders_2024")).toBe("+OK\r\n");
    run(second, "SELECT", "orders_2024");
    run(first, "SET", "k", "1");
    expect(run(second, "GET", "k")).toBe("$1\r\n1\r\n");
    run(second, "FLUSHDB");
    expect(run(first, "GET", "k")).toBe("$-1\r\n");
    run(first, "SET", "k", "2");
    expect(run(second, "GET", "k")).toBe("$1\r\n2\r\n");
    expect(run(first, "SELECT", "no/such")).toStartWith("-ERR invalid channel name");
    expect(run(first, "SELECT", "x".repeat(241))).toStartWith("-ERR invalid channel name");
  });

  test("SCAN meets every key that stays, whatever is written meanwhile", () => {
    const { run, open: connect } = open();
    const session = connect();
    for (let index = 0; index < 1000; index++) run(session, "SET", `stay-${index}`, "v");
    const met = new Set<string>();
    let cursor = "0";
    let written = 0;
    do {
      const reply = run(session, "SCAN", cursor, "COUNT", "10", "MATCH", "stay-*");
      const lines = reply.split("\r\n");
      cursor = lines[2] ?? "";
      for (const line of lines) if (line.startsWith("stay-")) met.add(line);
      for (let index = 0; index < 50; index++) run(session, "SET", `new-${written++}`, "v");
      run(session, "DEL", `new-${written - 10}`);
    } while (cursor !== "0" && written < 100_000);
    expect(met.size).toBe(1000);
  });
});

describe("a transaction's effects", () => {
  test("are held back while an admin command inside EXEC waits, and are complete when receive returns", () => {
    const { engine, service, store, run, open: connect } = open();
    store.setLogging(true);
    const session = connect();
    for (const words of [["MULTI"], ["SET", "a", "1"], ["CLIENT", "ID"], ["SET", "b", "2"]])
      run(session, ...words);
    const flags = engine.feed(session.connection, encode(["EXEC"]), 1);
    expect(flags).toBe(RespFlag.Admin | RespFlag.Hold);
    const half = engine.effectsLength;
    expect(half).toBeGreaterThan(0);
    expect(engine.answerAdmin(session.connection, Buffer.from(":1\r\n"), 1)).toBe(0);
    expect(Buffer.from(engine.replies()).toString()).toBe("*3\r\n+OK\r\n:1\r\n+OK\r\n");
    expect(engine.effectsLength).toBe(2 * half);
    for (const words of [["MULTI"], ["SET", "a", "1"], ["CLIENT", "ID"], ["SET", "b", "2"]])
      run(session, ...words);
    expect(service.receive(session, encode(["EXEC"]))).toBe(0);
    expect(engine.effectsLength).toBe(4 * half);
  });
});
