/** The keys of an archive's maintenance. Only declarations. */
import { z } from "zod";
import { integer, key } from "../../../core/config/schema.ts";

const period = (description: string, otherwise: string) =>
  key(
    z
      .string()
      .regex(/^(\d{1,9}[smhd]?|\d{1,3}:\d\d:\d\d)$/)
      .meta({ wanted: "a period such as 90, 30m, 6h, 14d or 12:00:00" })
      .default(otherwise),
    description,
  );
const bytes = (description: string, otherwise: string) =>
  key(
    z
      .string()
      .regex(/^\d{1,15}[kmgtKMGT]?$/)
      .meta({ wanted: "a size such as 64M or 10G" })
      .default(otherwise),
    description,
  );
const count = (what: string) =>
  key(integer(0, { min: 0, max: 10_000 }), `Keep the newest point of each of the last so many ${what}.`);

export const maintenanceConfig = z.strictObject({
  intervalMs: key(integer(1000, { min: 10, max: 3_600_000 }), "How often is looked for something to do."),
  keep: key(
    z
      .strictObject({
        last: key(integer(0, { min: 0, max: 10_000 }), "Keep the newest so many points."),
        hourly: count("hours"),
        daily: count("days"),
        weekly: count("weeks"),
        monthly: count("months"),
      })
      .optional(),
    "Which points stay, whether somebody asked for them or not. Others may be merged away, as after disable-snapshot.",
    { absent: "every point that was asked for stays", example: { hourly: 24, daily: 7, weekly: 5 } },
  ),
  apply: key(
    z
      .strictObject({
        olderThan: period(
          "Points that are older than the newest one by so much are written into the base image and are gone then.",
          "14d",
        ),
        interval: period("Not more often than this for each volume.", "1d"),
      })
      .optional(),
    "When old diffs are applied.",
    { absent: "never", example: { olderThan: "14d" } },
  ),
  merge: key(
    z
      .strictObject({
        interval: period("How often diffs of a volume are merged.", "1h"),
        thresholdDiffs: key(
          integer(1000, { min: 2, max: 1_000_000 }),
          "A volume with so many diffs is merged at once.",
        ),
        diffsMax: key(integer(100, { min: 2, max: 100_000 }), "Diffs of one merge."),
        bytesMax: bytes("Bytes of one merge.", "1G"),
      })
      .optional(),
    "When diffs between points that nobody keeps are merged.",
    { absent: "never", example: { interval: "1h" } },
  ),
  replicas: key(
    z
      .array(
        z.strictObject({
          name: key(z.string().regex(/^[A-Za-z0-9._-]{1,64}$/), "A name for logs and figures."),
          address: key(
            z
              .string()
              .regex(/^[^:\s]+:\d{1,5}$/)
              .meta({ wanted: "HOST:PORT" }),
            "The other archive.",
            { peerOf: ["archive"] },
          ),
          interval: period("How often it is brought up to date.", "1h"),
          compression: key(z.string().default("snappy:0:1"), "TYPE:LEVEL:THREADS on the way."),
          mergeBytesMax: bytes("Bytes that are merged on the way.", "1G"),
          disabledVolumes: key(z.array(z.string()).default([]), "Volumes that are not replicated there."),
        }),
      )
      .default([]),
    "Archives that every volume is replicated to.",
  ),
});

export type MaintenanceConfig = z.output<typeof maintenanceConfig>;
