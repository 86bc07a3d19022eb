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
  optionalPort,
  port,
  roleSchema,
} from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import {
  commandSocket,
  compaction,
  logSocket,
  neo,
  nodesCa,
  passwordFile,
  respPort,
} from "../config-keys.ts";
import { dhtDialect } from "./ini.ts";
import type { OutOfRange } from "../../native/tcm.ts";

/** What src/native/tcm.ts knows; named again here because declarations load no library. */
const outOfRangeRules = ["load", "fatal", "ignore"] as const satisfies readonly OutOfRange[];

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
  port: port(10000, "Port of the legacy swarm protocol."),
  neoPort: key(
    z.int().min(0).max(65535).nullable().default(null),
    "Port of the neo swarm protocol, opened where neo.credentialsFile is set. 0 takes a free port; <dataDir>/ports.json tells which. null: a hundred above port.",
  ),
  respPort: respPort(10200),
  passwordFile,
  durability: durability(
    ["log", "dump", "memory"],
    "log",
    "What an acknowledged write survives. log: power loss, it is in the append log and synced first. dump: a clean shutdown; a crash or power loss takes what changed since the last periodic dump (.tcm files). memory: nothing, everything is gone with the process.",
  ),
  dump: key(
    group({
      periodSeconds: key(
        integer(3600, { min: 1, max: 31 * 24 * 3600 }),
        "From the start of one dump to the start of the next; at least a minute passes between two. The first comes after a random part of it.",
      ),
      batchBytesMax: key(
        integer(65_536, { min: 1024, max: 512 * MEBIBYTE }),
        "The longest value in a .tcm file. Longer ones are dumped into the .nxs file, and skipped with a warning where a .tcm has them.",
      ),
      allowOutOfRange: key(
        z.enum(outOfRangeRules).default("load"),
        "Records of a dump whose hash is not in hashRange. load: loaded, with a warning. fatal: the node does not start. ignore: skipped, with a warning.",
      ),
      abortAfterAllOutOfRange: key(
        integer(10_000, { min: 0 }),
        "The node does not start when more than this many records of a dump are read and all are outside hashRange. 0 switches that off.",
      ),
      disabled: key(z.boolean().default(false), "Dump at shutdown only."),
    }),
    'The dumps of durability "dump".',
  ),
  compaction,
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
      backlog: key(
        integer(2048, { min: 1, max: 65_535 }),
        "New connections of the swarm ports that may wait to be accepted; net.core.somaxconn caps it.",
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
  neo,
  commandSocket,
  logSocket,
  mirror: key(
    group({
      port: optionalPort(
        "Port for mirrors of this node; who may connect says neo.credentialsFile.",
        "nobody can mirror this node",
      ),
      isSync: key(
        z.boolean().default(false),
        "A write is acknowledged only when a mirror has it on disk, too; while there is no mirror, clients wait.",
      ),
      of: key(
        z
          .string()
          .regex(/^\[?[0-9A-Za-z._:%-]+\]?:\d{1,5}$/)
          .optional()
          .meta({ wanted: "address:port" }),
        "The node that this one mirrors: its mirror.port. Writes are refused until this one is promoted.",
        {
          absent: "this node mirrors nobody",
          example: "127.0.0.1:10400",
        },
      ),
      credentialsFile: key(
        filePath().optional(),
        "File with the one line name:hex that this mirror shows the node. Must not be readable by other users.",
        {
          fileKind: "secrets",
          absent: "needed with mirror.of",
          example: "etc/mirror.credentials",
        },
      ),
    }),
    'Another node with the same records, ready to take over. Needs durability "log" on both.',
  ),
  nodesCa,
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
  summary: "Key/value store for swarm and Redis clients",
  durability:
    "log (default): survives power loss; dump: survives a clean shutdown, otherwise up to the last dump; memory: survives nothing",
  config: dhtConfig,
  reloadable: reloadableKeys(dhtConfig),
  reach: { respPort: "redis-cli -h {host} -p {port}" },
  ini: dhtDialect,
};
