/**
 * Small roles in the start order of every family, for tests of clusters: each listens on one port and says its name.
 *
 * They are configured like real roles, and marked with the peers they talk to, so a prefix of theirs is checked, planned
 * and rolled out like any other.
 */
import { z } from "zod";
import type { SchemaCatalog } from "../../src/core/config/load.ts";
import { key, port, roleSchema } from "../../src/core/config/schema.ts";

const peers = (roles: string[]) =>
  key(z.array(z.string()).default([]), "Addresses of those that it talks to.", { peerOf: roles });

const schemas: Record<string, z.ZodObject> = {
  dht: roleSchema({ port: port(10000, "Port."), respPort: port(10200, "Port of the Redis protocol.") }),
  hub: roleSchema({ port: port(4000, "Port.") }),
  archive: roleSchema({ port: port(13020, "Port.") }),
  proxy: roleSchema({ port: port(13010, "Port."), archives: peers(["archive"]) }),
  storage: roleSchema({
    port: port(13000, "Port."),
    archives: peers(["archive"]),
    proxies: peers(["proxy"]),
  }),
  tss: roleSchema({ port: port(12348, "Port.") }),
  shard: roleSchema({ port: port(12345, "Port.") }),
  frontend: roleSchema({ port: port(12354, "Port.") }),
  regserver: roleSchema({ port: port(8443, "Port.") }),
  lookup: roleSchema({ port: port(8444, "Port."), regserver: peers(["regserver"]) }),
};

export const testCatalog: SchemaCatalog = {
  names: Object.keys(schemas),
  schemaOf: async (role) => schemas[role] as z.ZodObject,
};
