/** Administrative commands, as far as redis-server cannot be the judge. */
import { afterEach, describe, expect, test } from "bun:test";
import { commandDocs } from "../../../../src/channels/wire/resp/docs.ts";
import { RespFlag } from "../../../../src/native/resp.ts";
import { encode } from "./raw.ts";
import { openTestService, type TestService } from "./service.ts";

let node: TestService | undefined;
function open(password?: string): TestService {
  node = openTestService({}, password);
  return node;
}
afterEach(() => {
  node?.close();
  node = undefined;
});

describe("INFO", () => {
  test("counts commands, errors, hits and channels", () => {
    const { run, open: connect } = open();
    const session = connect();
    run(session, "SET", "k", "1");
    run(session, "GET", "k");
    run(session, "GET", "missing");
    run(session, "INCR", "k", "x");
    run(session, "SET", "k", "v", "BOGUS");
    run(session, "SELECT", "orders");
    run(session, "SET", "o", "1");
    const text = run(session, "INFO", "all");
    for (const line of [
      "# Server",
      "redis_version:7.0.15",
      "total_commands_processed:7",
      "keyspace_hits:1",
      "keyspace_misses:1",
      "total_error_replies:2",
      "cmdstat_set:calls=3,rejected_calls=0,failed_calls=1",
      "cmdstat_incr:calls=0,rejected_calls=1,failed_calls=0",
      "db0:keys=1",
      "channel_orders:keys=1",
      "used_memory:1",
    ]) {
      expect(text).toContain(`${line}\r\n`);
    }
    run(session, "CONFIG", "RESETSTAT");
    expect(run(session, "INFO", "stats")).toContain("keyspace_hits:0\r\n");
  });

  test("shows only the sections asked for", () => {
    const { run, open: connect } = open();
    const text = run(connect(), "INFO", "Clients", "memory");
    expect(text.match(/# \w+/g)).toEqual(["# Clients", "# Memory"]);
  });
});

describe("CLIENT", () => {
  test("LIST shows each client with its channel, transaction and name", () => {
    const { run, open: connect } = open();
    const [first, second] = [connect(), connect()];
    run(first, "CLIENT", "SETNAME", "me");
    run(first, "SELECT", "3");
    run(second, "MULTI");
    run(second, "GET", "k");
    const lines = run(first, "CLIENT", "LIST")
      .split("\n")
      .filter((line) => line.includes("addr="));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain(`id=${first.id} addr=127.0.0.1:1 laddr=127.0.0.1:2 name=me`);
    expect(lines[0]).toContain(" db=3 multi=-1 ");
    expect(lines[1]).toContain(" flags=x db=0 multi=1 ");
    expect(run(first, "CLIENT", "LIST", "ID", `${second.id}`).match(/ addr=/g)).toHaveLength(1);
    expect(run(first, "CLIENT", "ID")).toBe(`:${first.id}\r\n`);
  });

  test("KILL closes others at once and the caller after its reply", () => {
    const { run, send, closed, open: connect } = open();
    const [first, second] = [connect(), connect()];
    expect(run(first, "CLIENT", "KILL", "ID", `${second.id}`)).toBe(":1\r\n");
    expect(closed).toEqual([second]);
    expect(run(first, "CLIENT", "KILL", "ID", `${first.id}`)).toBe(":0\r\n");
    expect(send(first, encode(["CLIENT", "KILL", "ID", `${first.id}`, "SKIPME", "no"]))).toEqual({
      text: ":1\r\n",
      flags: RespFlag.Close,
    });
  });
});

describe("authentication", () => {
  test("HELLO authenticates, names and chooses the version at once; RESET takes all back", () => {
    const { run, open: connect } = open("secret");
    const session = connect();
    expect(run(session, "GET", "k")).toBe("-NOAUTH Authentication required.\r\n");
    expect(run(session, "HELLO", "3", "AUTH", "default", "secret", "SETNAME", "n")).toStartWith("%7\r\n");
    expect(run(session, "GET", "k")).toBe("_\r\n");
    expect(run(session, "CLIENT", "GETNAME")).toBe("$1\r\nn\r\n");
    expect(run(session, "RESET")).toBe("+RESET\r\n");
    expect(run(session, "GET", "k")).toBe("-NOAUTH Authentication required.\r\n");
    expect(run(session, "AUTH", "secret")).toBe("+OK\r\n");
    expect(run(session, "CLIENT", "GETNAME")).toBe("$-1\r\n");
  });
});

describe("COMMAND", () => {
  const commandNames = () =>
    open()
      .engine.commands()
      .map(({ name }) => name)
      .filter((name) => !name.includes("|"));

  test("every command of the table is documented", () => {
    expect(commandNames().filter((name) => !commandDocs.has(name))).toEqual([]);
  });

  test("every command is named in docs/redis.md, or in docs/queue.md when only the queue node has it", async () => {
    const pages = await Promise.all(
      ["redis", "queue"].map((name) =>
        Bun.file(new URL(`../../../../docs/${name}.md`, import.meta.url)).text(),
      ),
    );
    const own = new Set(commandNames());
    const missing = [...commandDocs.keys()].filter(
      (name) => !new RegExp(`\\b${name.toUpperCase()}\\b`).test(pages[own.has(name) ? 0 : 1] as string),
    );
    expect(missing).toEqual([]);
  });

  test("every command of the table has somebody who answers it", () => {
    const { engine, run, open: connect } = open();
    for (const { name, arity } of engine.commands().filter(({ name }) => !name.includes("|"))) {
      const words = [name, ...Array.from({ length: Math.abs(arity) - 1 }, () => "1")];
      expect(run(connect(), ...words)).not.toContain("is not offered");
    }
    expect(run(connect(), "BGREWRITEAOF")).toBe("+Background append only file rewriting started\r\n");
  });

  test("COUNT, DOCS and LIST agree", () => {
    const count = commandNames().length;
    const { run, open: connect } = open();
    const session = connect();
    expect(run(session, "COMMAND", "COUNT")).toBe(`:${count}\r\n`);
    expect(run(session, "COMMAND", "LIST")).toStartWith(`*${count}\r\n`);
    expect(run(session, "COMMAND", "DOCS")).toStartWith(`*${count * 2}\r\n`);
    expect(run(session, "COMMAND", "DOCS", "get")).toContain("Reads a value.");
  });
});

describe("LATENCY", () => {
  test("keeps the worst of each second, above the threshold only", () => {
    const { run, latency, open: connect } = open();
    const session = connect();
    latency.record("fsync", 50, 1_000_000);
    expect(run(session, "LATENCY", "LATEST")).toBe("*0\r\n");
    latency.thresholdMs = 10;
    latency.record("fsync", 5, 1_000_000);
    latency.record("fsync", 50.7, 1_000_000);
    latency.record("fsync", 40, 1_000_500);
    latency.record("fsync", 20, 1_002_000);
    expect(run(session, "LATENCY", "LATEST")).toBe("*1\r\n*4\r\n$5\r\nfsync\r\n:1002\r\n:20\r\n:50\r\n");
    expect(run(session, "LATENCY", "HISTORY", "fsync")).toBe(
      "*2\r\n*2\r\n:1000\r\n:50\r\n*2\r\n:1002\r\n:20\r\n",
    );
    expect(run(session, "LATENCY", "DOCTOR")).toContain("fsync: 2 samples");
    expect(run(session, "LATENCY", "RESET")).toBe(":1\r\n");
    expect(run(session, "LATENCY", "LATEST")).toBe("*0\r\n");
  });
});

test("TIME is the clock's, in seconds and microseconds", () => {
  const { run, open: connect, advance } = open();
  advance(1234);
  expect(run(connect(), "TIME")).toBe("*2\r\n$10\r\n1700000001\r\n$6\r\n234000\r\n");
});

test("a failure inside an admin command is that command's error and nothing more", () => {
  const { run, open: connect } = open();
  const session = connect();
  session.outputBytes = () => {
    throw new Error("no figure");
  };
  expect(run(session, "CLIENT", "INFO")).toBe("-ERR client failed: no figure\r\n");
  expect(run(session, "PING")).toBe("+PONG\r\n");
});
