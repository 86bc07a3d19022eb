/**
 * The configuration of the store role, and what it says of itself. Only declarations.
 */
import { reloadableKeys } from "../../core/config/keys.ts";
import { crossCheck, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { clientKeys, isGuarded } from "../frontend/client-keys.ts";
import { groupChecks, groupKeys, replicasKey } from "../group-config.ts";
import { versionKeys } from "../shard/config.ts";

const { httpPort, ...otherClientKeys } = clientKeys;

export const storeConfig = groupChecks(
  crossCheck(
    roleSchema({
      httpPort,
      port: port(12345, "Port for the other replicas, and for frontends of their own processes."),
      replicas: replicasKey("store", "127.0.0.1:12345"),
      ...groupKeys,
      ...versionKeys,
      ...otherClientKeys,
    }),
    isGuarded,
  ),
);

export const storeAbout: RoleAbout<typeof storeConfig> = {
  name: "store",
  summary: "Transactional store in one process: timestamp server, one shard and a frontend",
  durability: "a committed transaction survives the end of all processes and power loss of all hosts",
  config: storeConfig,
  reloadable: reloadableKeys(storeConfig),
  reach: { httpPort: "http://{host}:{port}/" },
};
