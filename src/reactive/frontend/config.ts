/**
 * The configuration of the frontend role, and what it says of itself. Only declarations.
 */
import { z } from "zod";
import { parseAddress } from "../../core/config/group-file.ts";
import { reloadableKeys } from "../../core/config/keys.ts";
import { crossCheck, filePath, key, optionalPort, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { engineChecks, engineKey } from "../engines/etcd/config.ts";
import { clientKeys, isGuarded } from "./client-keys.ts";

const address = z
  .string()
  .refine((text) => typeof parseAddress(text) !== "string")
  .meta({ wanted: "an address and a port, such as host0:12345" });

/** Where the built-in engine is, when nothing is said. */
const builtinDefaults = { timestampServers: ["127.0.0.1:12348"], shards: [["127.0.0.1:12345"]] };

const { httpPort, ...otherClientKeys } = clientKeys;

const frontendKeys = crossCheck(
  roleSchema({
    httpPort,
    port: optionalPort(
      "Port of the client protocol over plain TCP, in the family's checksummed frames.",
      "only WebSockets",
    ),
    engine: engineKey,
    timestampServers: key(
      z.array(address).min(1).max(255).default(builtinDefaults.timestampServers),
      "Addresses of the replicas of the timestamp server, in the order of its own configuration.",
      { peerOf: ["tss"], unusedBeside: "engine.etcd" },
    ),
    shards: key(
      z.array(z.array(address).min(1).max(255)).min(1).max(4096).default(builtinDefaults.shards),
      "For each shard, in order, the addresses of its replicas in the order of its own configuration. The same at all frontends, for the life of the data: keys are placed by a hash over all shards.",
      { unusedBeside: "engine.etcd" },
    ),
    peerCa: key(
      filePath().optional(),
      "PEM file with the authorities that sign the certificates of timestamp servers and shards. With it they are called with TLS, showing the pair of `tls`.",
      { fileKind: "caBundle", absent: "they are called without TLS", example: "tls/ca.crt" },
    ),
    tokenFile: key(
      filePath().optional(),
      "File with the token that timestamp servers and shards want to be shown. Must not be readable by other users.",
      { fileKind: "secret", absent: "no token is shown", example: "group.token" },
    ),
    ...otherClientKeys,
  }),
  isGuarded,
);

/** Beside another engine they would be written in vain. */
const builtinChecks = (["timestampServers", "shards"] as const).map((name) => ({
  path: [name],
  wanted: `no ${name} beside engine.etcd, which takes their place`,
  holds(value: unknown) {
    const { engine, [name]: addresses } = value as Record<string, unknown> & { engine?: { etcd?: unknown } };
    return engine?.etcd === undefined || JSON.stringify(addresses) === JSON.stringify(builtinDefaults[name]);
  },
}));

export const frontendConfig = [...engineChecks, ...builtinChecks].reduce(crossCheck, frontendKeys);

export const frontendAbout: RoleAbout<typeof frontendConfig> = {
  name: "frontend",
  summary:
    "Frontend of a transactional store: transactions over all shards, and runs when what was read changes",
  durability: "keeps nothing; it acknowledges a commit when the shards, or etcd, have made it durable",
  config: frontendConfig,
  reloadable: reloadableKeys(frontendConfig),
  reach: { httpPort: "http://{host}:{port}/" },
};
