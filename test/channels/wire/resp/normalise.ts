/**
 * What may differ between redis-server and node-x, and why. Everything else must be the same bytes.
 */
import { cutReplies, replyEnd } from "./raw.ts";

/** A reply as a tree of texts, for the few commands that are not compared as bytes. */
type Tree = string | Tree[];

function parse(reply: Buffer): Tree {
  const type = String.fromCharCode(reply[0] ?? 0);
  if (!"*~%".includes(type)) return reply.toString("latin1");
  const newline = reply.indexOf("\r\n");
  if (reply[1] === 0x2d) return reply.toString("latin1"); // the null array
  return [reply.toString("latin1", 0, newline), ...cutReplies(reply.subarray(newline + 2)).map(parse)];
}

const show = (tree: Tree): string => JSON.stringify(tree);
const text = (reply: Buffer) => reply.toString("latin1");
const digits = (reply: Buffer) => text(reply).replace(/\d+/g, "N");

/** An array sorted: no order is promised. */
function sorted(reply: Buffer): string {
  const tree = parse(reply);
  if (typeof tree === "string") return tree;
  const [head, ...members] = tree;
  return show([head ?? "", ...members.map(show).sort()]);
}

/** The pairs of a map or flat array sorted: no order is promised. */
function sortedPairs(reply: Buffer): string {
  const tree = parse(reply);
  if (typeof tree === "string") return tree;
  const pairs: string[] = [];
  for (let at = 1; at < tree.length; at += 2) pairs.push(show(tree.slice(at, at + 2)));
  return show([tree[0] ?? "", ...pairs.sort()]);
}

/**
 * Name, arity, flags, keys, categories; not tips and key specifications, which are not offered. Of containers not
 * the subcommands, because fewer are offered.
 */
function commandInfo(reply: Buffer): string {
  const tree = parse(reply);
  if (typeof tree === "string") return tree;
  return show(tree.map((entry) => (typeof entry === "string" ? entry : entry.slice(0, 8))));
}

/** HELLO tells it, also as a member of EXEC's reply. */
function connectionId(reply: Buffer): string {
  return text(reply).replace(/(\$2\r\nid\r\n):\d+/g, "$1:N");
}

type Rule = (reply: Buffer) => string;

const rules: Record<string, Rule> = {
  // Milliseconds pass between the two servers.
  pttl: (reply) =>
    /^:\d{4,}\r\n$/.test(text(reply)) ? `:${Math.round(Number(text(reply).slice(1)) / 1000)}s` : text(reply),
  time: digits,
  // Numbers of connections and addresses are each server's own.
  "client id": digits,
  "client info": (reply) => text(reply).slice(0, 1),
  "client list": (reply) => (text(reply).includes("addr=") ? text(reply).slice(0, 1) : text(reply)),
  hello: connectionId,
  exec: connectionId,
  // The order of keys is each table's own.
  keys: sorted,
  "config get": sortedPairs,
  scan: (reply) => {
    const tree = parse(reply);
    return typeof tree === "string" ? tree : show([tree[0] ?? "", tree[1] ?? "", sorted(scanKeys(reply))]);
  },
  "command list": sorted,
  "command info": commandInfo,
  // The number depends on the memory layout.
  "memory usage": digits,
};

/** The second member of a SCAN reply. */
function scanKeys(reply: Buffer): Buffer {
  const keysAt = replyEnd(reply, reply.indexOf("\r\n") + 2);
  return reply.subarray(keysAt);
}

export function normalise(words: string[], reply: Buffer): string {
  const name = (words[0] ?? "").toLowerCase();
  const rule = rules[`${name} ${(words[1] ?? "").toLowerCase()}`] ?? rules[name];
  return rule === undefined ? text(reply) : rule(reply);
}
