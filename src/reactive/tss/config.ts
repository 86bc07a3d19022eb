/**
 * The configuration of the tss role, and what it says of itself. Only declarations.
 */
import { reloadableKeys } from "../../core/config/keys.ts";
import { integer, key, limits, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { groupChecks, groupKeys, replicasKey } from "../group-config.ts";

const MEBIBYTE = 1024 * 1024;

export const tssConfig = groupChecks(
  roleSchema({
    port: port(12348, "Port for clients and for the other replicas."),
    replicas: replicasKey("tss"),
    ...groupKeys,
    limits: limits({
      requestBytesMax: key(
        integer(MEBIBYTE, { min: 1024, max: 64 * MEBIBYTE }),
        "The longest request of a client. A longer one closes the connection.",
        { isReloadable: true },
      ),
    }),
  }),
);

export const tssAbout: RoleAbout<typeof tssConfig> = {
  name: "tss",
  summary: "Timestamp server: unique, increasing timestamps from a replicated group",
  durability:
    "a timestamp that was given out is never given out again, also after power loss of all replicas",
  config: tssConfig,
  reloadable: reloadableKeys(tssConfig),
};
