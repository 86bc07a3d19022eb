/** The configuration of the archive role, and what it says of itself. Only declarations. */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import { crossCheck, integer, key, optionalPort, port, roleSchema } from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { serverKeys } from "../server/config-keys.ts";
import { bucketConfig } from "../bucket/config.ts";
import { maintenanceConfig } from "./maintenance/config.ts";

const GIBIBYTE = 2 ** 30;

const archiveKeys = roleSchema({
  port: port(13020, "Port of the WalB protocol: storages, proxies, other archives and the controller."),
  nbdPort: optionalPort(
    "Port of NBD: every point in time is a read-only export, VOL@GID.",
    "no NBD; the usual port is 10810",
  ),
  nbdConnectionsMax: key(
    integer(64, { min: 1, max: 10_000 }),
    "NBD clients at once; further ones are closed.",
  ),
  ...serverKeys({
    role: "archive",
    example: "a0",
    holds: "the volumes",
    foreground: "Long jobs (transfers, restore, apply, merge, hashes)",
  }),
  volumeGroup: key(
    z
      .string()
      .regex(/^[A-Za-z0-9_.+-]{1,127}$/)
      .optional(),
    "Keep images as logical volumes in this volume group (-vg). The process must be root then.",
    { absent: "images are files in the directory of their volume", example: "vg0", privilege: "lvm" },
  ),
  thinPool: key(
    z
      .string()
      .regex(/^[A-Za-z0-9_.+-]{1,127}$/)
      .optional(),
    "The thin pool of that volume group for images (-tp): restores share blocks with the base.",
    { absent: "logical volumes are linear", example: "tp0" },
  ),
  deviceDirectory: key(z.string().min(1).default("/dev"), "Where logical volumes have their device nodes."),
  keepsOneCold: key(
    z.boolean().default(false),
    "Of cold snapshots, which restores in a thin pool leave, only the newest stays (-keep-one-cold-snap).",
  ),
  discard: key(
    z.enum(["ignore", "zero", "passdown"]).default("ignore"),
    "How discards act on images (-discard). ignore: the old content stays. zero: zeros are written. passdown: the space is given back.",
  ),
  syncBytes: key(
    integer(GIBIBYTE, { min: 1 << 20 }),
    "A base image that arrives is synced after this many bytes (-fi).",
  ),
  grows: key(
    z.boolean().default(false),
    "A base image grows by itself when a larger volume sends (-autoresize).",
  ),
  openMax: key(
    integer(200, { min: 2, max: 10_000 }),
    "Diffs that one apply or restore opens together (-maxopen).",
  ),
  openVirtualMax: key(
    integer(0, { min: 0, max: 100_000 }),
    "Diffs that bhash and virt-full-scan open together; more are refused (-maxopen-virt). 0 is no limit.",
  ),
  applySleepPercent: key(
    integer(0, { min: 0, max: 99 }),
    "The share of its time that an apply sleeps, for others (-apply-sleep-pct).",
  ),
  maintenance: key(
    maintenanceConfig.optional(),
    "What the archive does of its own accord: let points go, apply, merge, replicate.",
    {
      absent: "nothing",
      example: { keep: { hourly: 24, daily: 7 }, merge: {}, apply: { olderThan: "14d" } },
    },
  ),
  bucket: key(
    bucketConfig.optional(),
    "A bucket of an S3-compatible store that has every base image and every diff, too.",
    { absent: "no bucket", example: { url: "s3://backups/archive0", endpoint: "https://s3.example:9000" } },
  ),
  replicateBytesPerSecond: key(
    integer(0, { min: 0 }),
    "What replications to other archives send together, at most. 0 is no limit.",
  ),
  mergeDiffsMax: key(
    integer(1000, { min: 1, max: 100_000 }),
    "Diffs that one step of a replication merges (-wn).",
  ),
  syncCompression: key(
    z
      .string()
      .regex(/^(none|gzip|snappy|lzma|lz4|zstd)(:\d(:[1-9]\d{0,2})?)?$/)
      .default("snappy:0:1"),
    "Compression of replications that name none, TYPE:LEVEL:THREADS (-sync-cmpr).",
  ),
});

export const archiveConfig = crossCheck(archiveKeys, {
  path: ["bucket", "mode"],
  wanted: "second, or no volumeGroup: base images are either logical volumes or in the bucket",
  holds: (value) => {
    const { bucket, volumeGroup } = value as Partial<z.output<typeof archiveKeys>>;
    return bucket?.mode !== "primary" || volumeGroup === undefined;
  },
});

export type ArchiveConfig = z.output<typeof archiveConfig>;

export const archiveAbout: RoleAbout<typeof archiveConfig> = {
  name: "archive",
  summary:
    "Block-volume backup: base images and chains of diffs, restorable at any clean point (replaces walb-archive)",
  durability:
    "A diff or a copy is acknowledged when it is synced under its name; with a bucket as primary, when it is there",
  config: archiveConfig,
  reach: { nbdPort: "nbdinfo --list nbd://{host}:{port}" },
  reloadable: reloadableKeys(archiveConfig),
};
