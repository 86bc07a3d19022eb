/**
 * The configuration keys of whatever serves clients of the store: who they are, what they may do, how much of it. Only declarations.
 */
import { z } from "zod";
import {
  type CrossCheck,
  filePath,
  integer,
  isLoopback,
  key,
  limits,
  port,
} from "../../core/config/schema.ts";

const MEBIBYTE = 1024 * 1024;

const table = z.strictObject({
  prefix: z.string().max(1000),
  level: z.enum(["strict", "snapshot", "readCommitted"]).optional(),
  type: z.enum(["bytes", "counter", "list", "set", "map"]).optional(),
  read: z.array(z.string().min(1)).default(["*"]),
  write: z.array(z.string().min(1)).default(["*"]),
});

const haveOwnPrefixes = (tables: readonly { prefix: string }[]) =>
  new Set(tables.map(({ prefix }) => prefix)).size === tables.length;

export const clientKeys = {
  httpPort: port(12355, "Port for clients: HTTP and JSON, and the client protocol over WebSockets."),
  clientTokenFile: key(
    filePath().optional(),
    "File with the token that clients must show (`Authorization: Bearer …`). Must not be readable by other users.",
    {
      fileKind: "secret",
      absent: "every client that can connect may read and write",
      example: "client.token",
    },
  ),
  clientTokensFile: key(
    filePath().optional(),
    "File with a line `name token` for each principal, whose names stand in the rights of `tables`. Must not be readable by other users.",
    {
      fileKind: "secrets",
      absent: "clientTokenFile alone says who may connect",
      example: "client.tokens",
    },
  ),
  tables: key(
    z.array(table).max(4096).refine(haveOwnPrefixes, "tables whose prefixes differ").default([]),
    "Tables: keys that begin with `prefix` (of several the longest counts), the isolation level of transactions that touch them, the type of their values, and which principals may read and write them (`*`: everybody who may connect; `client`: who shows the token of clientTokenFile). With a table configured, keys of no table are refused. The same at all frontends.",
    {
      wanted:
        "a list, each with another prefix, { prefix, level?: strict | snapshot | readCommitted, type?: bytes | counter | list | set | map, read: [names], write: [names] }",
      absent: "all keys are everybody's who may connect",
      example: [{ prefix: "game:", level: "strict", read: ["*"], write: ["alice", "bob"] }],
    },
  ),
  allowedOrigins: key(
    z.array(z.string().min(1)).max(1000).default([]),
    "Origins of web pages, such as `https://app.example`, that may open a WebSocket here, beside this frontend's own. `*`: all.",
  ),
  samples: key(
    z.boolean().default(false),
    "Serves sample applications at `/samples`, for trying the store out in a browser. The client library is at `/client.js` in any case.",
  ),
  requestTimeoutMs: key(
    integer(30_000, { min: 100, max: 600_000 }),
    "A request that a group did not answer for this long is given up; the client is told that the outcome is unknown.",
  ),
  settleAfterMs: key(
    integer(2000, { min: 100, max: 600_000 }),
    "A transaction that a shard holds for this long, because its frontend is gone, is settled by another one.",
  ),
  limits: limits({
    requestBytesMax: key(
      integer(16 * MEBIBYTE, { min: 1024, max: 64 * MEBIBYTE }),
      "The longest request of a client. A longer one is refused.",
    ),
    requestsMax: key(
      integer(1000, { min: 1, max: 100_000 }),
      "Requests of one connection of the client protocol that are under way at once. Further ones are refused.",
    ),
    watchesMax: key(
      integer(1000, { min: 1, max: 100_000 }),
      "Watches of one connection. Further ones are refused.",
    ),
    watchedKeysMax: key(
      integer(100_000, { min: 1, max: 10_000_000 }),
      "Keys and prefixes of all watches of one connection. A watch that would be over it is refused.",
    ),
  }),
};

/** Beyond loopback clients show a token. */
export const isGuarded: CrossCheck = {
  path: ["host"],
  wanted: "a loopback address, or clientTokenFile or clientTokensFile beside it",
  holds: (value) => {
    const { host, clientTokenFile, clientTokensFile } = value as Partial<Record<string, string>>;
    return isLoopback(host ?? "127.0.0.1") || (clientTokenFile ?? clientTokensFile) !== undefined;
  },
};
