/** What every replicated role does with its configuration: opens its replica, counts what it does. */
import type { z } from "zod";
import { parseAddress } from "../core/config/group-file.ts";
import { NxError } from "../core/errors.ts";
import type { Metrics } from "../core/metrics.ts";
import type { RoleContext } from "../core/role.ts";
import { readSecret } from "../core/secret-file.ts";
import { callerTlsOf } from "../core/sockets/tls.ts";
import { type groupKeys, leaseMsOf } from "./group-config.ts";
import { GroupNode, type GroupNodeOptions } from "./replication/group-node.ts";
import { GroupPort } from "./replication/group-port.ts";
import type { StateMachine } from "./replication/types.ts";
import type { ListenerLimits } from "./wire/listener.ts";

type GroupKeys = z.output<z.ZodObject<typeof groupKeys>>;

export type GroupConfig = GroupKeys & {
  host: string;
  port: number;
  replicas: string[];
  limits: ListenerLimits;
};

export interface GroupRoleOptions {
  machine: StateMachine;
  /** The group's name on the wire. */
  group: string;
  /** Where it is visited. */
  port: GroupPort;
  batch?: number;
  files?: GroupNodeOptions["files"];
}

/** Throws NX_CONFIG_INVALID for what the schema would not have let pass. */
export function addressesOf(addresses: readonly string[]): { host: string; port: number }[] {
  return addresses.map((text) => {
    const address = parseAddress(text);
    if (typeof address === "string") throw new NxError("NX_CONFIG_INVALID", `${text} is no address`);
    return address;
  });
}

/** The port that the configuration names. Throws NX_SECRET_UNUSABLE. */
export function openGroupPort(context: RoleContext<GroupConfig>): GroupPort {
  const { host, port, limits, tokenFile } = context.config;
  const token = tokenFile === undefined ? undefined : readSecret("tokenFile", tokenFile);
  return new GroupPort({ context, host, port, token, limits });
}

/** Opens the replica that the configuration describes. */
export function openGroupNode(
  context: RoleContext<GroupConfig>,
  role: string,
  { machine, group, port, batch, files }: GroupRoleOptions,
): Promise<GroupNode> {
  const { config } = context;
  const { heartbeatMs, electionMsMin, electionMsMax } = config;
  const syncs = context.metrics.histogram(`node_x_${role}_sync_seconds`, "Writing and syncing one group.");
  return GroupNode.open({
    context,
    machine,
    group,
    replica: config.replica,
    replicas: addressesOf(config.replicas),
    port,
    peerTls: callerTlsOf(context.tls, config.peerCa),
    timing: {
      heartbeatMs,
      electionMinMs: electionMsMin,
      electionMaxMs: electionMsMax,
      leaseMs: leaseMsOf(electionMsMin),
    },
    journalBytesMin: config.journalBytesMin,
    ...(batch !== undefined && { batch }),
    ...(files !== undefined && { files }),
    onGroup: (durationMs) => syncs.observe(durationMs / 1000),
  });
}

/** The gauges of a replica. */
export function addGroupMetrics(metrics: Metrics, role: string, node: GroupNode): void {
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(`node_x_${role}_${name}`, help, read);
  gauge("view", "View of the group: grows when the primary changes.", () => node.driver.status.view);
  metrics.gauge(
    `node_x_${role}_is_primary`,
    "1 on the primary.",
    () => (node.driver.status.isPrimary ? 1 : 0),
    { group: node.group },
  );
  gauge("committed_entries", "Entries of the log that are committed.", () => node.driver.status.commit);
  gauge("peers_connected", "Other replicas that this one reaches.", () => node.figures.peersConnected);
  gauge("connections", "Open connections.", () => node.figures.connections);
}
