/**
 * The dhtdump role: dumps all channels of one dht node, periodically or once. It serves nobody.
 *
 * The first cycle comes after a random part of the period, so that the dumpers of a system do not all start at once; each
 * further one a period after the start of the one before, but `minWaitSeconds` after its end at the earliest. A node
 * that cannot be reached is asked again every two seconds; after a cycle in which something failed comes the next one
 * `retryWaitSeconds` later. A crash leaves the dumps before and at most one unfinished file for each channel.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import { defineRole, type RoleContext, type RunningRole, type Stats } from "../../core/role.ts";
import { tlsToNodes } from "../tls-to-nodes.ts";
import { TextSockets } from "../text-sockets.ts";
import { DHTDUMP_LOCK } from "../tcm/names.ts";
import { dhtdumpAbout, type DhtdumpConfig } from "./config.ts";
import { Cycle } from "./cycle.ts";
import { DumpCounts } from "./figures.ts";

const CONNECT_RETRY_MS = 2000;

class Dhtdump implements RunningRole<DhtdumpConfig> {
  readonly #context: RoleContext<DhtdumpConfig>;
  readonly #directory: string;
  readonly #lock: { release(): Promise<void> };
  readonly #counts = new DumpCounts();
  readonly #sockets: TextSockets;
  #cycle: Cycle | undefined;
  #isStopped = false;
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;
  #nextAtMs: number | undefined;

  constructor(context: RoleContext<DhtdumpConfig>, directory: string, lock: { release(): Promise<void> }) {
    this.#context = context;
    this.#directory = directory;
    this.#lock = lock;
    this.#sockets = new TextSockets(context);
    const { metrics } = context;
    const counts = this.#counts;
    metrics.counterFrom("node_x_dhtdump_records_total", "Records written to dumps.", () => counts.recordsTotal);
    metrics.counterFrom("node_x_dhtdump_bytes_total", "Bytes of those.", () => counts.bytesTotal);
    metrics.counterFrom("node_x_dhtdump_cycles_total", "Cycles that ended well.", () => counts.cycles);
    metrics.counterFrom("node_x_dhtdump_cycle_failures_total", "Cycles in which something failed.", () => counts.failedCycles);
    metrics.gauge("node_x_dhtdump_last_cycle_timestamp_seconds", "When the last good cycle ended; 0 before the first.", () => counts.lastAtMs / 1000);
    metrics.gauge("node_x_dhtdump_last_cycle_duration_seconds", "How long it took.", () => counts.lastDurationMs / 1000);
  } // prettier-ignore

  async begin(): Promise<void> {
    await this.#sockets.listen();
    this.#running = this.#run().catch((error: Error) => this.#context.fatal(error));
  }

  async #run(): Promise<void> {
    const { config, clock, random, log, done } = this.#context;
    const seconds = (value: number) => value * 1000;
    if (!config.isOneshot) await this.#pause(random.float() * seconds(config.periodSeconds));
    while (!this.#isStopped) {
      const startMs = clock.monotonicMs();
      const isGood = await this.#cycleOnce();
      if (this.#isStopped) return;
      if (isGood && config.isOneshot) return done?.();
      const untilPeriodMs = startMs + seconds(config.periodSeconds) - clock.monotonicMs();
      const pauseMs = isGood
        ? Math.max(untilPeriodMs, seconds(config.minWaitSeconds))
        : seconds(config.retryWaitSeconds);
      if (isGood) {
        const next = new Date(clock.nowMs() + pauseMs).toISOString();
        const bytes = this.#counts.channels.reduce((sum, channel) => sum + channel.bytes, 0);
        log.info("cycle ended", { bytes, pauseSeconds: Math.round(pauseMs / 1000), next });
      }
      await this.#pause(pauseMs);
    }
  }

  /** One cycle, once the node can be reached. False when something failed. */
  async #cycleOnce(): Promise<boolean> {
    const { net, clock, disk, log, config } = this.#context;
    const counts = this.#counts;
    for (;;) {
      const startMs = clock.monotonicMs();
      let hasBegun = false;
      this.#cycle = new Cycle({
        net,
        clock,
        disk,
        log,
        node: { ...config.node, ...tlsToNodes(this.#context) },
        directory: this.#directory,
        silenceMsMax: config.silenceSecondsMax * 1000,
        onChannel: (channel, dump) => {
          hasBegun = true;
          counts.add(channel, dump);
        },
      });
      try {
        const channels = await this.#cycle.run();
        for (const channel of counts.keep(channels)) log.info(`channel '${channel}' is gone; its dump stays`);
        counts.cycles++;
        counts.failure = undefined;
        counts.lastDurationMs = clock.monotonicMs() - startMs;
        counts.lastAtMs = clock.nowMs();
        return true;
      } catch (error) {
        if (this.#isStopped) return false;
        const { code, message } = error as NxError;
        counts.failure = message;
        log.error(`the cycle failed: ${message}`, { code });
        if (hasBegun || message.startsWith("not dumped")) {
          counts.failedCycles++;
          return false;
        }
      } finally {
        this.#cycle = undefined;
      }
      await this.#pause(CONNECT_RETRY_MS);
      if (this.#isStopped) return false;
    }
  }

  /** Waits, but not beyond `stop`. */
  #pause(delayMs: number): Promise<void> {
    const { clock } = this.#context;
    this.#nextAtMs = clock.monotonicMs() + delayMs;
    return new Promise((resolve) => {
      const timer = clock.after(delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  notReady(): string[] {
    const { failure } = this.#counts;
    return failure === undefined ? [] : [`the last cycle failed: ${failure}`];
  }

  stats(): Stats {
    const { cycles, failedCycles, recordsTotal, bytesTotal, lastDurationMs, lastAtMs, failure, channels } =
      this.#counts;
    const isDumping = this.#cycle !== undefined;
    const untilMs = isDumping ? 0 : Math.max(0, (this.#nextAtMs ?? 0) - this.#context.clock.monotonicMs());
    return {
      cycles,
      failedCycles,
      records: recordsTotal,
      bytes: bytesTotal,
      lastDurationMs,
      lastAtMs,
      failure: failure ?? null,
      isDumping,
      nextCycleSeconds: untilMs / 1000,
      channels,
    };
  }

  throughput() {
    return { total: this.#counts.recordsTotal, unit: "records" };
  }

  keyFigure(): string {
    const { cycles } = this.#counts;
    return `${cycles} cycle${cycles === 1 ? "" : "s"}`;
  }

  statsLine(): string {
    return this.#counts.line();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    this.#cycle?.stop();
    await this.#running;
    this.#sockets.close();
    await this.#lock.release();
  }
}

export const dhtdump = defineRole({
  ...dhtdumpAbout,
  async start(context) {
    const { disk, config, dataDir } = context;
    const directory = config.dumpDir ?? dataDir;
    if (!(await disk.exists(directory))) {
      throw new NxError("NX_DATA_DIR_UNUSABLE", `the directory for dumps, ${directory}, does not exist`, {
        hint: "create it, or set dumpDir ([Dump] data_dir)",
      });
    }
    const lock = await disk.lock(join(directory, DHTDUMP_LOCK));
    const running = new Dhtdump(context, directory, lock);
    try {
      await running.begin();
    } catch (error) {
      await running.stop();
      throw error;
    }
    return running;
  },
});
