/**
 * The configuration of the logfiles role, and what it says of itself.
 *
 * Only declarations: `check`, `init`, `config` and the docs read this file without loading the store.
 */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import { durability, group, integer, key, limits, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { commandSocket, logSocket, neo, nodesCa } from "../config-keys.ts";
import { logfilesDialect } from "./ini.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

const hash = () =>
  z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .meta({ wanted: "16 lower-case hex digits" });

export const logfilesConfig = roleSchema({
  port: port(10010, "Port of the legacy swarm protocol."),
  neoPort: port(10110, "Port of the neo swarm protocol, opened where neo.credentialsFile is set."),
  httpPort: key(
    z.int().min(0).max(65535).nullable().default(10310),
    "Port of HTTP: writing, searching and following records. 0 takes a free port; <dataDir>/ports.json tells which. null: none.",
  ),
  durability: durability(
    ["log", "buffered"],
    "log",
    "What an acknowledged record survives. log: power loss, it is in the append log and synced first. buffered: nothing is waited for; a crash or power loss takes what was on its way to the disk, usually some milliseconds, and never damages what is there.",
  ),
  layout: key(
    z.enum(["segments", "classic"]).default("segments"),
    "How records are kept. segments: compressed, checksummed files of our own. classic: the bucket files of the original logfiles nodes, byte for byte; read in every version, written in the current one.",
  ),
  channelsDir: key(
    z.string().min(1).default("channels"),
    "The directory with one directory for each channel, relative to dataDir.",
  ),
  memory: key(
    group({
      memtableBytes: key(
        integer(32 * MEBIBYTE, { min: 64 * KIBIBYTE, max: 1024 * MEBIBYTE }),
        "Records are moved from memory into files when they take this much. Four times as much is used while files are written.",
      ),
      flushPeriodSeconds: key(
        integer(300, { min: 1, max: 24 * 3600 }),
        "With layout classic: they are moved after this time, however few they are.",
      ),
    }),
    "Records that are not in files yet. They are in the append log, so nothing is lost with them.",
  ),
  segments: key(
    group({
      pageBytes: key(
        integer(MEBIBYTE, { min: 16 * KIBIBYTE, max: 16 * MEBIBYTE }),
        "Records are compressed in pieces of about this size. Larger ones compress better, smaller ones are read faster one by one.",
      ),
      compressionLevel: key(
        integer(3, { min: 1, max: 19 }),
        "Of zstd. Higher levels cost time when records are moved into files.",
      ),
      joinCount: key(integer(8, { min: 2, max: 64 }), "So many files of about one size are joined into one."),
      joinBytesMax: key(
        integer(512 * MEBIBYTE, { min: MEBIBYTE }),
        "No file is made larger than about this by joining.",
      ),
    }),
    "The files of layout segments.",
  ),
  retention: key(
    group({
      ageSecondsMax: key(
        integer(0, { min: 0 }),
        "Files whose newest record is older than this are removed. Keys are taken as UNIX seconds. 0 keeps them.",
        { isReloadable: true },
      ),
      fileBytesMax: key(
        integer(0, { min: 0 }),
        "When all files take more than this, those with the oldest records are removed. 0 is no limit.",
        { isReloadable: true },
      ),
    }),
    "What is removed by itself. Whole files only, so some records stay longer.",
  ),
  hashRange: key(
    group({
      min: key(hash().default("0000000000000000"), "First hash of this node."),
      max: key(hash().default("ffffffffffffffff"), "Last hash of this node."),
    }),
    "What GetResponsibleRange answers. Records are taken whatever their key.",
  ),
  swarm: key(
    group({
      writeFlushMs: key(
        integer(250, { min: 1, max: 60_000 }),
        "Accepted from INI files; answers are always sent at once.",
      ),
      batchBytes: key(
        integer(65_536, { min: KIBIBYTE, max: 16 * MEBIBYTE }),
        "Content of one batch of an answer before compression. A record that no batch holds is left out, with a warning.",
      ),
      backlog: key(integer(2048, { min: 1, max: 65_535 }), "Connections that may wait to be accepted."),
    }),
    "The swarm protocol's own settings.",
  ),
  neo,
  commandSocket,
  logSocket,
  nodesCa,
  limits: limits({
    channelsMax: key(
      integer(10_000, { min: 1, max: 1_000_000 }),
      "Channels at once. Writes to further ones are errors.",
    ),
  }),
});

export const logfilesAbout: RoleAbout<typeof logfilesConfig> = {
  name: "logfiles",
  summary: "Log store by time for swarm and HTTP clients",
  durability: "log (default): survives power loss; buffered: a crash takes what was on its way to the disk",
  config: logfilesConfig,
  reloadable: reloadableKeys(logfilesConfig),
  reach: { httpPort: "curl http://{host}:{port}/channels" },
  ini: logfilesDialect,
};

export type LogfilesConfig = z.output<typeof logfilesConfig>;
