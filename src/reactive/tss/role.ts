/**
 * The tss role: one replica of a group that hands out timestamps (timestamps.ts) over the family's protocol.
 */
import type { z } from "zod";
import { parseAddress } from "../../core/config/group-file.ts";
import { NxError } from "../../core/errors.ts";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { readBounded, readSecret } from "../../core/secret-file.ts";
import { leaseMsOf } from "../group-config.ts";
import { GroupNode } from "../replication/group-node.ts";
import { tssAbout, type tssConfig } from "./config.ts";
import { Timestamps } from "./timestamps.ts";

type TssConfig = z.output<typeof tssConfig>;

/** The group's name on the wire. */
export const TSS_GROUP = "tss";
const PEM_BYTES_MAX = 1024 * 1024;

class TimestampServer implements RunningRole<TssConfig> {
  readonly #timestamps: Timestamps;
  readonly #node: GroupNode;
  readonly #setLimits: (config: TssConfig) => void;

  constructor(timestamps: Timestamps, node: GroupNode, setLimits: (config: TssConfig) => void) {
    this.#timestamps = timestamps;
    this.#node = node;
    this.#setLimits = setLimits;
  }

  notReady = () => this.#node.notReady();
  stats = () => ({ last: this.#timestamps.last, ...this.#node.stats() });
  keyFigure = () => `timestamp ${this.#timestamps.last}`;
  throughput = () => ({ total: this.#timestamps.last, unit: "timestamps" });

  statsLine(): string {
    const { view, commit, isPrimary } = this.#node.driver.status;
    return `last:${this.#timestamps.last} view:${view} commit:${commit} is_primary:${isPrimary ? 1 : 0}`;
  }

  reload(config: TssConfig): void {
    this.#setLimits(config);
  }

  async drain(): Promise<void> {
    this.#node.drain();
  }

  stop(): Promise<void> {
    return this.#node.stop();
  }
}

function addressesOf(replicas: readonly string[]): { host: string; port: number }[] {
  return replicas.map((text) => {
    const address = parseAddress(text);
    if (typeof address === "string")
      throw new NxError("NX_CONFIG_INVALID", `replicas: ${text} is no address`);
    return address;
  });
}

function openNode(
  context: RoleContext<TssConfig>,
  timestamps: Timestamps,
  limits: () => TssConfig["limits"],
) {
  const { config, tls } = context;
  const { peerCa, tokenFile, heartbeatMs, electionMsMin, electionMsMax } = config;
  const ca = peerCa === undefined ? undefined : readBounded(peerCa, PEM_BYTES_MAX);
  const syncs = context.metrics.histogram("node_x_tss_sync_seconds", "Writing and syncing one group.");
  return GroupNode.open({
    context,
    machine: timestamps,
    group: TSS_GROUP,
    replica: config.replica,
    replicas: addressesOf(config.replicas),
    listen: { host: config.host, port: config.port },
    peerTls:
      ca === undefined ? undefined : { ca, ...(tls !== undefined && { cert: tls.cert, key: tls.key }) },
    token: tokenFile === undefined ? undefined : readSecret("tokenFile", tokenFile),
    limits,
    timing: {
      heartbeatMs,
      electionMinMs: electionMsMin,
      electionMaxMs: electionMsMax,
      leaseMs: leaseMsOf(electionMsMin),
    },
    journalBytesMin: config.journalBytesMin,
    onGroup: (durationMs) => syncs.observe(durationMs / 1000),
  });
}

function addMetrics({ metrics }: RoleContext<TssConfig>, timestamps: Timestamps, node: GroupNode): void {
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(`node_x_tss_${name}`, help, read);
  gauge("last_timestamp", "The last timestamp that this replica knows of.", () => timestamps.last);
  gauge("view", "View of the group: grows when the primary changes.", () => node.driver.status.view);
  gauge("is_primary", "1 on the primary.", () => (node.driver.status.isPrimary ? 1 : 0));
  gauge("committed_entries", "Entries of the log that are committed.", () => node.driver.status.commit);
  gauge("peers_connected", "Other replicas that this one reaches.", () => node.figures.peersConnected);
  gauge("connections", "Open connections.", () => node.figures.connections);
}

export const tss = defineRole({
  ...tssAbout,
  bench: () => import("./bench.ts"),
  async start(context) {
    let { limits } = context.config;
    const timestamps = new Timestamps();
    const node = await openNode(context, timestamps, () => limits);
    addMetrics(context, timestamps, node);
    return new TimestampServer(timestamps, node, (config) => {
      limits = config.limits;
    });
  },
});
