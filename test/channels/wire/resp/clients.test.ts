/** Clients that others wrote: redis-cli, redis-benchmark, ioredis and Bun's. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RedisClient } from "bun";
import { Redis } from "ioredis";
import { RawClient, encode } from "./raw.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server[Symbol.asyncDispose]());

async function run(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ code: await child.exited, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}
const cli = (...words: string[]) => run("redis-cli", "-p", `${server.port}`, ...words);

describe("redis-cli", () => {
  test("sets, gets, selects a channel by name, speaks RESP3", async () => {
    expect(await cli("SET", "cli", "value")).toBe("OK\n");
    expect(await cli("GET", "cli")).toBe("value\n");
    expect(await cli("-3", "--json", "CONFIG", "GET", "databases")).toBe('{"databases":"16"}\n');
    expect(await cli("--no-auth-warning", "-3", "GET", "nothing")).toBe("\n");
  });

  test("--scan finds all keys, INFO is readable", async () => {
    await cli("MSET", ...Array.from({ length: 30 }, (_, index) => [`scan:${index}`, "v"]).flat());
    const found = (await cli("--scan", "--pattern", "scan:*")).trim().split("\n").sort();
    expect(found).toEqual(Array.from({ length: 30 }, (_, index) => `scan:${index}`).sort());
    expect(await cli("INFO", "server")).toContain("redis_version:7.0.15");
  });

  test("--pipe loads a stream of requests", async () => {
    const requests = Buffer.concat(
      Array.from({ length: 2000 }, (_, index) => encode(["SET", `pipe:${index}`, "v"])),
    );
    const child = Bun.spawn(["redis-cli", "-p", `${server.port}`, "--pipe"], {
      stdin: requests,
      stdout: "pipe",
    });
    expect(await new Response(child.stdout).text()).toContain("errors: 0, replies: 2000");
    expect(await child.exited).toBe(0);
  });
});

test("redis-benchmark finishes its tests without an error", async () => {
  const output = await run(
    ...["redis-benchmark", "-p", `${server.port}`, "-t", "ping,set,get,incr,mset"],
    ...["-n", "5000", "-P", "16", "-c", "20", "-r", "100", "-q"],
  );
  for (const name of ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"]) {
    expect(output).toMatch(new RegExp(`${name}[^\\r]*: [1-9][0-9.]* requests per second`));
  }
});

describe("ioredis", () => {
  test("commands, pipelines, transactions, streams of keys", async () => {
    const client = new Redis({
      port: server.port,
      host: "127.0.0.1",
      db: 5,
      connectionName: "io",
      lazyConnect: true,
    });
    await client.connect();
    expect(await client.client("GETNAME")).toBe("io");
    expect(await client.set("k", "v", "EX", 100)).toBe("OK");
    expect(await client.ttl("k")).toBe(100);
    expect(await client.getBuffer("k")).toEqual(Buffer.from("v"));
    const replies = await client.pipeline().incr("n").incr("n").get("n").exec();
    expect(replies?.map(([error, value]) => error ?? value)).toEqual([1, 2, "2"]);
    const results = await client.multi().set("t", "1").incrby("t", 4).mget("t", "missing").exec();
    expect(results?.map(([error, value]) => error ?? value)).toEqual(["OK", 5, ["5", null]]);
    const keys: string[] = [];
    for await (const batch of client.scanStream()) keys.push(...(batch as string[]));
    expect(keys.sort()).toEqual(["k", "n", "t"]);
    await client.flushdb();
    expect(await client.dbsize()).toBe(0);
    client.disconnect();
  });
});

describe("Bun's client", () => {
  test("HELLO 3, strings, counters, expiry", async () => {
    const client = new RedisClient(`redis://127.0.0.1:${server.port}/6`);
    await client.set("k", "v");
    expect(await client.get("k")).toBe("v");
    expect(await client.get("missing")).toBeNull();
    expect(await client.incr("n")).toBe(1);
    await client.expire("k", 100);
    expect(await client.ttl("k")).toBe(100);
    expect(await client.exists("k")).toBe(true);
    expect(await client.mget("k", "missing")).toEqual(["v", null]);
    expect(await client.send("CONFIG", ["GET", "databases"])).toEqual({ databases: "16" });
    expect(await client.del("k")).toBe(1);
    client.close();
  });
});

/**
 * The most bytes that waited in the server while a client asked for 200 MB of replies and did not read them.
 */
async function waitingBytes(replySoftBytesMax: number): Promise<number> {
  await using limited = await startTestServer({ settings: { replySoftBytesMax } });
  await using client = await RawClient.connect(limited.port);
  await client.command("SET", "big", "x".repeat(100_000));
  client.pause();
  client.send(Buffer.concat(Array.from({ length: 2000 }, () => encode(["GET", "big"]))));
  await using other = await RawClient.connect(limited.port);
  let most = 0;
  for (let index = 0; index < 500; index++) {
    await other.command("PING");
    for (const session of limited.service.sessions.values()) most = Math.max(most, session.outputBytes());
  }
  client.resume();
  expect(await client.skip(2000 * 100_011)).toBe(true);
  expect((await client.command("PING")).toString()).toBe("+PONG\r\n");
  return most;
}

describe("a client that sends and never reads", () => {
  test("makes the server hold no more than the soft limit and one reply", async () => {
    expect(await waitingBytes(1024 * 1024)).toBeLessThan(1024 * 1024 + 100_011);
  }, 120_000);

  test("would make it hold everything if execution did not stop there", async () => {
    expect(await waitingBytes(2 ** 40)).toBeGreaterThan(100 * 1024 * 1024);
  }, 120_000);
});
