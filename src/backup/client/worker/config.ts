/**
 * The configuration of `walb-worker`, the original's daemon for maintenance, read as it is: YAML with the sections
 * general, apply, merge and repl. Periods are seconds, `30m`, `6h`, `14d` or `hh:mm:ss`; sizes are `64K`, `1G`.
 *
 * Invariant: a key that is not known is refused with its place, never passed over.
 */
import { z } from "zod";
import { NxError } from "../../../core/errors.ts";
import type { MaintenanceRules } from "../../archive/maintenance/plan.ts";
import { parseCompression } from "../../formats/compression.ts";
import { parsePeriod, parseSize } from "../../formats/units.ts";

/** YAML reads `12:00:00` and `90` as what they look like; both forms are texts here. */
const text = z.union([z.string(), z.number()]).transform(String);
const period = text.refine(
  (value) => parsePeriod(value) !== undefined,
  "wanted a period such as 90, 30m or 14d",
);
const size = text.refine((value) => parseSize(value) !== undefined, "wanted a size such as 64K or 1G");
const count = z.int().min(1).max(1_000_000);
const port = z.int().min(1).max(65_535);

const replica = z.strictObject({
  addr: z.string(),
  port,
  interval: period,
  compress: z
    .string()
    .refine((value) => parseCompression(value) !== undefined, "wanted a compression such as snappy:0:1")
    .default("snappy:0:1"),
  max_merge_size: size.default("1G"),
  max_send_size: size.default("0"),
  bulk_size: size.default("64K"),
  log_name: z.string().optional(),
  enabled: z.boolean().default(true),
});

const schema = z.strictObject({
  general: z.strictObject({
    addr: z.string(),
    port,
    walbc_path: z.string(),
    max_task: count.default(1),
    max_replication_task: count.default(1),
    kick_interval: period.default("1"),
    timeout: period.default("10"),
  }),
  apply: z.strictObject({ keep_period: period, interval: period.default("1d") }).optional(),
  merge: z
    .strictObject({
      interval: period,
      max_nr: count.default(1_000_000),
      max_size: size.default("1024P"),
      threshold_nr: count.default(1_000_000),
    })
    .optional(),
  repl: z
    .strictObject({
      servers: z.record(z.string(), replica).default({}),
      disabled_volumes: z.array(z.string()).nullish(),
    })
    .optional(),
});

export interface WorkerReplica {
  name: string;
  address: { host: string; port: number };
  /** Options of `replicate` behind the address. */
  words: string[];
  /** Of one step; 0 is no limit. */
  sendBytesMax: number;
}

export interface WorkerConfig {
  archive: { host: string; port: number };
  timeoutMs: number;
  intervalMs: number;
  tasksMax: number;
  replicationsMax: number;
  rules: MaintenanceRules;
  replicas: WorkerReplica[];
}

const seconds = (value: string) => parsePeriod(value) as number;
const bytes = (value: string) => parseSize(value) as number;

/** Throws NX_CONFIG_INVALID with the place of what is wrong. */
export function parseWorkerConfig(file: string, yaml: string): WorkerConfig {
  const wrong = (what: string) =>
    new NxError("NX_CONFIG_INVALID", `${file}: ${what}`, {
      hint: "the sections are general, apply, merge and repl (docs/backup.md)",
    });
  let value: unknown;
  try {
    value = Bun.YAML.parse(yaml);
  } catch (error) {
    throw wrong(`this is no YAML: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw wrong(`${issue?.path.join(".") || "the file"}: ${issue?.message}`);
  }
  const { general, apply, merge, repl } = parsed.data;
  const servers = Object.entries(repl?.servers ?? {}).filter(([, { enabled }]) => enabled);
  const disabledVolumes = repl?.disabled_volumes ?? [];
  return {
    archive: { host: general.addr, port: general.port },
    timeoutMs: seconds(general.timeout) * 1000,
    intervalMs: Math.max(100, seconds(general.kick_interval) * 1000),
    tasksMax: general.max_task,
    replicationsMax: general.max_replication_task,
    rules: {
      apply: apply && {
        olderThanSeconds: seconds(apply.keep_period),
        intervalSeconds: seconds(apply.interval),
      },
      merge: merge && {
        intervalSeconds: seconds(merge.interval),
        thresholdDiffs: merge.threshold_nr,
        diffsMax: merge.max_nr,
        bytesMax: bytes(merge.max_size),
      },
      replicas: servers.map(([name, { interval }]) => ({
        ...{ name, disabledVolumes },
        intervalSeconds: seconds(interval),
      })),
    },
    replicas: servers.map(([name, server]) => ({
      name,
      address: { host: server.addr, port: server.port },
      // RESYNC 0, DONTMERGE 0, then what the file says.
      words: ["0", "0", server.compress, server.max_merge_size, server.bulk_size],
      sendBytesMax: bytes(server.max_send_size),
    })),
  };
}
