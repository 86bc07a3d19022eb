/**
 * Removes what is too old, or too much: whole files whose newest record is beyond the limit.
 *
 * Invariant: nothing younger than the limit of age goes because of it. Age is told by the keys, as UNIX seconds. A crash
 * in between leaves files that go at the next check; those that went do not come back but from the log, for a moment.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import type { Expired, Layout } from "./layout.ts";

export interface RetentionSettings {
  /** 0: kept for ever. */
  ageSecondsMax: number;
  /** Of all files; 0: no limit. */
  fileBytesMax: number;
  checkMs: number;
}

export class Retention {
  settings: RetentionSettings;
  readonly #options: { world: { clock: Clock }; log: Log; layout: Layout };
  #running: Promise<Expired[]> | undefined;
  expiredRecords = 0;

  constructor(settings: RetentionSettings, options: { world: { clock: Clock }; log: Log; layout: Layout }) {
    this.settings = settings;
    this.#options = options;
  }

  /** What went. */
  async expire(): Promise<Expired[]> {
    const { ageSecondsMax, fileBytesMax } = this.settings;
    if (this.#running !== undefined || (ageSecondsMax === 0 && fileBytesMax === 0)) return [];
    const nowSeconds = Math.floor(this.#options.world.clock.nowMs() / 1000);
    this.#running = this.#options.layout.expire({
      keyMin: ageSecondsMax === 0 ? undefined : BigInt(Math.max(0, nowSeconds - ageSecondsMax)),
      bytesMax: fileBytesMax === 0 ? undefined : fileBytesMax,
    });
    try {
      const expired = await this.#running;
      for (const { channel, records } of expired) {
        this.expiredRecords += records;
        this.#options.log.info(`removed ${records} old records`, { channel });
      }
      return expired;
    } catch (error) {
      this.#options.log.error(`old files stay for now: ${(error as Error).message}`);
      return [];
    } finally {
      this.#running = undefined;
    }
  }
}
