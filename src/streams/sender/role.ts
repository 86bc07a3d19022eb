/**
 * The sender role: feeds a stream's sources and reports how that went.
 *
 * It keeps nothing: an acknowledged stream goes on where the workers say (acked-line.ts), a raw one begins anew.
 */
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { milliseconds, thousands } from "../../core/load/table.ts";
import { senderAbout, type SenderConfig } from "./config.ts";
import { Sender } from "./sender.ts";

class SenderRole implements RunningRole<SenderConfig> {
  readonly #sender: Sender;
  #sentBefore = 0;
  #settledBefore = 0;

  constructor({ metrics }: RoleContext<SenderConfig>, sender: Sender) {
    this.#sender = sender;
    const figures = () => sender.figures;
    metrics.counterFrom("node_x_sender_sent_total", "Records sent.", () => figures().sent);
    metrics.counterFrom("node_x_sender_settled_total", "Records that need not be sent again.", () => figures().settled);
    metrics.counterFrom("node_x_sender_sent_again_total", "Records sent more than once.", () => figures().sentAgain);
    metrics.counterFrom("node_x_sender_bytes_total", "Bytes sent.", () => figures().bytesSent);
    metrics.counterFrom("node_x_sender_throttled_total", "Batches that were due and had to wait for the worker.", () => figures().throttled);
  } // prettier-ignore

  notReady(): string[] {
    return this.#sender.troubles;
  }

  throughput() {
    return { total: this.#sender.figures.settled, unit: "records" };
  }

  keyFigure(): string {
    const { settled } = this.#sender.figures;
    const { records } = this.#sender;
    return `${thousands(settled)}${records === undefined ? "" : ` of ${thousands(records)}`} records`;
  }

  stats() {
    const { lines, ...totals } = this.#sender.figures;
    return {
      ...totals,
      isDone: this.#sender.isDone,
      latency: { ...this.#sender.report().latency },
      lines: lines.map((line) => ({ ...line })),
    };
  }

  statsLine(): string {
    const { sent, settled, sentAgain } = this.#sender.figures;
    const line = `sent:${sent - this.#sentBefore} settled:${settled - this.#settledBefore} sent_again_total:${sentAgain}`;
    [this.#sentBefore, this.#settledBefore] = [sent, settled];
    return line;
  }

  consoleLine(): string {
    const { latency } = this.#sender.report();
    return `${this.keyFigure()}, p50 ${milliseconds(latency.p50Ms)} ms, p99 ${milliseconds(latency.p99Ms)} ms`;
  }

  async stop(): Promise<void> {
    this.#sender.stop();
  }
}

export const sender = defineRole({
  ...senderAbout,
  async start(context) {
    const { config, log, instance, done } = context;
    const running: Sender = await Sender.open({
      world: context,
      ...{ log, instance, config },
      onDone: () => {
        const { latency, ...totals } = running.report();
        log.info("everything is sent", { ...totals, p50Ms: latency.p50Ms, p99Ms: latency.p99Ms });
        if (!config.isEndless) done?.();
      },
    });
    const role = new SenderRole(context, running);
    running.start();
    return role;
  },
});
