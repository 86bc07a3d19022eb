/** The keys of a frontend whose store is in etcd. Only declarations. */
import { z } from "zod";
import { certificateWithKey, clientTls } from "../../../core/config/client-tls.ts";
import { filePath, integer, isLoopback, key } from "../../../core/config/schema.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const WANTED_ENDPOINT = "http://HOST:PORT or https://HOST:PORT of a member of etcd";

function isEndpoint(text: string): boolean {
  return /^https?:\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(text) && URL.canParse(text);
}

export const etcdKeys = {
  endpoints: key(
    z
      .array(z.string().refine(isEndpoint, WANTED_ENDPOINT).meta({ wanted: WANTED_ENDPOINT }))
      .min(1)
      .max(64),
    "The members of etcd, by their client URLs. All of them, so that one that is down is passed over.",
    { example: ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"] },
  ),
  prefix: key(
    z.string().min(1).max(200).default("node-x/"),
    "All keys of this store begin with it, and nothing else may. The same at all frontends; another prefix is another store.",
  ),
  user: key(
    z.string().min(1).max(200).optional(),
    "The user of etcd whose role may read and write the keys under `prefix`.",
    {
      absent: "etcd is asked without a user",
      example: "node-x",
    },
  ),
  passwordFile: key(
    filePath().optional(),
    "File with the password of `user`. Must not be readable by other users.",
    {
      fileKind: "secret",
      absent: "only together with user",
      example: "etcd.password",
    },
  ),
  tls: key(clientTls("etcd").optional(), "How members with https are called.", {
    absent: "certificates are checked against the authorities that this host trusts",
  }),
  operationsMax: key(
    integer(128, { min: 8, max: 100_000 }),
    "Operations that etcd takes in one transaction: its --max-txn-ops. A transaction needs one for each of its keys, one more for each that it deletes, and two; one that needs more is refused with `tooMany`.",
  ),
  attemptMs: key(
    integer(2000, { min: 50, max: 60_000 }),
    "A member that does not answer for this long is left for the next one.",
  ),
  outcomeRetentionMs: key(
    integer(10 * MINUTE_MS, { min: MINUTE_MS, max: DAY_MS }),
    "For how long etcd keeps what became of a transaction, for who sends it again.",
  ),
  deletedRetentionMs: key(
    integer(10 * MINUTE_MS, { min: 1000, max: DAY_MS }),
    "For how long etcd keeps a mark of a deleted key. A client that was away for longer reads all values again.",
  ),
};

const etcdObject = z.strictObject(etcdKeys);

export type EtcdConfig = z.output<typeof etcdObject>;

export const engineKey = key(
  z
    .strictObject({
      etcd: key(
        etcdObject.optional(),
        "The store is in etcd: no timestamp servers and no shards are needed.",
        {
          absent: "the store is in `timestampServers` and `shards`",
        },
      ),
    })
    .optional(),
  "The store behind this frontend, where it is not node-x's own.",
  { absent: "the store is in `timestampServers` and `shards`" },
);

const etcdIn = (value: unknown) => (value as { engine?: { etcd?: EtcdConfig } }).engine?.etcd;

/** What has to hold between keys of the engine. */
export const engineChecks = [
  {
    path: ["engine", "etcd", "passwordFile"],
    wanted: "user and passwordFile, or neither",
    holds(value: unknown) {
      const { user, passwordFile } = etcdIn(value) ?? {};
      return (user === undefined) === (passwordFile === undefined);
    },
  },
  {
    path: ["engine", "etcd", "endpoints"],
    wanted: "https endpoints where a password is sent beyond this host",
    holds(value: unknown) {
      const { user, endpoints = [] } = etcdIn(value) ?? {};
      return user === undefined || endpoints.every((endpoint) => isPrivate(endpoint));
    },
  },
  {
    path: ["engine", "etcd", "endpoints"],
    wanted: "https endpoints only, beside tls",
    holds(value: unknown) {
      const { tls, endpoints = [] } = etcdIn(value) ?? {};
      return tls === undefined || endpoints.every((endpoint) => endpoint.startsWith("https:"));
    },
  },
  {
    path: ["engine", "etcd", "endpoints"],
    wanted: "each member once",
    holds(value: unknown) {
      const { endpoints = [] } = etcdIn(value) ?? {};
      return new Set(endpoints).size === endpoints.length;
    },
  },
  certificateWithKey(["engine", "etcd", "tls"]),
];

/** Nobody else can listen on the way. */
function isPrivate(endpoint: string): boolean {
  const { protocol, hostname } = new URL(endpoint);
  return protocol === "https:" || isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
