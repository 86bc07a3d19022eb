/** What dhtdump counts, and its line of stats.log with the names of both generations of the original (swarm.md 6.1). */
import type { ChannelDump } from "./dump-channel.ts";

export class DumpCounts {
  /** Since the last line. */
  #records = 0;
  #bytes = 0;
  readonly #channels = new Map<string, ChannelDump>();
  recordsTotal = 0;
  bytesTotal = 0;
  cycles = 0;
  failedCycles = 0;
  /** Of the last cycle that ended well. */
  lastDurationMs = 0;
  lastAtMs = 0;
  /** Why the last cycle failed; undefined when it did not. */
  failure: string | undefined;

  add(channel: string, dump: ChannelDump): void {
    this.#records += dump.records;
    this.#bytes += dump.bytes;
    this.recordsTotal += dump.records;
    this.bytesTotal += dump.bytes;
    this.#channels.set(channel, dump);
  }

  /** Forgets channels that the node has no more; returns their names. */
  keep(channels: readonly string[]): string[] {
    const gone = [...this.#channels.keys()].filter((channel) => !channels.includes(channel));
    for (const channel of gone) this.#channels.delete(channel);
    return gone;
  }

  /** Of the last dump of each channel. */
  get channels(): { name: string; records: number; bytes: number }[] {
    return [...this.#channels].map(([name, dump]) => ({ name, ...dump }));
  }

  line(): string {
    const pairs: [string, number][] = [
      ["records_written", this.#records],
      ["bytes_written", this.#bytes],
      ["last_time_ms", Math.round(this.lastDurationMs)],
    ];
    for (const { name, records, bytes } of this.channels)
      pairs.push(
        [`records_written_${name}`, records],
        [`bytes_written_${name}`, bytes],
        [`channel/${name}/records_written`, records],
        [`channel/${name}/bytes_written`, bytes],
      );
    this.#records = 0;
    this.#bytes = 0;
    return pairs.map(([name, value]) => `${name}:${value}`).join(" ");
  }
}
