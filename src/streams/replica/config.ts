/** The configuration of the replica role, and what it says of itself. */
import { z } from "zod";
import { integer, key, limits, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { REPLICA_PORT } from "../wire/replica.ts";
import { replicaFlags } from "./original-flags.ts";

const MEBIBYTE = 1024 * 1024;

export const replicaConfig = roleSchema({
  port: port(REPLICA_PORT, "Port of the file-replica protocol."),
  filesDir: key(
    z.string().min(1).optional(),
    "The directory of the copies: a directory in it for each worker. Nothing else may be in it.",
    { absent: "<dataDir>/files", example: "/srv/copies" },
  ),
  statusMs: key(
    integer(1000, { min: 10, max: 60_000 }),
    "While an original's client appends it is told this often how far the file was written and synced. Checked appends are told at once.",
  ),
  limits: limits({
    unwrittenBytesMax: key(
      integer(16 * MEBIBYTE, { min: 64 * 1024 }),
      "Bytes of one append that wait for the disk; its sender is not read from while there are more.",
      { isReloadable: true },
    ),
  }),
});

export type ReplicaConfig = z.output<typeof replicaConfig>;

export const replicaAbout: RoleAbout<typeof replicaConfig> = {
  name: "replica",
  summary: "Keeps copies of workers' state on another host, for checkpoints that survive the loss of one",
  durability: "a status says what is synced: those bytes survive power loss",
  config: replicaConfig,
  reloadable: [],
  originalFlags: replicaFlags,
};
