/** The JSON configuration of the seed's `dp5server.py`: what each of its keys means for the presence roles. */
import type { JsonDialect } from "../../core/config/json-dialect.ts";
import { isLoopback } from "../../core/config/schema.ts";

const server = (key: string) => ["server", key];

/** Keys of ours that operators may add to such a file. */
const ownKeys = [
  "adminPort", "adminHost", "adminTokenFile", "batchCodes", "debug", "limits", "log", "maxBuddies", "pirThreads",
  "protocol", "regServerCa", "regServerKey", "retainEpochs", "shutdownTimeoutMs", "signingKeyFile", "tlsVerify",
]; // prettier-ignore

/** The later prototype gave the length of a sealed status, 16 bytes of which are the tag. */
const SEAL_BYTES = 16;

export const presenceDialect: JsonDialect = {
  program: "dp5server.py",
  roleOf(value) {
    const { isRegServer, isLookupServer } = value;
    const isSeedFile = typeof value.server === "object" || value.datadir !== undefined;
    if (!isSeedFile || (isRegServer === undefined && isLookupServer === undefined)) return undefined;
    return isRegServer === true ? "regserver" : "lookup";
  },
  rules: [
    { from: server("server.socket_host"), to: ["host"] },
    { from: server("server.socket_port"), to: ["port"] },
    { from: server("server.ssl_certificate"), to: ["tls", "cert"] },
    { from: server("server.ssl_private_key"), to: ["tls", "key"] },
    { from: server("server.ssl_module"), note: "TLS is built in; it is on when certificate and key are given" },
    { from: server("server.thread_pool"), note: "idle connections take no thread here; pirThreads sets those that scan" },
    { from: ["isRegServer"], to: ["isRegServer"] },
    { from: ["isLookupServer"], to: ["isLookupServer"] },
    { from: ["regServer"], to: ["regServer"] },
    { from: ["regdir"], to: ["registrationsDir"] },
    { from: ["datadir"], to: ["dataDir"] },
    { from: ["epochLength"], to: ["epochSeconds"] },
    {
      from: ["dataEncSize"],
      to: ["payloadBytes"],
      convert: (value) => (typeof value === "number" ? value - SEAL_BYTES : value),
    },
    { from: ["combined"], to: ["combined"] },
  ],
  ownKeys,
  defaults(read, instance) {
    const host = read(server("server.socket_host"));
    return {
      protocol: read(["dataEncSize"]) === undefined ? 1 : 2,
      dataDir: `${instance}.data`,
      // The original's command had no protection at all; here it needs a server that only this host can reach.
      debug: typeof host === "string" && isLoopback(host),
    };
  },
}; // prettier-ignore
