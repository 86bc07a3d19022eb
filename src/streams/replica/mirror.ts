/**
 * Copies of a worker's state log on other hosts: what a checkpoint waits for.
 *
 * Invariant: `flush` resolves only when `acks` replicas have said that a whole snapshot and everything appended before the
 * call is synced there. So whatever was acknowledged survives the loss of the worker's host and of all replicas but those.
 *
 * A replica that is away longer than `keptBytesMax` of bytes lets it is left behind: it gets a new generation when it is
 * back. Checkpoints wait while fewer than `acks` replicas keep up; processing does not.
 */
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import { copyOf } from "../wire/bytes.ts";
import type { Address } from "../sender/line.ts";
import { ReplicaChannel } from "./channel.ts";
import { completePiece, COPY_FORMAT, copyName, headerPiece, recordsPiece } from "./copy-file.ts";
import { Generation } from "./generation.ts";

export interface ReplicaMirrorOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  addresses: readonly Address[];
  acks: number;
  /** The directory at the replicas; one for each worker. */
  directory: string;
  /** A replica needs everything anew: `restart` is to be called, sooner or later. */
  onSnapshotNeeded(): void;
  keptBytesMax?: number;
  timeoutMs?: number;
  reconnectMs?: number;
  /** Negative control: what counts as synced. */
  believe?(channel: ReplicaChannel, generation: Generation): number;
}

interface Waiting {
  generation: number;
  offset: number;
  resolve(): void;
}

export class ReplicaMirror {
  readonly #options: ReplicaMirrorOptions;
  readonly #channels: ReplicaChannel[];
  readonly #believe: (channel: ReplicaChannel, generation: Generation) => number;
  #generation: Generation | undefined;
  #waiting: Waiting[] = [];
  #isSnapshotAsked = false;

  constructor(options: ReplicaMirrorOptions) {
    this.#options = options;
    this.#believe = options.believe ?? ((channel) => channel.syncedBytes);
    const { world, log, directory, timeoutMs = 2000, reconnectMs = 500 } = options;
    this.#channels = options.addresses.map(
      (address) =>
        new ReplicaChannel({
          ...{ world, log, address, directory, timeoutMs, reconnectMs },
          onSynced: () => this.#onSynced(),
          onBehind: () => this.#askForSnapshot(),
        }),
    );
  }

  /** What is wrong with replicas, each a sentence. */
  get troubles(): string[] {
    return this.#channels.flatMap(({ trouble }, index) => {
      const { host, port } = this.#options.addresses[index] as Address;
      return trouble === undefined ? [] : [`replica ${host}:${port}: ${trouble}`];
    });
  }

  get figures() {
    return {
      inSync: this.#channels.filter(({ trouble }) => trouble === undefined).length,
      keptBytes: this.#generation?.keptBytes ?? 0,
      lagBytes: Math.max(0, ...this.#channels.map(({ lagBytes }) => lagBytes)),
    };
  }

  /** Everything so far, in runs of whole records: a new copy begins with it. */
  restart(chunks: Iterable<Uint8Array>): void {
    const { world, directory } = this.#options;
    const number = Math.max(Math.floor(world.clock.nowMs()), (this.#generation?.number ?? 0) + 1);
    const generation = new Generation(number, copyName(number));
    generation.append(headerPiece({ format: COPY_FORMAT, worker: directory, generation: number }));
    for (const chunk of chunks) generation.append(recordsPiece(chunk));
    generation.append(completePiece());
    generation.completeAt = generation.end;
    this.#generation = generation;
    this.#isSnapshotAsked = false;
    for (const channel of this.#channels) channel.begin(generation);
  }

  /** Whole records, copied. Before the first `restart` there is nothing to append to: the snapshot will hold them. */
  append(records: Uint8Array): void {
    const generation = this.#generation;
    if (generation === undefined || records.byteLength === 0) return;
    generation.append(recordsPiece(copyOf(records)));
    this.#limit(generation);
    for (const channel of this.#channels) channel.push();
  }

  /** Resolves when enough replicas have everything that was appended so far. */
  flush(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const generation = this.#generation;
    this.#waiting.push({ generation: generation?.number ?? 0, offset: generation?.end ?? 0, resolve });
    this.#settle();
    return promise;
  }

  #onSynced(): void {
    this.#settle();
    const generation = this.#generation;
    if (generation !== undefined)
      generation.trim(Math.min(...this.#channels.map(({ syncedBytes }) => syncedBytes)));
  }

  #settle(): void {
    const generation = this.#generation;
    if (generation?.completeAt === undefined) return;
    const synced = this.#channels.map((channel) => this.#believe(channel, generation)).sort((a, b) => b - a);
    /** So much is at `acks` replicas. */
    const safe = synced[this.#options.acks - 1] ?? -1;
    const isSafe = ({ generation: number, offset }: Waiting) =>
      safe >= (number === generation.number ? offset : (generation.completeAt as number));
    const done = this.#waiting.filter(isSafe);
    if (done.length === 0) return;
    this.#waiting = this.#waiting.filter((waiting) => !isSafe(waiting));
    for (const { resolve } of done) resolve();
  }

  /** Leaves replicas behind that are away for too long. */
  #limit(generation: Generation): void {
    const { keptBytesMax = 64 * 1024 * 1024 } = this.#options;
    if (generation.keptBytes <= keptBytesMax) return;
    const present = this.#channels.filter(({ trouble }) => trouble === undefined);
    generation.trim(Math.min(generation.end, ...present.map(({ syncedBytes }) => syncedBytes)));
  }

  #askForSnapshot(): void {
    if (this.#isSnapshotAsked) return;
    this.#isSnapshotAsked = true;
    this.#options.onSnapshotNeeded();
  }

  close(): void {
    for (const channel of this.#channels) channel.stop();
    this.#waiting = [];
  }
}
