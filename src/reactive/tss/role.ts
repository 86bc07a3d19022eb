/**
 * The tss role: one replica of a group that hands out timestamps (timestamps.ts) over the family's protocol.
 */
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { addGroupMetrics, type GroupConfig, openGroupNode, openGroupPort } from "../group-role.ts";
import type { GroupNode } from "../replication/group-node.ts";
import type { GroupPort } from "../replication/group-port.ts";
import { tssAbout } from "./config.ts";
import { Timestamps } from "./timestamps.ts";

/** The group's name on the wire. */
export const TSS_GROUP = "tss";

/** One replica of the timestamp servers, with the port that it may share. */
export class TimestampServer implements RunningRole<GroupConfig> {
  readonly node: GroupNode;
  readonly #timestamps: Timestamps;
  readonly #port: GroupPort;

  private constructor(timestamps: Timestamps, node: GroupNode, port: GroupPort) {
    this.#timestamps = timestamps;
    this.node = node;
    this.#port = port;
  }

  static async start(
    context: RoleContext<GroupConfig>,
    port: GroupPort = openGroupPort(context),
  ): Promise<TimestampServer> {
    const timestamps = new Timestamps();
    const node = await openGroupNode(context, "tss", { machine: timestamps, group: TSS_GROUP, port });
    const { metrics } = context;
    addGroupMetrics(metrics, "tss", node);
    metrics.gauge(
      "node_x_tss_last_timestamp",
      "The last timestamp that was given out, on the primary.",
      () => (node.driver.status.isPrimary ? timestamps.last : timestamps.bound),
    );
    return new TimestampServer(timestamps, node, port);
  }

  notReady = () => this.node.notReady();
  stats = () => ({ last: this.#last, bound: this.#timestamps.bound, ...this.node.stats() });
  keyFigure = () => `timestamp ${this.#last}`;
  throughput = () => ({ total: this.#last, unit: "timestamps" });

  /** Only the primary knows; others, how far it may be. */
  get #last(): number {
    const { last, bound } = this.#timestamps;
    return this.node.driver.status.isPrimary ? last : bound;
  }

  statsLine(): string {
    const { view, commit, isPrimary } = this.node.driver.status;
    return `last:${this.#last} view:${view} commit:${commit} is_primary:${isPrimary ? 1 : 0}`;
  }

  reload({ limits }: GroupConfig): void {
    this.#port.limits = limits;
  }

  drain(): Promise<void> {
    return this.node.drain();
  }

  stop(): Promise<void> {
    return this.node.stop();
  }
}

export const tss = defineRole({
  ...tssAbout,
  bench: () => import("./bench.ts"),
  start: (context) => TimestampServer.start(context),
});
