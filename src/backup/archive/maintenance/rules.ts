/** The configuration of maintenance as rules and requests. Values that no schema can judge are refused here. */
import { NxError } from "../../../core/errors.ts";
import { parseCompression } from "../../formats/compression.ts";
import { BLOCK_BYTES, parsePeriod, parseSize } from "../../formats/units.ts";
import { addressOf } from "../words.ts";
import type { MaintenanceConfig } from "./config.ts";
import type { Replica } from "./maintenance.ts";
import type { MaintenanceRules } from "./plan.ts";

const BULK_BYTES = 64 << 10;

function parsed<Value>(value: Value | undefined, what: string, text: string): Value {
  if (value === undefined) throw new NxError("NX_CONFIG_INVALID", `maintenance: ${what}: got "${text}"`);
  return value;
}

const seconds = (text: string) => parsed(parsePeriod(text), "wanted a period", text);
const bytes = (text: string) => parsed(parseSize(text), "wanted a size", text);

export function rulesOf({ keep, apply, merge, replicas }: MaintenanceConfig): MaintenanceRules {
  return {
    keep,
    apply: apply && { olderThanSeconds: seconds(apply.olderThan), intervalSeconds: seconds(apply.interval) },
    merge: merge && {
      intervalSeconds: seconds(merge.interval),
      thresholdDiffs: merge.thresholdDiffs,
      diffsMax: merge.diffsMax,
      bytesMax: bytes(merge.bytesMax),
    },
    replicas: replicas.map(({ name, interval, disabledVolumes }) => ({
      ...{ name, disabledVolumes },
      intervalSeconds: seconds(interval),
    })),
  };
}

/** `mergeDiffsMax` is that of every replication. */
export function replicasOf({ replicas }: MaintenanceConfig, mergeDiffsMax: number): Replica[] {
  return replicas.map(({ name, address, compression, mergeBytesMax }) => ({
    name,
    request: {
      to: addressOf(address),
      isResync: false,
      compression: parsed(
        parseCompression(compression),
        "wanted a compression TYPE:LEVEL:THREADS",
        compression,
      ),
      bulkBlocks: BULK_BYTES / BLOCK_BYTES,
      limits: { remainingBytesMax: 0, mergeBytesMax: bytes(mergeBytesMax), mergeDiffsMax },
    },
  }));
}
