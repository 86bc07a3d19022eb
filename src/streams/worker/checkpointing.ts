/**
 * One worker's part in checkpoints, one behind the other: sources rest, the barrier goes down every exchange behind what
 * belongs to the checkpoint, and when everybody's barrier is here the snapshot is taken and records flow again.
 *
 * Invariant: `onPrepared` is called when nothing of the checkpoint can be lost any more, and only in the epoch in which it
 * was begun. What is behind a barrier is in no snapshot (link-records.ts holds it until then). Senders hear of a
 * checkpoint, and sinks let go of its output, only once it is committed. A crash in between leaves the one before, and the
 * prepared one for the leader to decide about.
 */
import { Alignment, upstreamOf } from "../checkpoint/alignment.ts";
import type { CheckpointMeta } from "../checkpoint/contents.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import type { OutgoingLinks } from "../links/outgoing-links.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Sink } from "../sinks/sink.ts";
import type { Source } from "../sources/source.ts";
import { watermarksOf } from "./key-handover.ts";
import type { MarkSender } from "./mark-sender.ts";
import type { Layout } from "./messages.ts";
import type { RestReasons } from "./rest-reasons.ts";
import type { StreamPositions } from "./stream-registry.ts";

export interface CheckpointingOptions {
  engine: Engine;
  stateLog: StateLog;
  sources: readonly Source[];
  sinks: readonly Sink[];
  rest: RestReasons;
  outgoing: OutgoingLinks;
  marks: MarkSender;
  /** Positions of streams whose worker has left. */
  inherited(): StreamPositions;
  /** The snapshot is taken: what came behind the barriers may be processed. */
  onAligned(): void;
  onPrepared(checkpoint: number): void;
  onAborted(checkpoint: number, reason: string): void;
  onFatal(error: Error): void;
}

/** Somebody who waits for a last checkpoint: the first one that began after they asked. */
interface Finisher {
  checkpoint: number | undefined;
  resolve(): void;
}

export class Checkpointing {
  readonly #options: CheckpointingOptions;
  readonly #upstream: number[][];
  /** Grows with each epoch: what was begun in an earlier one is not heard of any more. */
  #round = 0;
  #alignment: Alignment | undefined;
  #holds = false;
  #positions: Record<string, unknown> = {};
  #prepared: { id: number; meta: CheckpointMeta; hasOutputs: boolean } | undefined;
  /** The newest checkpoint that was announced as prepared in this epoch. */
  #announced = 0;
  #isClosed = false;
  readonly #finishers: Finisher[] = [];

  constructor(options: CheckpointingOptions) {
    this.#options = options;
    this.#upstream = upstreamOf(options.engine.plan);
  }

  get isAligning(): boolean {
    return this.#alignment !== undefined;
  }

  /** Whether what comes from this worker through this exchange belongs to the time after the checkpoint. */
  isBehind(exchange: number, peer: number): boolean {
    return this.#alignment?.isBehind(exchange, peer) === true;
  }

  /** The epoch is over, and with it whatever was begun and not committed. */
  reset(): void {
    const { rest } = this.#options;
    this.#round += 1;
    this.#alignment = undefined;
    this.#holds = false;
    this.#prepared = undefined;
    this.#announced = 0;
    rest.set("checkpoint", false);
    rest.set("hold", false);
  }

  /** Nothing is announced any more. */
  close(): void {
    this.#isClosed = true;
    this.#round += 1;
  }

  // --- barriers ----------------------------------------------------------------------------------------------------

  /** The leader asks for a checkpoint. With `hold` sources rest behind it until the next epoch. */
  start(checkpoint: number, hold: boolean): void {
    const { sources, rest, onPrepared } = this.#options;
    if (checkpoint <= this.#announced) {
      onPrepared(this.#announced);
      return;
    }
    if (this.#prepared?.id === checkpoint) return;
    for (const finisher of this.#finishers) finisher.checkpoint ??= checkpoint;
    rest.set("checkpoint", true);
    this.#holds = hold;
    this.#positions = Object.fromEntries(sources.map((source) => [source.name, source.position()]));
    this.#mark(this.#alignmentOf(checkpoint).begin(), checkpoint);
    this.#snapshotWhenAligned();
  }

  /** Another worker's barrier came through an exchange. */
  arrive(exchange: number, peer: number, checkpoint: number): void {
    this.#mark(this.#alignmentOf(checkpoint).arrive(exchange, peer), checkpoint);
    this.#snapshotWhenAligned();
  }

  #alignmentOf(checkpoint: number): Alignment {
    const { engine, outgoing } = this.#options;
    return (this.#alignment ??= new Alignment(checkpoint, engine.plan, this.#upstream, outgoing.peers));
  }

  /** Sends the barrier down these exchanges, behind everything that belongs to the checkpoint. */
  #mark(exchanges: readonly number[], checkpoint: number): void {
    const { engine, outgoing, marks } = this.#options;
    if (exchanges.length === 0) return;
    marks.send();
    for (const exchange of exchanges) {
      if (engine.plan.exchanges[exchange]?.isLocal === true) continue;
      outgoing.each((link) => link.barrier(exchange, checkpoint));
    }
  }

  // --- the snapshot ------------------------------------------------------------------------------------------------

  #snapshotWhenAligned(): void {
    if (this.#alignment?.isDone !== true) return;
    const { checkpoint } = this.#alignment;
    this.#alignment = undefined;
    this.#announce(checkpoint, this.#prepare(checkpoint));
    const { rest, onAligned } = this.#options;
    onAligned();
    rest.set("hold", this.#holds);
    rest.set("checkpoint", false);
  }

  /** Takes the snapshot before it returns; resolves when nothing of it can be lost. */
  async #prepare(id: number): Promise<void> {
    const { engine, stateLog, sinks, sources, inherited } = this.#options;
    const parts = sinks.map((sink) => ({ sink, ...sink.prepare(id) }));
    const outputs = new Map(
      parts.flatMap(({ outputs: bytes }, index) => (bytes.length > 0 ? [[index, bytes]] : [])),
    );
    const streams = inherited();
    const meta: CheckpointMeta = {
      sources: this.#positions,
      sinks: Object.fromEntries(parts.map(({ sink, position }) => [sink.name, position])),
      watermarks: watermarksOf(engine),
      ...(Object.keys(streams).length > 0 && { streams }),
    };
    this.#prepared = { id, meta, hasOutputs: outputs.size > 0 };
    await Promise.all([
      stateLog.prepare(id, meta, outputs),
      ...sources.map((source) => source.flush?.()),
      ...parts.map(async (part) => {
        if (!(await part.safe)) throw new VoteAgainst(part.sink.name);
      }),
    ]);
  }

  #announce(id: number, safe: Promise<void>): void {
    const { onPrepared, onAborted, onFatal } = this.#options;
    const round = this.#round;
    safe.then(
      () => {
        if (this.#round !== round) return;
        this.#announced = id;
        onPrepared(id);
      },
      (error: unknown) => {
        if (this.#round !== round) return;
        if (error instanceof VoteAgainst) onAborted(id, error.message);
        else onFatal(error as Error);
      },
    );
  }

  // --- the commit --------------------------------------------------------------------------------------------------

  /** The leader has decided. False when this is not the checkpoint that is prepared here. */
  committed(checkpoint: number, layout: Layout): boolean {
    const { stateLog, sources, sinks, onFatal } = this.#options;
    if (this.#prepared?.id !== checkpoint) return false;
    const { meta, hasOutputs } = this.#prepared;
    this.#prepared = undefined;
    stateLog.commit(checkpoint, JSON.stringify(layout));
    for (const source of sources) source.committed(meta.sources[source.name]);
    const deliveries = sinks.map((sink) => sink.commit(checkpoint));
    const released = hasOutputs ? this.#release(checkpoint, deliveries) : Promise.resolve();
    released.then(
      () => this.#finish(checkpoint),
      (error: unknown) => {
        if (!this.#isClosed) onFatal(error as Error);
      },
    );
    return true;
  }

  /** Notes that the outputs of a checkpoint went out, once they have. */
  async #release(checkpoint: number, deliveries: readonly (void | Promise<void>)[]): Promise<void> {
    const { stateLog } = this.#options;
    await Promise.all(deliveries);
    // A later one has outputs of its own.
    if (this.#isClosed || stateLog.committed.id !== checkpoint) return;
    stateLog.release();
    await stateLog.flush();
  }

  #finish(checkpoint: number): void {
    for (const finisher of this.#finishers)
      if ((finisher.checkpoint ?? checkpoint + 1) <= checkpoint) finisher.resolve();
  }

  /** Sources rest for good; resolves when a checkpoint that began after this is committed, and its output has gone out. */
  finish(): Promise<void> {
    this.#options.rest.set("finishing", true);
    const finished = Promise.withResolvers<void>();
    this.#finishers.push({ checkpoint: undefined, resolve: finished.resolve });
    return finished.promise;
  }
}

class VoteAgainst extends Error {
  constructor(sink: string) {
    super(`the sink ${sink} voted against it`);
  }
}
