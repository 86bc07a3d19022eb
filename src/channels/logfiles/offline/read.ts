/**
 * The records of a node that is stopped, without changing anything: files and append log together, as a start would see
 * them.
 *
 * Invariant: nothing is written. A flush that was cut short is passed over instead of undone, a torn tail of the log ignored
 * instead of cut, files that another one covers are left out instead of removed.
 */
import { inspectLog } from "../../../core/append-log/inspect.ts";
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import type { Random } from "../../../core/seams/random.ts";
import { crc32c } from "../../../native/crc32c.ts";
import { Logs } from "../../../native/logfiles/logs.ts";
import { BucketAppends } from "../classic/source.ts";
import { readState, STATE_FILE } from "../classic/state-file.ts";
import { everything, type SourceSpec } from "../scan/request.ts";
import { Scan, type ScanPlace } from "../scan/scan.ts";
import { listingOf } from "../segments/directory.ts";
import { readSegmentInfo } from "../segments/read.ts";
import type { SegmentInfo } from "../segments/write.ts";
import { Channel } from "../store/channels.ts";
import { LOGS_FORMAT } from "../store/log-store.ts";
import type { ChannelPlace, Place } from "./directory.ts";

interface Segment extends SegmentInfo {
  path: string;
}

/** The flush that was under way when the node ended, for the sources of bucket files. */
const CUT_SHORT = 1;

export class OfflineStore {
  readonly #place: Place;
  readonly #scanPlace: ScanPlace;
  readonly #logs: Logs;
  readonly #segments = new Map<string, Segment[]>();
  #numbers: Record<string, number> = {};

  private constructor(disk: Disk, random: Random, place: Place) {
    this.#place = place;
    this.#scanPlace = { disk, appends: new BucketAppends() };
    this.#logs = new Logs(random.bytes(16));
  }

  /** Throws NX_DATA_CORRUPT when files or log are damaged. */
  static async open(disk: Disk, random: Random, place: Place): Promise<OfflineStore> {
    const store = new OfflineStore(disk, random, place);
    await store.#readFlushState();
    for (const channel of place.channels) await store.#readChannel(channel);
    await store.#readLog();
    return store;
  }

  async #readFlushState(): Promise<void> {
    const { channelsDirectory } = this.#place;
    if (channelsDirectory === undefined) return;
    const { disk, appends } = this.#scanPlace;
    const { numbers, flushing } = await readState(disk, `${channelsDirectory}/${STATE_FILE}`);
    this.#numbers = numbers;
    appends.begin(CUT_SHORT);
    for (const [name, size] of Object.entries(flushing ?? {}))
      appends.announce(CUT_SHORT, `${channelsDirectory}/${name}`, size);
  }

  async #readChannel({ name, path, layout }: ChannelPlace): Promise<void> {
    const { disk } = this.#scanPlace;
    let sealedNumber = this.#numbers[name] ?? 0;
    if (layout === "segments") {
      const segments: Segment[] = [];
      for (const file of listingOf(await disk.list(path), path).segments) {
        const segmentPath = `${path}/${file.name}`;
        segments.push({ ...(await readSegmentInfo(disk, segmentPath)).info, path: segmentPath });
      }
      this.#segments.set(name, segments);
      sealedNumber = segments.at(-1)?.endNumber ?? 0;
    }
    const pointer = this.#logs.channel(name, true);
    if (pointer !== undefined) this.#logs.sealed(pointer, 0, 0, sealedNumber);
  }

  async #readLog(): Promise<void> {
    const { logDirectory: directory } = this.#place;
    if (directory === undefined) return;
    const { disk } = this.#scanPlace;
    const onFrame = (payload: Uint8Array) => {
      if (this.#logs.replay(payload) < 0)
        throw new NxError("NX_DATA_CORRUPT", "a frame passes its checksum but holds no valid records");
    };
    const { problems } = await inspectLog({ disk, directory, crc32c, payloadFormat: LOGS_FORMAT, onFrame });
    const [problem] = problems;
    if (problem !== undefined)
      throw new NxError("NX_DATA_CORRUPT", `${problem.path}: ${problem.what}`, {
        hint: "restore the directory from a backup",
      });
  }

  /** Names of all channels that hold records, or did. */
  get channels(): string[] {
    return Array.from({ length: this.#logs.channelCount }, (_, index) =>
      this.#logs.nameOf(this.#logs.channelAt(index)),
    ).sort();
  }

  /** What is in the log and in no file yet. */
  get unsealed(): { records: number; valueBytes: number } {
    const figures = Array.from({ length: this.#logs.channelCount }, (_, index) =>
      this.#logs.read(this.#logs.channelAt(index)),
    );
    return {
      records: figures.reduce((sum, { records }) => sum + records, 0),
      valueBytes: figures.reduce((sum, { valueBytes }) => sum + valueBytes, 0),
    };
  }

  /** All records of a channel as pages of about `pageBytes`, in order. Close it. */
  scan(name: string, pageBytes: number): { scan: Scan; release(): void } {
    const pointer = this.#logs.channel(name, true);
    const channel = new Channel(this.#logs, pointer as NonNullable<typeof pointer>);
    const memory = channel.holdMemtables();
    const sources = [...this.#files(name, channel.figures.removedAt), ...memory.specs];
    const request = { ...everything, sources, output: "pages" as const, batchBytes: pageBytes };
    return { scan: new Scan(this.#scanPlace, request), release: memory.release };
  }

  #files(name: string, removedAt: number): SourceSpec[] {
    const place = this.#place.channels.find((channel) => channel.name === name);
    if (place === undefined) return [];
    if (place.layout === "segments")
      return (this.#segments.get(name) ?? [])
        .filter(({ endNumber }) => endNumber > removedAt)
        .map(({ path, id, blocks }) => ({ kind: "segment", path, id, blocks }));
    const isRemoved = removedAt > 0 && (this.#numbers[name] ?? 0) <= removedAt;
    return isRemoved ? [] : [{ kind: "buckets", directory: place.path, flushes: [CUT_SHORT] }];
  }

  close(): void {
    this.#logs.close();
  }
}
