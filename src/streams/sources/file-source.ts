/**
 * A file as an input: its records in order, followed as it grows.
 *
 * Invariant: the position is the byte behind the last record that was fed, so going back reads the same records again.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { NxError } from "../../core/errors.ts";
import type { SourceNode } from "../plan/nodes.ts";
import { type Splitter, splitterOf } from "../runtime/splitter.ts";
import type { Source, SourceHost } from "./source.ts";

const CHUNK_BYTES = 64 << 10;
/** How often the end of the file is looked at. */
const FOLLOW_MS = 100;

export interface FileSourceOptions {
  disk: Disk;
  clock: Clock;
  path: string;
  onFatal(error: Error): void;
}

export class FileSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #host: SourceHost;
  readonly #options: FileSourceOptions;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #file: DiskFile | undefined;
  #splitter: Splitter;
  /** Bytes read; the splitter keeps those of an unfinished record. */
  #readBytes = 0;
  #records = 0;
  #rests = true;
  #isClosed = false;
  #reading: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** Counts roll-backs: a read that began before one is thrown away. */
  #round = 0;

  constructor(node: SourceNode, host: SourceHost, options: FileSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#splitter = splitterOf(node.framing);
  }

  async open(): Promise<undefined> {
    const { disk, path } = this.#options;
    if (!(await disk.exists(path)))
      throw new NxError("NX_CONFIG_INVALID", `the source ${this.name} reads ${path}, which is not there`, {
        hint: "an empty file is enough to begin with: it is followed as it grows",
      });
    this.#file = await disk.open(path, "read");
    return undefined;
  }

  go(): void {
    this.#rests = false;
    this.#reading ??= this.#read()
      .catch((error: unknown) => this.#options.onFatal(error as Error))
      .finally(() => {
        this.#reading = undefined;
      });
  }

  rest(): void {
    this.#rests = true;
  }

  async #read(): Promise<void> {
    this.#timer?.cancel();
    while (!this.#rests && !this.#isClosed) {
      const round = this.#round;
      const length = await (this.#file as DiskFile).read(this.#chunk, this.#readBytes);
      // What was read while it rested is read again.
      if (this.#rests || round !== this.#round || this.#isClosed) continue;
      if (length === 0) {
        await this.#assertWhole();
        if (round !== this.#round) continue;
        this.#timer = this.#options.clock.after(FOLLOW_MS, () => {
          if (!this.#rests) this.go();
        });
        return;
      }
      this.#feed(this.#chunk.subarray(0, length));
    }
  }

  /** A file that was cut would never be read on, or in the middle of a record once it has grown again. */
  async #assertWhole(): Promise<void> {
    const { path } = this.#options;
    const bytes = await (this.#file as DiskFile).size();
    if (bytes >= this.#readBytes || this.#rests || this.#isClosed) return;
    throw new NxError(
      "NX_INPUT_INVALID",
      `${path} has ${bytes} bytes, and ${this.name} had read ${this.#readBytes}: it was cut, or is another file`,
      { hint: "a file that is followed only grows: bring it back, or begin anew with --fresh" },
    );
  }

  #feed(chunk: Uint8Array): void {
    const startedMs = this.#options.clock.monotonicMs();
    const before = this.#records;
    this.#readBytes += chunk.byteLength;
    try {
      this.#splitter.feed(chunk, (bytes, start, end) => {
        this.#records += 1;
        this.#host.feed(this.node, bytes, start, end);
      });
    } catch (error) {
      throw new NxError(
        "NX_INPUT_INVALID",
        `${this.#options.path} cannot be cut into the records of ${this.name}, behind record ${this.#records}: ${(error as Error).message}`,
        { hint: "correct the file, or the framing in the application", cause: error },
      );
    }
    this.#host.onBatchEnd(this.#records - before, startedMs);
  }

  position(): number {
    return this.#readBytes - this.#splitter.waitingBytes;
  }

  committed(): void {}

  async rollBack(position: unknown): Promise<void> {
    this.#round += 1;
    this.#readBytes = (position as number | undefined) ?? 0;
    this.#splitter = splitterOf(this.node.framing);
  }

  stats() {
    return { kind: "file", records: this.#records, bytes: this.#readBytes };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#reading;
    await this.#file?.close();
  }
}
