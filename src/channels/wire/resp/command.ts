/**
 * COMMAND and its subcommands. Names, arities, flags and key positions come from the table in C; group and
 * categories from docs.ts and the rules here.
 */
import type { RespCommandFacts } from "../../../native/resp.ts";
import { commandDocs } from "./docs.ts";
import type { AdminCall } from "./host.ts";
import type { ReplyWriter } from "./reply.ts";

/** Categories that follow from nothing else. */
const extraCategories: Record<string, string[]> = {
  command: ["connection"],
  client: [],
  dbsize: ["keyspace"],
  flushall: ["keyspace", "dangerous"],
  flushdb: ["keyspace", "dangerous"],
  info: ["dangerous"],
  keys: ["keyspace", "dangerous"],
  xgroup: [],
  xinfo: [],
};
const categoryOrder =
  "keyspace read write list string stream admin fast slow blocking dangerous connection transaction".split(
    " ",
  );
const categoryOfGroup: Record<string, string> = {
  string: "string",
  list: "list",
  stream: "stream",
  generic: "keyspace",
  connection: "connection",
  transactions: "transaction",
};

/** ACL categories, in Redis' order. */
function categories({ name, flags }: RespCommandFacts): string[] {
  const container = name.split("|", 1)[0] as string;
  const ofGroup = categoryOfGroup[commandDocs.get(container)?.group ?? ""];
  const all = new Set<string>(extraCategories[name] ?? (ofGroup === undefined ? [] : [ofGroup]));
  if (name.startsWith("command|")) all.add("connection");
  if (flags.includes("write")) all.add("write");
  if (flags.includes("readonly")) all.add("read");
  if (flags.includes("admin")) all.add("admin").add("dangerous");
  if (flags.includes("blocking")) all.add("blocking");
  all.add(flags.includes("fast") ? "fast" : "slow");
  return categoryOrder.filter((category) => all.has(category)).map((category) => `@${category}`);
}

const isSubcommand = ({ name }: RespCommandFacts) => name.includes("|");

function writeInfo(all: RespCommandFacts[], command: RespCommandFacts, reply: ReplyWriter): void {
  const subcommands = all.filter(({ name }) => name.startsWith(`${command.name}|`));
  const words = (list: string[]) => {
    reply.set(list.length);
    for (const word of list) reply.status(word);
  };
  reply.array(10).bulk(command.name).integer(command.arity);
  words(command.flags);
  reply.integer(command.firstKey).integer(command.lastKey).integer(command.keyStep);
  words(categories(command));
  // Neither tips nor key specifications are given: all keys are found by position.
  reply.array(0).array(0).array(subcommands.length);
  for (const subcommand of subcommands) writeInfo(all, subcommand, reply);
}

function find(all: RespCommandFacts[], word: Buffer): RespCommandFacts | undefined {
  const name = word.toString("latin1").toLowerCase();
  return all.find((command) => command.name === name);
}

function info(all: RespCommandFacts[], asked: Buffer[], reply: ReplyWriter): void {
  const chosen =
    asked.length === 0
      ? all.filter((command) => !isSubcommand(command))
      : asked.map((word) => find(all, word));
  reply.array(chosen.length);
  for (const command of chosen) {
    if (command !== undefined) writeInfo(all, command, reply);
    else reply.nil();
  }
}

/** Containers list the names of their subcommands; Redis' argument trees are not offered. */
function docs(all: RespCommandFacts[], asked: Buffer[], reply: ReplyWriter): void {
  const known =
    asked.length === 0
      ? all.filter((command) => !isSubcommand(command))
      : asked.map((word) => find(all, word));
  const chosen = known.filter((command) => command !== undefined);
  reply.map(chosen.length);
  for (const { name } of chosen) {
    const container = name.split("|", 1)[0] as string;
    const text = commandDocs.get(container);
    reply.bulk(name).pairs([
      ["summary", text?.summary ?? ""],
      ["since", text?.since ?? ""],
      ["group", text?.group ?? ""],
      ["complexity", text?.complexity ?? ""],
    ]);
  }
}

function list(call: AdminCall, all: RespCommandFacts[], reply: ReplyWriter): void {
  const { host, words } = call;
  let chosen = all.filter((command) => !isSubcommand(command));
  if (words.length > 2) {
    const [by, kind, value = Buffer.alloc(0)] = words.slice(2);
    const kindName = kind?.toString().toLowerCase();
    const text = value.toString().toLowerCase();
    if (words.length !== 5 || by?.toString().toLowerCase() !== "filterby") {
      reply.error("ERR syntax error");
      return;
    }
    if (kindName === "pattern") chosen = all.filter(({ name }) => host.engine.globMatches(text, name));
    else if (kindName === "aclcat")
      chosen = all.filter((command) => categories(command).includes(`@${text}`));
    else if (kindName === "module") chosen = [];
    else {
      reply.error("ERR syntax error");
      return;
    }
  }
  reply.array(chosen.length);
  for (const { name } of chosen) reply.bulk(name);
}

/** Of a command that names its keys behind a word, and as many ids behind them. */
function movableKeys(words: Buffer[]): Buffer[] {
  const rest = words.slice(1 + words.findIndex((word) => word.toString().toLowerCase() === "streams"));
  return rest.slice(0, rest.length / 2);
}

/** COMMAND GETKEYS command argument … */
function getKeys(all: RespCommandFacts[], words: Buffer[], reply: ReplyWriter): void {
  const whole = words[0] as Buffer;
  const subcommand = find(all, Buffer.from(`${whole}|${words[1] ?? ""}`));
  const isContainer = all.some(({ name }) => name.startsWith(`${whole.toString("latin1").toLowerCase()}|`));
  const command = subcommand ?? (isContainer ? undefined : find(all, whole));
  if (command === undefined) {
    reply.error("ERR Invalid command specified");
    return;
  }
  const isMovable = command.flags.includes("movablekeys");
  if (command.firstKey === 0 && !isMovable) {
    reply.error("ERR The command has no key arguments");
    return;
  }
  if (command.arity < 0 ? words.length < -command.arity : words.length !== command.arity) {
    reply.error("ERR Invalid number of arguments specified for command");
    return;
  }
  const last = command.lastKey > 0 ? command.lastKey : words.length + command.lastKey;
  const keys = isMovable ? movableKeys(words) : [];
  for (let at = command.firstKey; at > 0 && at <= last; at += command.keyStep) keys.push(words[at] as Buffer);
  reply.array(keys.length);
  for (const key of keys) reply.bulk(key);
}

export function commandCommand(call: AdminCall, reply: ReplyWriter): void {
  const all = call.host.engine.commands();
  const { words } = call;
  switch (words[1]?.toString().toLowerCase()) {
    case undefined:
      info(all, [], reply);
      return;
    case "info":
      info(all, words.slice(2), reply);
      return;
    case "count":
      reply.integer(all.filter((command) => !isSubcommand(command)).length);
      return;
    case "docs":
      docs(all, words.slice(2), reply);
      return;
    case "list":
      list(call, all, reply);
      return;
    case "getkeys":
      getKeys(all, words.slice(2), reply);
      return;
    default:
      reply.help("COMMAND", [
        "(no subcommand)",
        "    Details of every command.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command> ...]",
        "    What commands are for.",
        "GETKEYS <command> <argument> ...",
        "    Which of these arguments are keys.",
        "INFO [<command> ...]",
        "    Details of the named commands, or of all.",
        "LIST [FILTERBY (PATTERN <pattern>|ACLCAT <category>|MODULE <name>)]",
        "    Names of commands.",
      ]);
  }
}
