/** Entries that together are longer than a reply may be: what is not shown is not delivered. */
import { expect, test } from "bun:test";
import { MemoryNode } from "./memory-node.ts";

const LIMIT = 8192;
const long = "x".repeat(3000);

/** A stream of four entries of which a reply holds two, and one behind them that no reply holds. */
function openNode(): MemoryNode {
  const node = new MemoryNode({ channelBytes: 65_536 }, false, {
    replyBytesMax: LIMIT,
    replySoftBytesMax: LIMIT,
    valueBytesMax: LIMIT,
  });
  node.run(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
  for (const id of ["1-1", "2-1", "3-1", "4-1"]) node.run(["XADD", "s", id, "f", long]);
  node.run(["XADD", "s", "5-1", "a", long, "b", long, "c", long]);
  return node;
}

const ids = (reply: string) => reply.match(/\b\d-1\b/g);

test("XREADGROUP ends where the reply is full; the next call goes on, and nothing else is pending meanwhile", () => {
  using node = openNode();
  const read = ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"];
  expect(ids(node.run(read))).toEqual(["1-1", "2-1"]);
  expect(node.run(["XPENDING", "s", "g"])).toStartWith("*4\r\n:2\r\n");
  expect(ids(node.run(read))).toEqual(["3-1", "4-1"]);
  expect(node.run(read)).toStartWith("-ERR the reply would be longer than");
  expect(node.run(["XPENDING", "s", "g"])).toStartWith("*4\r\n:4\r\n");
  // The consumer's history in the same pieces.
  const history = (from: string) => ids(node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", from]));
  expect([history("0"), history("2-1"), history("4-1")]).toEqual([["1-1", "2-1"], ["3-1", "4-1"], null]);
});

test("a second stream that the reply has no room for is left for the next call", () => {
  using node = openNode();
  node.run(["XGROUP", "CREATE", "t", "g", "0", "MKSTREAM"], ["XADD", "t", "9-1", "f", "v"]);
  const reply = node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "t", ">", ">"]);
  expect(reply).toStartWith("*1\r\n*2\r\n$1\r\ns\r\n*2\r\n");
  expect(node.run(["XPENDING", "t", "g"])).toStartWith("*4\r\n:0\r\n");
});

test("XCLAIM and XAUTOCLAIM take over what they show; XAUTOCLAIM says where to go on", () => {
  using node = openNode();
  for (let times = 0; times < 2; times++) node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
  expect(ids(node.run(["XCLAIM", "s", "g", "d", "0", "1-1", "2-1", "3-1", "4-1"]))).toEqual(["1-1", "2-1"]);
  expect(ids(node.run(["XPENDING", "s", "g", "-", "+", "9", "d"]))).toEqual(["1-1", "2-1"]);
  expect(ids(node.run(["XAUTOCLAIM", "s", "g", "e", "0", "0"]))).toEqual(["3-1", "1-1", "2-1"]);
  expect(ids(node.run(["XAUTOCLAIM", "s", "g", "e", "0", "3-1"]))).toEqual(["3-1", "4-1"]);
  expect(ids(node.run(["XPENDING", "s", "g", "-", "+", "9", "e"]))).toEqual(["1-1", "2-1", "3-1", "4-1"]);
});
