/**
 * Random command sequences against redis-server and the engine.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { normalise } from "./normalise.ts";
import { encode, RawClient } from "./raw.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { startTestServer, type TestServer } from "./server.ts";

let redis: RedisServer;
let ours: TestServer;

beforeAll(async () => {
  [redis, ours] = await Promise.all([startRedis(), startTestServer()]);
});
afterAll(async () => {
  await Promise.all([redis[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
});

const key = fc.constantFrom("a", "b", "c", "0123456789abcdef", "");
const value = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.integer().map(String),
  fc.maxSafeInteger().map(String),
  fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e6, max: 1e6 }).map(String),
  fc.constantFrom("9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e3", "", "007"),
);
const integer = fc.oneof(
  fc.integer({ min: -30, max: 30 }).map(String),
  fc.constantFrom("9223372036854775807", "-9223372036854775808", "x", "1.5"),
);
/** Far enough from every rounding, or long past. */
const expiry: fc.Arbitrary<string[]> = fc.oneof(
  fc.tuple(fc.constantFrom("EX", "ex"), fc.constantFrom("100", "200", "0", "-1", "x")),
  fc.tuple(fc.constantFrom("PX"), fc.constantFrom("100000", "200000", "0")),
  fc.tuple(fc.constantFrom("EXAT", "PXAT"), fc.constantFrom("1", "9999999999999", "0")),
);
const setOption = fc.oneof(
  fc.constantFrom<string[]>(["NX"], ["XX"], ["GET"], ["KEEPTTL"], ["bogus"]),
  expiry,
);

function command(...parts: (string | fc.Arbitrary<string | string[]>)[]): fc.Arbitrary<string[]> {
  return fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part) : part)))
    .map((words) => words.flat());
}
const some = (word: fc.Arbitrary<string>) => fc.array(word, { minLength: 1, maxLength: 4 });
const pairs = fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 3 }).map((list) => list.flat());
const options = fc.array(setOption, { maxLength: 3 }).map((list) => list.flat());
/**
 * Whether a moment is later than another must not depend on a millisecond: relative times take no GT and LT.
 */
const presence = fc.array(fc.constantFrom("NX", "XX"), { maxLength: 2 });
const condition = fc.array(fc.constantFrom("NX", "XX", "GT", "LT"), { maxLength: 2 });
const seconds = fc.constantFrom("100", "200", "300", "0", "-5", "x", "9223372036854775807");

/** No DBSIZE: when records whose time has come are removed is each server's own. */
const anyCommand = fc.oneof(
  { weight: 4, arbitrary: command("SET", key, value, options) },
  { weight: 3, arbitrary: command("SET", key, value) },
  { weight: 3, arbitrary: command("GET", key) },
  command(fc.constantFrom("GETSET", "SETNX", "APPEND"), key, value),
  command("GETEX", key, fc.oneof(expiry, fc.constantFrom<string[]>(["PERSIST"], [], ["KEEPTTL"]))),
  command(fc.constantFrom("GETDEL", "STRLEN", "TYPE", "TTL", "PTTL", "PERSIST", "INCR", "DECR"), key),
  command(fc.constantFrom("MSET", "MSETNX"), pairs),
  command(fc.constantFrom("MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"), some(key)),
  command("GETRANGE", key, integer, integer),
  command("SETRANGE", key, fc.constantFrom("0", "1", "5", "40", "-1", "x"), value),
  command(fc.constantFrom("INCRBY", "DECRBY"), key, fc.oneof(integer, value)),
  command("INCRBYFLOAT", key, fc.oneof(value, integer)),
  command(fc.constantFrom("RENAME", "RENAMENX"), key, key),
  command(fc.constantFrom("EXPIRE"), key, seconds, presence),
  command("PEXPIRE", key, fc.constantFrom("100000", "200000", "0"), presence),
  command(
    fc.constantFrom("EXPIREAT", "PEXPIREAT"),
    key,
    fc.constantFrom("1", "9999999999999", "-1"),
    condition,
  ),
  command(fc.constantFrom("SETEX"), key, seconds, value),
  command("KEYS", "*"),
  command("SCAN", "0", "COUNT", "1000"),
  command(fc.constantFrom("MULTI", "EXEC", "DISCARD", "UNWATCH")),
  command("WATCH", some(key)),
  command("SELECT", fc.constantFrom("0", "1", "0")),
  command("FLUSHDB"),
  command("NOSUCH", some(value)),
);

test("random commands get the same replies from both servers", async () => {
  for (const protocol of ["2", "3"]) {
    const [left, right] = [await RawClient.connect(redis.port), await RawClient.connect(ours.port)];
    const property = fc.asyncProperty(
      fc.array(anyCommand, { minLength: 1, maxLength: 60, size: "max" }),
      async (commands) => {
        const all = [["RESET"], ["HELLO", protocol], ["FLUSHALL"], ...commands];
        const bytes = Buffer.concat(all.map(encode));
        left.send(bytes);
        right.send(bytes);
        const [expected, actual] = [await left.replies(all.length), await right.replies(all.length)];
        const show = (replies: Buffer[]) =>
          replies.map((reply, index) => `${all[index]?.join(" ")} -> ${showReply(all, index, reply)}`);
        expect(show(actual)).toEqual(show(expected));
      },
    );
    await fc.assert(property, { numRuns: 1000 });
    await left[Symbol.asyncDispose]();
    await right[Symbol.asyncDispose]();
  }
}, 60_000);

/** Replies of EXEC hold those of SCAN and PTTL, which may differ: their shape is compared. */
function showReply(all: string[][], index: number, reply: Buffer): string {
  const words = all[index] ?? [];
  if (words[0] !== "EXEC" || reply[0] !== 0x2a) return normalise(words, reply);
  const unordered = all.slice(0, index).some(([name]) => ["KEYS", "SCAN", "PTTL"].includes(name ?? ""));
  return unordered
    ? [...normalise(words, reply).replace(/\d/g, "N")].sort().join("")
    : normalise(words, reply);
}

test("random patterns select the same keys", async () => {
  const letters = fc.constantFrom(..."ab-^");
  const patternLetters = fc.constantFrom(..."ab-^[]\\*?*");
  const keys = fc.array(fc.string({ unit: letters, maxLength: 6 }), { minLength: 1, maxLength: 30 });
  const patterns = fc.array(fc.string({ unit: patternLetters, maxLength: 9 }), {
    minLength: 1,
    maxLength: 30,
  });
  const [left, right] = [await RawClient.connect(redis.port), await RawClient.connect(ours.port)];
  const property = fc.asyncProperty(keys, patterns, async (names, globs) => {
    const all = [
      ["FLUSHALL"],
      ["MSET", ...names.flatMap((name) => [name, "1"])],
      ...globs.map((glob) => ["KEYS", glob]),
    ];
    const bytes = Buffer.concat(all.map(encode));
    left.send(bytes);
    right.send(bytes);
    const [expected, actual] = [await left.replies(all.length), await right.replies(all.length)];
    const show = (replies: Buffer[]) =>
      replies.map((reply, index) => `${all[index]?.join(" ")} -> ${normalise(all[index] ?? [], reply)}`);
    expect(show(actual)).toEqual(show(expected));
  });
  await fc.assert(property, { numRuns: 1000 });
  await left[Symbol.asyncDispose]();
  await right[Symbol.asyncDispose]();
}, 60_000);
