/** The configuration of the storage role, and what it says of itself. Only declarations. */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import { hostName, integer, key, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { serverKeys } from "../server/config-keys.ts";

const MEBIBYTE = 2 ** 20;
const address = (wanted: string) =>
  z
    .string()
    .regex(/^[^:\s]+:\d{1,5}$/)
    .meta({ wanted });
const size = () =>
  z
    .string()
    .regex(/^\d{1,15}[kmgtKMGT]?$/)
    .meta({ wanted: "a size such as 64M or 10G" });

export const storageConfig = roleSchema({
  port: port(13000, "Port of the WalB protocol: the controller."),
  nbdPort: port(10809, "Port of NBD: every volume is an export under its name."),
  nbdHost: key(hostName().optional(), "The address that nbdPort listens on.", {
    absent: "as host",
    example: "127.0.0.1",
  }),
  nbdConnectionsMax: key(
    integer(256, { min: 1, max: 10_000 }),
    "NBD clients at once; further ones are closed.",
  ),
  ...serverKeys({
    role: "storage",
    example: "s0",
    holds: "what is known of each volume's backup",
    foreground: "Full copies and comparisons",
  }),
  volumesDir: key(
    z.string().min(1).default("volumes"),
    "The directory of the volumes themselves, relative to dataDir.",
  ),
  volumes: key(
    z
      .array(
        z.strictObject({
          name: key(z.string().regex(/^[0-9A-Za-z-]{1,64}$/), "Its name, and that of its NBD export."),
          size: key(size(), "Its size: a number with k, m, g or t, a multiple of 4096 bytes."),
          logSize: key(size(), "The size of its log: what may be written while no proxy can be reached."),
        }),
      )
      .default([]),
    "Volumes that are made at the start when they are not there. Others are made by `node-x walb volume create`.",
    { example: [{ name: "vol1", size: "64M", logSize: "32M" }] },
  ),
  archive: key(
    address("HOST:PORT").default("127.0.0.1:13020"),
    "The primary archive, which takes full copies and comparisons (-archive).",
    {
      peerOf: ["archive"],
    },
  ),
  proxies: key(
    z.array(address("HOST:PORT")).min(1).default(["127.0.0.1:13010"]),
    "The proxies that take the log, in the order of preference (-proxy).",
    { peerOf: ["proxy"] },
  ),
  backgroundMax: key(integer(1, { min: 1, max: 1000 }), "Logs shipped at once (-bg)."),
  shipBytesMax: key(
    integer(128 * MEBIBYTE, { min: MEBIBYTE }),
    "Log that one transfer carries at most (-wl).",
  ),
  snapshotIntervalMs: key(
    integer(10_000, { min: 0, max: 86_400_000 }),
    "Points in time that nobody asked for are at least this far apart while log waits (-snapintvl).",
  ),
  shipDelayMs: key(
    integer(1000, { min: 0, max: 3_600_000 }),
    "A write is shipped after this time, together with what followed it.",
  ),
  retryMinMs: key(
    integer(1000, { min: 10, max: 3_600_000 }),
    "First wait after a failed transfer (-delay); it doubles each time.",
  ),
  retryMaxMs: key(
    integer(300_000, { min: 10, max: 86_400_000 }),
    "Longest wait after a failed transfer (-maxdelay).",
  ),
  sendBytesPerSecond: key(
    integer(0, { min: 0 }),
    "What all proxies together are sent of logs, at most. 0 is no limit.",
  ),
  heartbeatMs: key(
    integer(10_000, { min: 100, max: 3_600_000 }),
    "Each proxy is asked whether it is there this often.",
  ),
  fullScanBytesPerSecond: key(
    integer(0, { min: 0 }),
    "Reading of a volume by a full copy or a comparison, at most (-fst). 0 is no limit.",
  ),
  lagIntervalMs: key(
    integer(60_000, { min: 100, max: 86_400_000 }),
    "The archive is asked how far it has come this often (-tsdintvl).",
  ),
  syncCompression: key(
    z
      .string()
      .regex(/^(none|gzip|snappy|lzma|lz4|zstd)(:\d(:[1-9]\d{0,2})?)?$/)
      .default("snappy:0:1"),
    "Compression of full copies and comparisons, TYPE:LEVEL:THREADS (-sync-cmpr).",
  ),
});

export const storageAbout: RoleAbout<typeof storageConfig> = {
  name: "storage",
  summary:
    "Block-volume backup: volumes over NBD whose every write is logged and shipped (replaces walb-storage)",
  durability:
    "A write is acknowledged when the log file has it; a flush (and FUA) when the log file is synced",
  config: storageConfig,
  reloadable: reloadableKeys(storageConfig),
  reach: { nbdPort: "nbdinfo nbd://{host}:{port}/vol1" },
};
