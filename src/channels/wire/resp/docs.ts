/**
 * What COMMAND DOCS tells of each command: group, the Redis version that introduced it, cost, one sentence.
 * Subcommands are documented with their container.
 */
import { listDocs, streamDocs } from "./docs-queue.ts";

export type CommandGroup =
  "string" | "list" | "stream" | "generic" | "connection" | "transactions" | "server";

export interface CommandDocs {
  group: CommandGroup;
  since: string;
  complexity: string;
  summary: string;
}

function group(
  name: CommandGroup,
  rows: [command: string, since: string, complexity: string, summary: string][],
) {
  return rows.map(([command, since, complexity, summary]) => {
    return [command, { group: name, since, complexity, summary }] as [string, CommandDocs];
  });
}

export const commandDocs: ReadonlyMap<string, CommandDocs> = new Map([
  ...group("string", [
    ["append", "2.0.0", "O(1)", "Adds bytes to the end of a value, creating it if need be."],
    ["decr", "1.0.0", "O(1)", "Takes one from a number."],
    ["decrby", "1.0.0", "O(1)", "Takes an integer from a number."],
    ["get", "1.0.0", "O(1)", "Reads a value."],
    ["getdel", "6.2.0", "O(1)", "Reads a value and removes its key."],
    ["getex", "6.2.0", "O(1)", "Reads a value and sets or clears its expiry."],
    ["getrange", "2.4.0", "O(N) for N bytes returned", "Reads part of a value."],
    ["getset", "1.0.0", "O(1)", "Reads a value and replaces it."],
    ["incr", "1.0.0", "O(1)", "Adds one to a number."],
    ["incrby", "1.0.0", "O(1)", "Adds an integer to a number."],
    ["incrbyfloat", "2.6.0", "O(1)", "Adds a decimal fraction to a number."],
    ["mget", "1.0.0", "O(N) for N keys", "Reads several values."],
    ["mset", "1.0.1", "O(N) for N keys", "Stores several values, all or none."],
    ["msetnx", "1.0.1", "O(N) for N keys", "Stores several values if none of the keys exists."],
    ["psetex", "2.6.0", "O(1)", "Stores a value that expires after milliseconds."],
    ["set", "1.0.0", "O(1)", "Stores a value, with conditions and expiry."],
    ["setex", "2.0.0", "O(1)", "Stores a value that expires after seconds."],
    ["setnx", "1.0.0", "O(1)", "Stores a value if the key does not exist."],
    ["setrange", "2.2.0", "O(N) for N bytes stored", "Overwrites part of a value."],
    ["strlen", "2.2.0", "O(1)", "The length of a value in bytes."],
    ["substr", "1.0.0", "O(N) for N bytes returned", "The old name of GETRANGE."],
  ]),
  ...group("list", listDocs),
  ...group("stream", streamDocs),
  ...group("generic", [
    ["del", "1.0.0", "O(N) for N keys", "Removes keys."],
    ["exists", "1.0.0", "O(N) for N keys", "Counts how many of the keys exist."],
    ["expire", "1.0.0", "O(1)", "Lets a key expire after seconds."],
    ["expireat", "1.2.0", "O(1)", "Lets a key expire at a second since 1970."],
    ["expiretime", "7.0.0", "O(1)", "The second since 1970 at which a key expires."],
    ["keys", "1.0.0", "O(N) for N keys in the channel", "All keys that match a pattern."],
    ["persist", "2.2.0", "O(1)", "Clears the expiry of a key."],
    ["pexpire", "2.6.0", "O(1)", "Lets a key expire after milliseconds."],
    ["pexpireat", "2.6.0", "O(1)", "Lets a key expire at a millisecond since 1970."],
    ["pexpiretime", "7.0.0", "O(1)", "The millisecond since 1970 at which a key expires."],
    ["pttl", "2.6.0", "O(1)", "Milliseconds until a key expires."],
    ["randomkey", "1.0.0", "O(1)", "Any key of the channel."],
    ["rename", "1.0.0", "O(1)", "Gives a value another key, replacing what is there."],
    ["renamenx", "1.0.0", "O(1)", "Gives a value another key if that one is free."],
    [
      "scan",
      "2.8.0",
      "O(1) for each call, O(N) for N keys",
      "Iterates over the keys of the channel in steps.",
    ],
    ["touch", "3.2.1", "O(N) for N keys", "Counts how many of the keys exist."],
    ["ttl", "1.0.0", "O(1)", "Seconds until a key expires."],
    ["type", "1.0.0", "O(1)", "The type of a value: string or none."],
    ["unlink", "4.0.0", "O(N) for N keys", "Removes keys."],
  ]),
  ...group("connection", [
    ["auth", "1.0.0", "O(1)", "Authenticates the connection."],
    ["client", "2.4.0", "Depends on subcommand", "About connections."],
    ["echo", "1.0.0", "O(1)", "Returns its argument."],
    ["hello", "6.0.0", "O(1)", "Chooses the protocol version and tells about the server."],
    ["ping", "1.0.0", "O(1)", "Answers, to show that the server is alive."],
    ["quit", "1.0.0", "O(1)", "Closes the connection."],
    ["reset", "6.2.0", "O(1)", "Brings the connection back to its first state."],
    ["select", "1.0.0", "O(1)", "Chooses the channel, by number or name."],
  ]),
  ...group("transactions", [
    ["discard", "2.0.0", "O(N) for N queued commands", "Forgets the queued commands."],
    ["exec", "1.2.0", "Depends on the queued commands", "Runs the queued commands, all or none."],
    ["multi", "1.2.0", "O(1)", "Begins to queue commands."],
    ["unwatch", "2.2.0", "O(1)", "Forgets the watched keys."],
    ["watch", "2.2.0", "O(1) for each key", "Lets the next EXEC run only if these keys stay as they are."],
  ]),
  ...group("server", [
    ["command", "2.8.13", "O(N) for N commands", "About the commands of the server."],
    ["config", "2.0.0", "Depends on subcommand", "About the parameters of the server."],
    ["dbsize", "1.0.0", "O(1)", "The number of keys in the channel."],
    ["flushall", "1.0.0", "O(1) at once, O(N) in the background", "Removes all channels."],
    ["flushdb", "1.0.0", "O(1) at once, O(N) in the background", "Removes the channel."],
    ["info", "1.0.0", "O(1)", "State and statistics of the server."],
    ["latency", "2.8.13", "Depends on subcommand", "About slow events."],
    ["memory", "4.0.0", "Depends on subcommand", "About memory."],
    ["bgrewriteaof", "1.0.0", "O(1)", "Rewrites the log as a snapshot, in the background."],
    ["time", "2.6.0", "O(1)", "The server's time: seconds and microseconds."],
  ]),
]);
