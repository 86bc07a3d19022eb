/**
 * Small roles in the start order of every family, for tests of clusters: each listens on its port and writes down when it
 * starts and stops, in the file `order` of its working directory.
 *
 * They are configured like real roles, and marked with the peers they talk to, so a prefix of theirs is checked, planned
 * and rolled out like any other. `test-executable.ts` builds an executable that has them.
 */
import { appendFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { SchemaCatalog } from "../../src/core/config/load.ts";
import { key, port, roleSchema } from "../../src/core/config/schema.ts";
import { defineRole, type Role } from "../../src/core/role.ts";

const peers = (roles: string[]) =>
  key(z.array(z.string()).default([]), "Addresses of those that it talks to.", { peerOf: roles });
const group = {
  replicas: key(z.array(z.string()).default([]), "The group."),
  replica: key(z.int().default(0), "Which of it this is."),
  batch: key(z.int().default(1), "Batch size."),
  preloadKeys: key(z.int().default(0), "How many keys to load."),
  preloadFile: key(z.string().optional(), "Where they are."),
  preloadShards: key(z.int().default(1), "How many shards there are."),
};
const lists = z.array(z.array(z.string())).default([]);

const schemas: Record<string, z.ZodObject> = {
  dht: roleSchema({ port: port(10000, "Port."), respPort: port(10200, "Port of the Redis protocol.") }),
  hub: roleSchema({ port: port(4000, "Port.") }),
  archive: roleSchema({
    port: port(13020, "Port."),
    volumeGroup: key(z.string().optional(), "For images.", { privilege: "lvm" }),
  }),
  proxy: roleSchema({ port: port(13010, "Port."), archives: peers(["archive"]) }),
  storage: roleSchema({
    port: port(13000, "Port."),
    archives: peers(["archive"]),
    proxies: peers(["proxy"]),
  }),
  tss: roleSchema({ port: port(12348, "Port."), ...group }),
  shard: roleSchema({
    port: port(12345, "Port."),
    shard: key(z.int().default(0), "Which shard this is."),
    ...group,
  }),
  frontend: roleSchema({
    httpPort: port(12355, "Port."),
    timestampServers: key(z.array(z.string()).default([]), "The timestamp servers."),
    shards: key(lists, "The shards' groups."),
  }),
  regserver: roleSchema({ port: port(8443, "Port.") }),
  lookup: roleSchema({ port: port(8444, "Port."), regserver: peers(["regserver"]) }),
};

export const testCatalog: SchemaCatalog = {
  names: Object.keys(schemas),
  schemaOf: async (role) => schemas[role] as z.ZodObject,
};

function testRole(name: string): Role {
  return defineRole({
    name,
    summary: `A ${name} of tests`,
    durability: "nothing is kept",
    config: schemas[name] as z.ZodObject,
    reloadable: [],
    async start({ instance, config, dataDir, net, announcePort }) {
      const own = config as { host: string; port?: number; httpPort?: number; replica?: number };
      const write = (word: string) =>
        appendFileSync(join(dirname(dataDir), "order"), `${word} ${instance}\n`);
      const handlers = { open: () => undefined, data() {}, drain() {}, close() {} };
      const listener = await net.listen({ host: own.host, port: own.port ?? own.httpPort ?? 0, handlers });
      announcePort(own.port === undefined ? "httpPort" : "port", listener.port);
      write("start");
      return {
        notReady: () => [],
        stats: () => ({ isPrimary: own.replica === 1, config: config as never }),
        keyFigure: () => name,
        async stop() {
          listener.stop();
          write("stop");
        },
      };
    },
  });
}

export const testRoles: readonly Role[] = Object.keys(schemas).map(testRole);
