/**
 * When the channels of a node are dumped: periodically, at shutdown, and set aside when they are removed.
 *
 * The first dump starts after a random part of the period, so that the nodes of a cluster do not all dump at once;
 * each further one a period after the start of the one before, but a minute after its end at the earliest.
 * Invariant: steps that change names run one after the other, so a dump cannot bring back a channel that was removed
 * while it was written. A dump that fails leaves the old one in place and the node running; the next one tries again.
 * A crash loses the changes since the last dump of each channel.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Store } from "../../native/store.ts";
import { DumpFiles } from "../tcm/dump-files.ts";

export interface DumpKeeperOptions {
  world: World;
  log: Log;
  directory: string;
  store: Store;
  periodSeconds: number;
  valueBytesMax: number;
  /** Only at shutdown. */
  isOnDemand: boolean;
  /** The dump at the stop must end within it. */
  shutdownTimeoutMs: number;
}

export interface DumpFigures {
  isDumping: boolean;
  /** Until the next one starts; undefined when none is planned. */
  nextDumpSeconds: number | undefined;
  /** Finished without an error. */
  dumps: number;
  failures: number;
  /** Of the last finished one. */
  lastDumpAtMs: number;
  lastDurationMs: number;
  lastRecords: number;
  lastBytes: number;
  /** Why the last one failed; undefined when it did not. */
  failure: string | undefined;
}

const PAUSE_MS_MIN = 60_000;

export class DumpKeeper {
  readonly #options: DumpKeeperOptions;
  readonly #files: DumpFiles;
  /** Steps that change names, one after the other. */
  #steps: Promise<unknown> = Promise.resolve();
  /** Removed channels whose files are still to be set aside. */
  readonly #removed = new Set<string>();
  /** How often a channel of this name was removed: a dump that was begun before is of no use. */
  readonly #removals = new Map<string, number>();
  #running: Promise<boolean> | undefined;
  #timer: Timer | undefined;
  #nextAtMs: number | undefined;
  #isClosing = false;
  readonly #figures = {
    dumps: 0,
    failures: 0,
    lastDumpAtMs: 0,
    lastDurationMs: 0,
    lastRecords: 0,
    lastBytes: 0,
    failure: undefined as string | undefined,
  };

  constructor(options: DumpKeeperOptions) {
    this.#options = options;
    this.#files = new DumpFiles(options);
  }

  get files(): DumpFiles {
    return this.#files;
  }

  get figures(): DumpFigures {
    const nowMs = this.#options.world.clock.monotonicMs();
    const untilMs = this.#nextAtMs === undefined ? undefined : Math.max(0, this.#nextAtMs - nowMs);
    return {
      ...this.#figures,
      isDumping: this.#running !== undefined,
      nextDumpSeconds: untilMs === undefined ? undefined : untilMs / 1000,
    };
  }

  /** Plans the first dump. */
  start(): void {
    const { isOnDemand, periodSeconds, world } = this.#options;
    if (!isOnDemand) this.#plan(world.random.float() * periodSeconds * 1000);
  }

  #plan(delayMs: number): void {
    if (this.#isClosing) return;
    const { clock } = this.#options.world;
    this.#nextAtMs = clock.monotonicMs() + delayMs;
    this.#timer = clock.after(delayMs, () => void this.#periodic());
  }

  async #periodic(): Promise<void> {
    const { world, periodSeconds, log } = this.#options;
    const startMs = world.clock.monotonicMs();
    this.#nextAtMs = undefined;
    await this.dump();
    const untilMs = startMs + periodSeconds * 1000 - world.clock.monotonicMs();
    if (untilMs < PAUSE_MS_MIN && periodSeconds * 1000 > PAUSE_MS_MIN)
      log.warn("dumps take nearly as long as their period; the next one waits a minute", { periodSeconds });
    this.#plan(Math.max(untilMs, PAUSE_MS_MIN));
  }

  /** Dumps every channel now, or waits for the dump under way. False when a channel could not be dumped. */
  dump(): Promise<boolean> {
    this.#running ??= this.#dumpAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #dumpAll(): Promise<boolean> {
    const { world, store, log } = this.#options;
    const startMs = world.clock.monotonicMs();
    let [records, bytes] = [0, 0];
    let failure: string | undefined;
    const attempt = async (what: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        const { message, code } = error as NxError;
        failure ??= `${what}: ${message}`;
        log.error(`${what} failed, its last dump stays: ${message}`, { code });
      }
    };
    for (const channel of this.#removed)
      await attempt(`removing the dump of channel '${channel}'`, () => this.#remove(channel));
    for (const channel of store.channelNames()) {
      await attempt(`dumping channel '${channel}'`, async () => {
        const done = await this.#dumpChannel(channel);
        records += done.records;
        bytes += done.bytes;
      });
    }
    const figures = this.#figures;
    figures.failure = failure;
    figures.lastDurationMs = world.clock.monotonicMs() - startMs;
    this.#warnIfSlow(figures.lastDurationMs);
    if (failure === undefined) {
      figures.dumps += 1;
      figures.lastDumpAtMs = world.clock.nowMs();
      [figures.lastRecords, figures.lastBytes] = [records, bytes];
    } else {
      figures.failures += 1;
    }
    return failure === undefined;
  }

  #warnIfSlow(durationMs: number): void {
    const { shutdownTimeoutMs, log } = this.#options;
    if (durationMs < shutdownTimeoutMs / 2 || this.#isClosing) return;
    const text = "a dump takes so long that the one at the stop may be cut short: raise shutdownTimeoutMs";
    log.warn(text, { seconds: (durationMs / 1000).toFixed(1), shutdownTimeoutMs });
  }

  async #dumpChannel(channel: string): Promise<{ records: number; bytes: number }> {
    const { world, log } = this.#options;
    const startMs = world.clock.monotonicMs();
    const removals = this.#removals.get(channel);
    log.info(`dumping channel '${channel}' to disk`);
    const dump = await this.#files.write(channel);
    if (dump === undefined) return { records: 0, bytes: 0 };
    let wasRemoved = false;
    await this.#step(async () => {
      wasRemoved = this.#removals.get(channel) !== removals || this.#removed.has(channel);
      if (wasRemoved) await this.#files.discard(dump);
      else await this.#commit(dump);
    });
    if (wasRemoved) return { records: 0, bytes: 0 };
    const seconds = ((world.clock.monotonicMs() - startMs) / 1000).toFixed(3);
    const records = dump.records + dump.sideRecords;
    log.info(`dumped channel '${channel}'`, {
      records,
      bytes: dump.bytes,
      sideRecords: dump.sideRecords,
      seconds,
    });
    return { records, bytes: dump.bytes };
  }

  async #commit(dump: Parameters<DumpFiles["commit"]>[0]): Promise<void> {
    try {
      await this.#files.commit(dump);
    } catch (error) {
      await this.#files.discard(dump);
      throw error;
    }
  }

  #step(work: () => Promise<void>): Promise<void> {
    const step = this.#steps.then(work);
    this.#steps = step.catch(() => undefined);
    return step;
  }

  /** The channel is gone from the store: its files must not come back at the next start. */
  onRemoved(channel: string): void {
    this.#removed.add(channel);
    this.#removals.set(channel, (this.#removals.get(channel) ?? 0) + 1);
    this.#remove(channel).catch((error: NxError) => {
      this.#figures.failure = `removing the dump of channel '${channel}': ${error.message}`;
      this.#options.log.error(
        `the dump of the removed channel '${channel}' stays until the next dump: ${error.message}`,
        {
          code: error.code,
        },
      );
    });
  }

  #remove(channel: string): Promise<void> {
    return this.#step(async () => {
      if (!this.#removed.has(channel)) return;
      await this.#files.setAside(channel, "deleted");
      this.#removed.delete(channel);
    });
  }

  /** Waits for a dump under way, then dumps every channel. Throws NX_DISK_FAILED when one could not be dumped. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#timer?.cancel();
    await this.#running;
    const isDumped = await this.dump();
    await this.#steps;
    if (isDumped) return;
    throw new NxError("NX_DISK_FAILED", `the last dump is not complete: ${this.#figures.failure}`, {
      hint: "what changed since the dump before it is lost; the log names the channels",
    });
  }
}
