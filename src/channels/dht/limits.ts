/** How many connections a node really serves: what is configured, bounded by the files that the process may open. */
import type { z } from "zod";
import { readOpenFilesMax } from "../../core/kernel/process-meter.ts";
import type { Log } from "../../core/logging/log.ts";
import type { dhtConfig } from "./config.ts";

export type DhtConfig = z.output<typeof dhtConfig>;
export type DhtLimits = DhtConfig["limits"];

/** Files that clients must leave to the node: its log, snapshots, admin connections, unfinished handshakes. */
const RESERVED_FILES = 192;

/** As configured, but never so many connections that the log could not open its next file; then it warns. */
export function effectiveLimits<Limits extends { connections: number }>(
  { limits }: { limits: Limits },
  log: Log,
): Limits {
  const connections = Math.min(limits.connections, Math.max(1, readOpenFilesMax() - RESERVED_FILES));
  if (connections < limits.connections) {
    log.warn(`only ${connections} connections are served: the limit on open files allows no more`, {
      configured: limits.connections,
      hint: `set LimitNOFILE=${limits.connections + RESERVED_FILES} in the unit, or raise \`ulimit -n\``,
    });
  }
  return { ...limits, connections };
}

/** The limits for one port while clients of another are connected. */
export function limitsBeside(limits: DhtLimits, otherConnections: number): DhtLimits {
  return { ...limits, connections: Math.max(0, limits.connections - otherConnections) };
}
