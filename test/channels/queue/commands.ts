/** Random commands about a few lists and streams, for comparison with redis-server and between states. */
import fc from "fast-check";

const list = fc.constantFrom("a", "b", "c");
const stream = fc.constantFrom("s", "t");
const anyKey = fc.constantFrom("a", "b", "s", "t");
const value = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom("", "x".repeat(200)));
const index = fc.integer({ min: -6, max: 6 }).map(String);
const count = fc.integer({ min: 0, max: 4 }).map(String);
const side = fc.constantFrom("LEFT", "RIGHT");
const id = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 3 }))
  .map(([ms, sequence]) => `${ms}-${sequence}`);
const bound = fc.oneof(
  id,
  fc.constantFrom("-", "+"),
  id.map((text) => `(${text}`),
);
const groupName = fc.constantFrom("g", "h");
const consumer = fc.constantFrom("alice", "bob");

type Part = string | fc.Arbitrary<string | string[]>;

function command(...parts: Part[]): fc.Arbitrary<string[]> {
  return fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part) : part)))
    .map((words) => words.flat());
}

const some = (word: fc.Arbitrary<string>) => fc.array(word, { minLength: 1, maxLength: 3 });
const fields = fc
  .array(fc.tuple(fc.constantFrom("f", "g"), value), { minLength: 1, maxLength: 2 })
  .map((pairs) => pairs.flat());
const maybe = (...words: Part[]): fc.Arbitrary<string[]> =>
  fc.oneof(fc.constant<string[]>([]), command(...words));

/** Commands whose outcome depends on no clock. */
export const queueCommand: fc.Arbitrary<string[]> = fc.oneof(
  command("RPUSH", list, some(value)),
  command("LPUSH", list, some(value)),
  command("LPOP", list, maybe(count)),
  command("RPOP", list, maybe(count)),
  command("LTRIM", list, index, index),
  command("LMOVE", list, list, side, side),
  command("LRANGE", list, index, index),
  command("LINDEX", list, index),
  command("BLPOP", list, list, "0.01"),
  command("XADD", stream, maybe("MAXLEN", count), id, fields),
  command("XADD", stream, id, fields),
  command("XADD", stream, fc.integer({ min: 1, max: 9 }).map((ms) => `${ms}-*`), fields),
  command("XDEL", stream, some(id)),
  command("XTRIM", stream, fc.constantFrom("MAXLEN", "MINID"), count),
  command("XRANGE", stream, bound, bound, maybe("COUNT", count)),
  command("XREVRANGE", stream, bound, bound),
  command("XLEN", stream),
  command("XREAD", maybe("COUNT", count), "STREAMS", stream, stream, id, id),
  command("XGROUP", "CREATE", stream, groupName, fc.oneof(id, fc.constantFrom("$", "0")), maybe("MKSTREAM"), maybe("ENTRIESREAD", count)),
  command("XGROUP", "SETID", stream, groupName, fc.oneof(id, fc.constantFrom("$", "0"))),
  command("XGROUP", "DESTROY", stream, groupName),
  command("XGROUP", "CREATECONSUMER", stream, groupName, consumer),
  command("XGROUP", "DELCONSUMER", stream, groupName, consumer),
  command("XREADGROUP", "GROUP", groupName, consumer, maybe("COUNT", count), maybe("NOACK"), "STREAMS", stream, fc.oneof(id, fc.constantFrom(">", ">", ">", "0"))),
  command("XACK", stream, groupName, some(id)),
  command("XPENDING", stream, groupName),
  command("XCLAIM", stream, groupName, consumer, "0", some(id), maybe("FORCE"), maybe("JUSTID"), maybe("RETRYCOUNT", count)),
  command("XAUTOCLAIM", stream, groupName, consumer, "0", id, maybe("COUNT", fc.constantFrom("1", "2")), maybe("JUSTID")),
  command("XINFO", "GROUPS", stream),
  command("XINFO", "STREAM", stream),
  command("XSETID", stream, id, maybe("ENTRIESADDED", count, "MAXDELETEDID", id)),
  command("DEL", anyKey),
  command("TYPE", anyKey),
  command("EXISTS", some(anyKey)),
  command("LPUSH", stream, value),
  command("XADD", list, id, fields),
); // prettier-ignore
