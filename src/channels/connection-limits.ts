/** How many connections a node really serves: what is configured, bounded by the files that the process may open. */
import { readOpenFilesMax } from "../core/kernel/process-meter.ts";
import type { Log } from "../core/logging/log.ts";

interface Limits {
  connections: number;
}

/** Files that clients must leave to the node: its log, snapshots, admin connections, unfinished handshakes. */
const RESERVED_FILES = 192;

/** As configured, but never so many connections that the log could not open its next file; then it warns. */
export function effectiveLimits<Own extends Limits>(limits: Own, log: Log): Own {
  const connections = Math.min(limits.connections, Math.max(1, readOpenFilesMax() - RESERVED_FILES));
  if (connections < limits.connections) {
    log.warn(`only ${connections} connections are served: the limit on open files allows no more`, {
      configured: limits.connections,
      hint: `set LimitNOFILE=${limits.connections + RESERVED_FILES} in the unit, or raise \`ulimit -n\``,
    });
  }
  return { ...limits, connections };
}

/** The limits for one port while clients of others are connected. */
export function limitsBeside<Own extends Limits>(limits: Own, otherConnections: number): Own {
  return { ...limits, connections: Math.max(0, limits.connections - otherConnections) };
}
