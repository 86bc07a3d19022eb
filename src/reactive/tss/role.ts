/**
 * The tss role: one replica of a group that hands out timestamps (timestamps.ts) over the family's protocol.
 */
import type { z } from "zod";
import { defineRole, type RunningRole } from "../../core/role.ts";
import { addGroupMetrics, openGroupNode } from "../group-role.ts";
import type { GroupNode } from "../replication/group-node.ts";
import { tssAbout, type tssConfig } from "./config.ts";
import { Timestamps } from "./timestamps.ts";

type TssConfig = z.output<typeof tssConfig>;

/** The group's name on the wire. */
export const TSS_GROUP = "tss";

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
  stats = () => ({ last: this.#last, bound: this.#timestamps.bound, ...this.#node.stats() });
  keyFigure = () => `timestamp ${this.#last}`;
  throughput = () => ({ total: this.#last, unit: "timestamps" });

  /** Only the primary knows; others, how far it may be. */
  get #last(): number {
    const { last, bound } = this.#timestamps;
    return this.#node.driver.status.isPrimary ? last : bound;
  }

  statsLine(): string {
    const { view, commit, isPrimary } = this.#node.driver.status;
    return `last:${this.#last} view:${view} commit:${commit} is_primary:${isPrimary ? 1 : 0}`;
  }

  reload(config: TssConfig): void {
    this.#setLimits(config);
  }

  drain(): Promise<void> {
    return this.#node.drain();
  }

  stop(): Promise<void> {
    return this.#node.stop();
  }
}

export const tss = defineRole({
  ...tssAbout,
  bench: () => import("./bench.ts"),
  async start(context) {
    let { limits } = context.config;
    const timestamps = new Timestamps();
    const node = await openGroupNode(context, "tss", {
      machine: timestamps,
      group: TSS_GROUP,
      limits: () => limits,
    });
    addGroupMetrics(context.metrics, "tss", node);
    context.metrics.gauge(
      "node_x_tss_last_timestamp",
      "The last timestamp that was given out, on the primary.",
      () => (node.driver.status.isPrimary ? timestamps.last : timestamps.bound),
    );
    return new TimestampServer(timestamps, node, (config) => {
      limits = config.limits;
    });
  },
});
