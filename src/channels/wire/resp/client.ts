/** CLIENT: what the node knows of its connections, and ending them. */
import type { AdminCall, RespHost, RespSession } from "./host.ts";
import { invalidName, nameIsValid } from "./identity.ts";
import { readInteger, type ReplyWriter } from "./reply.ts";

/** One line of CLIENT LIST, without its line end. */
export function describe(host: RespHost, session: RespSession): string {
  const now = host.clock.nowMs();
  const seconds = (sinceMs: number) => Math.max(0, Math.floor((now - sinceMs) / 1000));
  const engine = host.engine.describeConnection(session.connection);
  const flags = /multi=-1/.test(engine) ? "N" : "x";
  return [
    `id=${session.id} addr=${session.address} laddr=${session.localAddress} name=${session.name}`,
    `age=${seconds(session.openedAtMs)} idle=${seconds(session.activeAtMs)} flags=${flags}`,
    `${engine} omem=${session.outputBytes()} user=default`,
  ].join(" ");
}

const types = ["normal", "master", "slave", "replica", "pubsub"];

/** CLIENT LIST [TYPE type] [ID id …] */
function list({ host, words }: AdminCall, reply: ReplyWriter): void {
  let chosen = [...host.sessions()];
  const option = words[2]?.toString().toLowerCase();
  if (option === "type" && words.length === 4) {
    const type = words[3]?.toString().toLowerCase() ?? "";
    if (!types.includes(type)) {
      reply.error(`ERR Unknown client type '${words[3]}'`);
      return;
    }
    if (type !== "normal") chosen = [];
  } else if (option === "id" && words.length > 3) {
    const ids = words.slice(3).map(readInteger);
    if (ids.some((id) => id === undefined || id < 1)) {
      reply.error("ERR Invalid client ID");
      return;
    }
    chosen = chosen.filter(({ id }) => ids.includes(id));
  } else if (words.length > 2) {
    reply.error("ERR syntax error");
    return;
  }
  reply.verbatim(chosen.map((session) => `${describe(host, session)}\n`).join(""));
}

type Filter = (session: RespSession) => boolean;

/** The filters of CLIENT KILL, or the error. */
function killFilters({ session, words }: AdminCall): Filter[] | string {
  const filters: Filter[] = [];
  let skipsMe = true;
  for (let index = 2; index < words.length; index += 2) {
    const option = words[index]?.toString().toLowerCase();
    const value = words[index + 1]?.toString();
    if (value === undefined) return "ERR syntax error";
    if (option === "id") {
      const id = readInteger(Buffer.from(value));
      if (id === undefined || id < 1) return "ERR client-id should be greater than 0";
      filters.push((other) => other.id === id);
    } else if (option === "addr") {
      filters.push(({ address }) => address === value);
    } else if (option === "laddr") {
      filters.push(({ localAddress }) => localAddress === value);
    } else if (option === "type") {
      if (!types.includes(value.toLowerCase())) return `ERR Unknown client type '${value}'`;
      filters.push(() => value.toLowerCase() === "normal");
    } else if (option === "user") {
      if (value !== "default") return `ERR No such user '${value}'`;
      filters.push(() => true);
    } else if (option === "skipme" && /^(yes|no)$/i.test(value)) {
      skipsMe = value.toLowerCase() === "yes";
    } else {
      return "ERR syntax error";
    }
  }
  if (skipsMe) filters.push((other) => other !== session);
  return filters;
}

function kill(call: AdminCall, reply: ReplyWriter): void {
  const { host, words } = call;
  if (words.length === 3) {
    // The old form names an address and may name the caller's.
    const found = [...host.sessions()].find(({ address }) => address === words[2]?.toString());
    if (found === undefined) {
      reply.error("ERR No such client");
      return;
    }
    host.kill(found);
    reply.status("OK");
    return;
  }
  const filters = killFilters(call);
  if (typeof filters === "string") {
    reply.error(filters);
    return;
  }
  const chosen = [...host.sessions()].filter((session) => filters.every((fits) => fits(session)));
  for (const session of chosen) host.kill(session);
  reply.integer(chosen.length);
}

export function clientCommand(call: AdminCall, reply: ReplyWriter): void {
  const { host, session, words } = call;
  switch (words[1]?.toString().toLowerCase()) {
    case "id":
      reply.integer(session.id);
      return;
    case "getname":
      if (session.name === "") reply.nil();
      else reply.bulk(session.name);
      return;
    case "setname": {
      const name = words[2] as Buffer;
      if (!nameIsValid(name)) {
        reply.error(invalidName);
        return;
      }
      session.name = name.toString("latin1");
      reply.status("OK");
      return;
    }
    case "info":
      reply.verbatim(`${describe(host, session)}\n`);
      return;
    case "list":
      list(call, reply);
      return;
    case "kill":
      kill(call, reply);
      return;
    default:
      reply.help("CLIENT", [
        "GETNAME",
        "    The name of this connection.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    What is known of this connection.",
        "KILL <address:port>",
        "    End the connection from this address.",
        "KILL <filter> <value> [<filter> <value> ...]",
        "    End connections by ID, ADDR, LADDR, TYPE, USER; SKIPME no includes this one.",
        "LIST [TYPE <type>] [ID <id> ...]",
        "    One line for each connection.",
        "SETNAME <name>",
        "    Give this connection a name.",
      ]);
  }
}
