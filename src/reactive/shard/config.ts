/**
 * The configuration of the shard role, and what it says of itself. Only declarations.
 */
import { reloadableKeys } from "../../core/config/keys.ts";
import { filePath, integer, key, limits, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { groupChecks, groupKeys, replicasKey } from "../group-config.ts";

const MEBIBYTE = 1024 * 1024;

/** How a shard keeps its versions, and for how long. */
export const versionKeys = {
  retentionMs: key(
    integer(30_000, { min: 1000, max: 86_400_000 }),
    "Old versions are kept this long for readers at earlier timestamps. What the primary's file says counts for all replicas.",
  ),
  outcomeRetentionMs: key(
    integer(600_000, { min: 60_000, max: 86_400_000 }),
    "What became of a transaction is remembered this long for a client that is silent. The primary's file counts.",
  ),
  keptOutcomeRetentionMs: key(
    integer(30 * 86_400_000, { min: 60_000, max: 366 * 86_400_000 }),
    "The same for a client that keeps a log of its own (`storage` of the client library): it may have been away for days when it asks what became of the last transaction that it sent. The primary's file counts.",
  ),
  batch: key(
    integer(4096, { min: 1, max: 65_536 }),
    "Commands that one entry of the log may hold, of those that wait at the end of a turn of the event loop. 1: every command is replicated by itself.",
  ),
};

export const shardConfig = groupChecks(
  roleSchema({
    port: port(12345, "Port for frontends and for the other replicas."),
    shard: key(
      integer(0, { min: 0, max: 4095 }),
      "Which shard of the cluster this is, from 0: the same at all replicas. Keys are placed by a hash over all shards.",
    ),
    replicas: replicasKey("shard"),
    ...groupKeys,
    ...versionKeys,
    preloadFile: key(
      filePath().optional(),
      "File with one key per line. An empty shard begins with these keys, each with the text `null`.",
      { absent: "an empty shard begins empty", example: "keys.txt" },
    ),
    preloadKeys: key(
      integer(0, { min: 0, max: 1e9 }),
      "How many lines of preloadFile are taken, from the first. 0: all.",
    ),
    preloadShards: key(
      integer(1, { min: 1, max: 4096 }),
      "How many shards the cluster has, to load only the keys of this one.",
    ),
    limits: limits({
      requestBytesMax: key(
        integer(16 * MEBIBYTE, { min: 1024, max: 64 * MEBIBYTE }),
        "The longest request of a frontend. A longer one closes the connection.",
        { isReloadable: true },
      ),
    }),
  }),
);

export const shardAbout: RoleAbout<typeof shardConfig> = {
  name: "shard",
  summary: "Shard of a transactional store: versions of keys, kept by a replicated group",
  durability: "a committed transaction survives the end of all processes and power loss of all hosts",
  config: shardConfig,
  reloadable: reloadableKeys(shardConfig),
};
