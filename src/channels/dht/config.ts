/**
 * The configuration of the dht role, and what it says of itself.
 *
 * Only declarations: `check`, `init`, `config` and the docs read this file without loading the store.
 */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import {
  crossCheck,
  durability,
  filePath,
  group,
  integer,
  key,
  limits,
  roleSchema,
} from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { dhtDialect } from "./ini.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

const hashRange = crossCheck(
  group({
    min: key(hashBound().default("0000000000000000"), "First hash this node is responsible for."),
    max: key(hashBound().default("ffffffffffffffff"), "Last hash this node is responsible for."),
  }),
  {
    path: ["min"],
    wanted: "a hash that is not above max (or the empty range ffffffffffffffff to 0000000000000000)",
    holds: (value) => {
      const { min, max } = value as { min: string; max: string };
      const isEmpty = min === "f".repeat(16) && max === "0".repeat(16);
      return min <= max || isEmpty;
    },
  },
);

function hashBound() {
  return z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .meta({ wanted: "16 lower-case hex digits" });
}

export const dhtConfig = roleSchema({
  respPort: key(
    z.int().min(0).max(65535).nullable().default(10200),
    "Port of the Redis protocol (RESP2 and RESP3). 0 takes a free port; <dataDir>/ports.json tells which. null: it is not spoken.",
  ),
  passwordFile: key(
    filePath().optional(),
    "File with the password that clients must give with AUTH. Must not be readable by other users.",
    {
      fileKind: "secret",
      absent: "clients need no password",
      example: "redis.password",
    },
  ),
  durability: durability(
    ["log", "memory"],
    "log",
    "What an acknowledged write survives. log: power loss, it is in the append log and synced first. memory: nothing, everything is gone with the process.",
  ),
  compaction: key(
    group({
      logBytesMin: key(
        integer(64 * MEBIBYTE, { min: 64 * KIBIBYTE }),
        "The log is not compacted while it is shorter than this.",
      ),
      growthPercent: key(
        integer(100, { min: 10, max: 10_000 }),
        "The log is compacted into a snapshot when it outgrows the last snapshot by this much.",
      ),
    }),
    "When the append log is rewritten as a snapshot. Service goes on meanwhile.",
  ),
  hashRange: key(hashRange, "The part of the hash space that this node shows as its own."),
  limits: limits({
    keyBytesMax: key(
      integer(512 * KIBIBYTE, { min: 1, max: 512 * KIBIBYTE }),
      "The longest key. A longer one is an error.",
      { isReloadable: true },
    ),
    valueBytesMax: key(
      integer(512 * MEBIBYTE, { min: 1, max: 512 * MEBIBYTE }),
      "The longest value. A longer one is an error.",
      { isReloadable: true },
    ),
    memoryBytesMax: key(
      integer(0, { min: 0 }),
      "Memory for records. Once it is used, writes that need more are errors; reads and deletes go on. 0 is no limit.",
      { isReloadable: true },
    ),
  }),
});

export const dhtAbout: RoleAbout<typeof dhtConfig> = {
  name: "dht",
  summary: "Key/value store for Redis clients",
  durability: "log (default): survives power loss; memory: survives nothing",
  config: dhtConfig,
  reloadable: reloadableKeys(dhtConfig),
  reach: { respPort: "redis-cli -h {host} -p {port}" },
  ini: dhtDialect,
};
