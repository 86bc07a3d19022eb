/**
 * The table of roles: one line each, nothing loaded before it is asked for.
 *
 * `about` loads the role's declarations (schema, summary, durability promise), `load` the role itself with
 * its code. A name given here is the one that files, variables and the command line use.
 */
import type { z } from "zod";
import type { SchemaCatalog } from "./core/config/load.ts";
import { nearest } from "./core/config/nearest.ts";
import { NxError } from "./core/errors.ts";
import type { Role, RoleAbout } from "./core/role.ts";

export interface RoleEntry {
  name: string;
  /** It answers within a millisecond: see core/kernel/runtime-settings.ts. */
  collectsRarely?: true;
  about(): Promise<RoleAbout>;
  load(): Promise<Role>;
}

export const roles: readonly RoleEntry[] = [
  {
    name: "dht",
    about: async () => (await import("./channels/dht/config.ts")).dhtAbout,
    load: async () => (await import("./channels/dht/role.ts")).dht,
  },
  {
    name: "logfiles",
    about: async () => (await import("./channels/logfiles/config.ts")).logfilesAbout,
    load: async () => (await import("./channels/logfiles/role.ts")).logfiles,
  },
  {
    name: "regserver",
    about: async () => (await import("./presence/server/config.ts")).regserverAbout,
    load: async () => (await import("./presence/server/role.ts")).regserver,
  },
  {
    name: "lookup",
    about: async () => (await import("./presence/server/config.ts")).lookupAbout,
    load: async () => (await import("./presence/server/role.ts")).lookup,
  },
  {
    name: "storage",
    about: async () => (await import("./backup/storage/config.ts")).storageAbout,
    load: async () => (await import("./backup/storage/role.ts")).storage,
  },
  {
    name: "archive",
    about: async () => (await import("./backup/archive/config.ts")).archiveAbout,
    load: async () => (await import("./backup/archive/role.ts")).archive,
  },
  {
    name: "queue",
    about: async () => (await import("./channels/queue/config.ts")).queueAbout,
    load: async () => (await import("./channels/queue/role.ts")).queue,
  },
  {
    name: "shard",
    collectsRarely: true,
    about: async () => (await import("./reactive/shard/config.ts")).shardAbout,
    load: async () => (await import("./reactive/shard/role.ts")).shard,
  },
  {
    name: "tss",
    collectsRarely: true,
    about: async () => (await import("./reactive/tss/config.ts")).tssAbout,
    load: async () => (await import("./reactive/tss/role.ts")).tss,
  },
  {
    name: "frontend",
    collectsRarely: true,
    about: async () => (await import("./reactive/frontend/config.ts")).frontendAbout,
    load: async () => (await import("./reactive/frontend/role.ts")).frontend,
  },
  {
    name: "store",
    collectsRarely: true,
    about: async () => (await import("./reactive/store/config.ts")).storeAbout,
    load: async () => (await import("./reactive/store/role.ts")).store,
  },
  {
    name: "dhtdump",
    about: async () => (await import("./channels/dhtdump/config.ts")).dhtdumpAbout,
    load: async () => (await import("./channels/dhtdump/role.ts")).dhtdump,
  },
  {
    name: "worker",
    about: async () => (await import("./streams/worker/config.ts")).workerAbout,
    load: async () => (await import("./streams/worker/role.ts")).worker,
  },
  {
    name: "hub",
    about: async () => (await import("./hub/config.ts")).hubAbout,
    load: async () => (await import("./hub/role.ts")).hub,
  },
  {
    name: "replica",
    about: async () => (await import("./streams/replica/config.ts")).replicaAbout,
    load: async () => (await import("./streams/replica/role.ts")).replica,
  },
  {
    name: "sender",
    about: async () => (await import("./streams/sender/config.ts")).senderAbout,
    load: async () => (await import("./streams/sender/role.ts")).sender,
  },
  {
    name: "proxy",
    about: async () => (await import("./backup/proxy/config.ts")).proxyAbout,
    load: async () => (await import("./backup/proxy/role.ts")).proxy,
  },
];

export const roleNames: readonly string[] = roles.map((role) => role.name);

/** The entry of a role. Throws NX_ROLE_UNKNOWN with the nearest name. */
export function roleEntry(name: string): RoleEntry {
  const entry = roles.find((role) => role.name === name);
  if (entry !== undefined) return entry;
  const suggestion = nearest(name, roleNames);
  throw new NxError(
    "NX_ROLE_UNKNOWN",
    `there is no role "${name}"${suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`}`,
    {
      hint: `the roles are ${roleNames.join(", ")}`,
    },
  );
}

/** The roles as the configuration loader sees them. */
export const schemaCatalog: SchemaCatalog = {
  names: roleNames,
  schemaOf: async (name): Promise<z.ZodObject> => (await roleEntry(name).about()).config,
  dialectOf: async (name) => (await roleEntry(name).about()).ini,
  jsonDialectOf: async (name) => (await roleEntry(name).about()).json,
};

/** Default ports of a role: every key of its schema that is a port with a default. */
export async function defaultPorts(about: RoleAbout): Promise<Record<string, number>> {
  const { configKeys, isPortKey } = await import("./core/config/keys.ts");
  const ports = configKeys(about.config).filter(
    (key) => isPortKey(key.name) && typeof key.defaultValue === "number",
  );
  return Object.fromEntries(ports.map((key) => [key.name, key.defaultValue as number]));
}
