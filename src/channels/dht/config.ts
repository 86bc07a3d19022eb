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
  port,
  roleSchema,
} from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

const hashRange = crossCheck(
  group({
    min: key(hashBound().default("0000000000000000"), "First hash this node is responsible for."),
    max: key(hashBound().default("ffffffffffffffff"), "Last hash this node is responsible for."),
  }),
  {
    path: ["min"],
    wanted: "a hash that is not above max, or ffffffffffffffff with max 0000000000000000 for a node that owns nothing",
    holds: (value) => {
      const { min, max } = value as { min: string; max: string };
      return min <= max || (min === "ffffffffffffffff" && max === "0000000000000000");
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
  port: port(10000, "Port of the legacy swarm protocol."),
  respPort: port(10200, "Port of the Redis protocol (RESP2 and RESP3)."),
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
  hashRange: key(
    hashRange,
    "The part of the hash space that this node owns. A key belongs to it when its bit-reversed value lies there. A redistribution replaces it until this key is changed.",
  ),
  swarm: key(
    group({
      isOwnershipChecked: key(
        z.boolean().default(true),
        "Swarm clients that write a key outside hashRange are answered WrongNode (404).",
      ),
      writeFlushMs: key(
        integer(250, { min: 1, max: 60_000 }),
        "Changes are gathered for this long before they are sent to Listen clients.",
      ),
      batchBytes: key(
        integer(65535, { min: KIBIBYTE, max: 16 * MEBIBYTE }),
        "Content of one batch of GetAll before compression. Values may be 32 bytes shorter; longer ones are answered ValueTooBig (410).",
      ),
      sizeBytesMax: key(
        integer(0, { min: 0 }),
        "Bytes of all swarm records, as GetSize counts them (525376 for a channel, 56 for a record, and its value). Writes past it are answered OutOfMemory (407). 0 is no limit.",
      ),
      redistributePercent: key(
        integer(110, { min: 100, max: 10_000 }),
        "While this node moves records away it takes no batches that would let it grow beyond this part of its size at the start.",
      ),
    }),
    "The swarm protocol's own settings.",
  ),
  limits: limits({
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
  summary: "Key/value store for swarm and Redis clients",
  durability: "log (default): survives power loss; memory: survives nothing",
  config: dhtConfig,
  reloadable: reloadableKeys(dhtConfig),
  reach: { respPort: "redis-cli -h {host} -p {port}" },
};
