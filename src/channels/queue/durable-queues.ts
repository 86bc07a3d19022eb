/**
 * The queues with what keeps them: an append log, save files, or nothing.
 *
 * Invariant (log): after `commit`, `position` covers every effect so far, and `durablePosition` reaches it only when it is
 * synced. A replay applies each effect exactly once, because channels carry the number of their last one.
 * With save files every position is 0: what survives is a clean shutdown (saved-queues.ts). In memory nothing does.
 */
import { join } from "node:path";
import type { Timer } from "../../core/seams/clock.ts";
import { openScratchFile, type ScratchFile } from "../../core/seams/scratch-file.ts";
import { Queues, type QueuesSettings } from "../../native/queues.ts";
import { DurableLog, type LogOwner, type OpenLog } from "../durable-log.ts";
import { LogBacked } from "../log-backed.ts";
import type { QueueConfig } from "./config.ts";
import { QUEUE_EFFECTS_FORMAT, SNAPSHOT_SLICE_BYTES } from "./log-format.ts";
import { loadQueues, saveQueues } from "./saved-queues.ts";

const TICK_MS = 1000;

export interface DurableQueuesOptions extends LogOwner {
  dataDir: string;
  /** Where effects are kept; absent: in files of `dataDir`. */
  openLog?: OpenLog | undefined;
  config: Pick<QueueConfig, "durability" | "compaction" | "channels" | "deadLetters" | "limits" | "swarm">;
}

export function queuesSettings({
  channels,
  limits,
}: Pick<QueueConfig, "channels" | "limits">): QueuesSettings {
  const { ringBytes, sizeBytesMax, whenFull, pendingMax } = channels;
  const dropsOldest = whenFull === "dropOldest";
  return { channelBytes: ringBytes, sizeBytesMax, dropsOldest, channelsMax: limits.channelsMax, pendingMax };
}

export class DurableQueues extends LogBacked {
  readonly queues: Queues;
  readonly #options: DurableQueuesOptions;
  #timer: Timer | undefined;
  /** What rings have no room for. */
  #overflow: ScratchFile | undefined;

  private constructor(options: DurableQueuesOptions) {
    super();
    const { channels, deadLetters } = options.config;
    this.#options = options;
    this.queues = new Queues(queuesSettings(options.config), options.world.random.bytes(16));
    for (const size of channels.ringBytesByPrefix) {
      const [prefix = "", bytes] = size.split("=");
      this.queues.setSizeByPrefix(prefix, Number(bytes));
    }
    this.queues.setDeadLetters(deadLetters.deliveriesMax, deadLetters.suffix);
    if (channels.overflowBytes > 0) {
      this.#overflow = openScratchFile(join(options.dataDir, "overflow.pages"));
      this.queues.setOverflow(this.#overflow.descriptor, channels.overflowBytes);
    }
  }

  /** Loads what was kept. Throws NX_DATA_CORRUPT, NX_DATA_VERSION, NX_DISK_FAILED. */
  static async open(options: DurableQueuesOptions): Promise<DurableQueues> {
    const durable = new DurableQueues(options);
    const { config, world } = options;
    if (config.durability === "log") await durable.#openLog();
    if (config.durability === "save")
      await loadQueues(options, durable.queues, config.swarm.generation === "later");
    durable.queues.forgetCounts();
    durable.#timer = world.clock.every(TICK_MS, () => {
      durable.queues.tick();
      durable.commit();
    });
    return durable;
  }

  async #openLog(): Promise<void> {
    const { config, dataDir } = this.#options;
    this.log = await DurableLog.open({
      ...this.#options,
      directory: join(dataDir, "store"),
      payloadFormat: QUEUE_EFFECTS_FORMAT,
      state: this.queues,
      snapshotSliceBytes: SNAPSHOT_SLICE_BYTES,
      compaction: config.compaction,
    });
    // The originals' files, once: the snapshot holds them whole or, after a crash before its end, they are read again.
    if (this.log.isNew) {
      await loadQueues(this.#options, this.queues, false);
      if (this.queues.channels().length > 0) await this.log.compact();
    }
    this.queues.setLogging(true);
  }

  get figures() {
    const { log, compactions = 0 } = this.log?.figures ?? {};
    return { log, compactions };
  }

  /**
   * Makes everything durable and lets go of the memory; what works on the queues is to be freed in `beforeFree`, not before.
   */
  async close(beforeFree?: () => void): Promise<void> {
    this.#timer?.cancel();
    try {
      await this.log?.close();
      if (this.#options.config.durability === "save") await saveQueues(this.#options, this.queues);
    } catch (error) {
      if (this.log === undefined) this.#options.onFatal(error as Error);
      throw error;
    } finally {
      beforeFree?.();
      this.queues.close();
      this.#overflow?.close();
    }
  }
}
