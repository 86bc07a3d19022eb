/**
 * One worker's share of a running application: engine, sources, sinks, links and the state log, in one epoch after another.
 *
 * It does what the leader says (member.ts hears it): begin an epoch, go, take a checkpoint, commit it.
 *
 * Invariant: sources feed only while nothing asks them to rest: before `go`, from the barrier of a checkpoint until it is
 * aligned here, while somebody in the cluster cannot keep up, and while the cluster changes. What comes over links is
 * always processed, so workers that wait for each other never stand still; what is behind a barrier is held until the
 * checkpoint is aligned.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import { Alignment, upstreamOf } from "../checkpoint/alignment.ts";
import type { CheckpointMeta } from "../checkpoint/contents.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import type { NumberedMessage } from "../links/frames.ts";
import { IncomingLinks } from "../links/incoming.ts";
import { OutgoingLinks } from "../links/outgoing-links.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Sink } from "../sinks/sink.ts";
import { sendElsewhere, type Source } from "../sources/source.ts";
import { hostPort } from "./addresses.ts";
import { HeldRecords } from "./held-records.ts";
import { MarkSender } from "./mark-sender.ts";
import { moveKeys } from "./key-moves.ts";
import type { Layout, Place, ToMember } from "./messages.ts";
import { Placement } from "./placement.ts";
import { Pressure } from "./pressure.ts";
import { RestReasons } from "./rest-reasons.ts";
import { mergedPositions, type StreamPositions } from "./stream-registry.ts";

export interface RuntimeOptions {
  world: World;
  log: Log;
  name: string;
  secret: string;
  engine: Engine;
  stateLog: StateLog;
  sources: readonly Source[];
  sinks: readonly Sink[];
  incoming: IncomingLinks;
  onPrepared(checkpoint: number): void;
  onAborted(checkpoint: number, reason: string): void;
  onFatal(error: Error): void;
}

type Begin = Extract<ToMember, { type: "begin" }>;

/** Watermarks travel, and windows are looked at, this often while nothing else does it. */
const TICK_MS = 50;
const HELD_BYTES_HIGH = 4 << 20;

export class WorkerRuntime {
  readonly #options: RuntimeOptions;
  readonly #engine: Engine;
  readonly #upstream: number[][];
  readonly #rest: RestReasons;
  readonly #held = new HeldRecords();
  readonly #timer: Timer | undefined;
  placement = new Placement([], [], 0);
  epoch = 0;
  readonly #outgoing: OutgoingLinks;
  #alignment: Alignment | undefined;
  #holds = false;
  #positions: Record<string, unknown> = {};
  #prepared: { id: number; meta: CheckpointMeta; hasOutputs: boolean } | undefined;
  /** The newest checkpoint that was announced as prepared in this epoch. */
  #announced = 0;
  readonly #pressure: Pressure;
  /** Workers whose keys are still coming. */
  #awaitedKeys = new Set<number>();
  #keysCame: (() => void) | undefined;
  readonly #marks: MarkSender;
  #isClosed = false;
  /** Of streams whose worker has left: kept by the initializer. */
  #inherited: StreamPositions = {};
  /** Those who wait for a last checkpoint: the first one that began after they asked. */
  readonly #finishers: { checkpoint: number | undefined; resolve(): void }[] = [];

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#upstream = upstreamOf(options.engine.plan);
    this.#rest = new RestReasons(options.sources);
    const { world, log, name: from, secret } = options;
    this.#outgoing = new OutgoingLinks({ world, log, from, secret, onPressure: () => this.judgePressure() });
    this.#marks = new MarkSender(options.engine, this.#outgoing, world.clock);
    this.#pressure = new Pressure({
      clock: options.world.clock,
      isOverLimit: () =>
        this.#held.bytes > HELD_BYTES_HIGH ||
        this.#outgoing.isCongested ||
        options.sinks.some((sink) => sink.isCongested),
      tell: (isCongested) => this.#outgoing.each((link) => link.congested(isCongested)),
      onChange: (mustRest) => this.#rest.set("congested", mustRest),
    });
    if (options.engine.windows.size > 0) this.#timer = world.clock.every(TICK_MS, () => this.#tick());
  }

  get stats() {
    return {
      epoch: this.epoch,
      rests: this.#rest.reasons,
      isAligning: this.#alignment !== undefined,
      heldRecords: this.#held.count,
      congestedMs: Math.round(this.#pressure.totalMs),
      links: this.#outgoing.stats,
    };
  }

  get inherited(): StreamPositions {
    return this.#inherited;
  }

  get isRunning(): boolean {
    return this.epoch > 0 && !this.#rest.has("epoch");
  }

  // --- epochs ------------------------------------------------------------------------------------------------------

  /** Goes back to the checkpoint and links up; resolves when this worker is ready. */
  async begin(message: Begin): Promise<void> {
    const { epoch, checkpoint, places, ring, move, leaving, newcomers } = message;
    const { name, stateLog } = this.#options;
    this.epoch = epoch;
    this.#rest.set("epoch", true);
    this.#reset();
    const names = places.map((place) => place.name);
    const self = names.indexOf(name);
    this.placement = new Placement(ring, names, self);
    this.#rest.set("leaving", leaving.includes(name));
    sendElsewhere(this.#options.sources, leaving.includes(name) ? without(places, leaving) : []);
    if (newcomers.includes(name)) stateLog.forget();
    else stateLog.rollBack(checkpoint);
    this.#engine.watermarks.reset();
    const { meta, outputs, id } = stateLog.committed;
    this.#inherited = meta.streams ?? {};
    const dueOutputs = stateLog.isOutputDue ? outputs : new Map<number, Uint8Array[]>();
    for (const [name, step] of this.#engine.windows) {
      step.rebuild(meta.watermarks[name] ?? Number.NEGATIVE_INFINITY);
    }
    await Promise.all([
      ...this.#options.sources.map((source) => source.rollBack(meta.sources[source.name])),
      ...this.#options.sinks.map((sink, index) =>
        sink.rollBack(id, meta.sinks[sink.name], dueOutputs.get(index) ?? []),
      ),
    ]);
    if (this.epoch !== epoch || this.#isClosed) return;
    if (dueOutputs.size > 0) stateLog.release();
    this.#link(places, self);
    if (move) await this.#moveKeys(self);
  }

  #reset(): void {
    this.#outgoing.close();
    // What is still on its way must not meet states that went back.
    this.#options.incoming.end();
    this.#alignment = undefined;
    this.#held.clear();
    this.#holds = false;
    this.#prepared = undefined;
    this.#announced = 0;
    this.#marks.reset();
    this.#keysCame = undefined;
    this.#awaitedKeys.clear();
    this.#rest.set("checkpoint", false);
    this.#rest.set("hold", false);
    this.#pressure.reset();
  }

  #link(places: readonly Place[], self: number): void {
    this.#awaitedKeys = new Set(places.keys().filter((peer) => peer !== self));
    const peers = places.map(({ name, data }) => ({ name, ...hostPort(data) }));
    this.#options.incoming.begin(
      this.epoch,
      peers.map(({ name }) => name),
    );
    this.#outgoing.begin(this.epoch, peers, self);
  }

  /** Hands over the keys that belong to others by the new ring, and waits for those of this worker. */
  async #moveKeys(self: number): Promise<void> {
    const watermarks = this.#watermarks();
    const moved = moveKeys(this.#engine, this.placement, this.#rest.has("leaving"), (...state) =>
      this.#outgoing.keyState(...state),
    );
    this.#outgoing.each((link) => link.keyEnd(watermarks));
    this.#options.log.info("keys were handed over", { moved, self });
    if (this.#awaitedKeys.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#keysCame = resolve;
    });
  }

  go(epoch: number, inherited: StreamPositions = {}): void {
    if (epoch !== this.epoch) return;
    this.#inherited = mergedPositions(this.#inherited, inherited);
    this.#rest.set("epoch", false);
  }

  // --- checkpoints -------------------------------------------------------------------------------------------------

  /** Sources rest for good; resolves when a checkpoint that began after this is committed. */
  finish(): Promise<void> {
    this.#rest.set("finishing", true);
    const finished = Promise.withResolvers<void>();
    this.#finishers.push({ checkpoint: undefined, resolve: finished.resolve });
    return finished.promise;
  }

  /** The leader asks for a checkpoint. With `hold` sources rest behind it until the next epoch. */
  startCheckpoint(checkpoint: number, hold: boolean): void {
    if (checkpoint <= this.#announced) {
      this.#options.onPrepared(this.#announced);
      return;
    }
    if (this.#prepared?.id === checkpoint) return;
    for (const finisher of this.#finishers) finisher.checkpoint ??= checkpoint;
    this.#rest.set("checkpoint", true);
    this.#holds = hold;
    this.#positions = Object.fromEntries(
      this.#options.sources.map((source) => [source.name, source.position()]),
    );
    this.#alignment ??= this.#newAlignment(checkpoint);
    this.#mark(this.#alignment.begin(), checkpoint);
    this.#snapshotWhenAligned();
  }

  #newAlignment(checkpoint: number): Alignment {
    return new Alignment(checkpoint, this.#engine.plan, this.#upstream, this.#outgoing.peers);
  }

  /** Sends the barrier down these exchanges, behind everything that belongs to the checkpoint. */
  #mark(exchanges: readonly number[], checkpoint: number): void {
    if (exchanges.length === 0) return;
    this.#marks.send();
    for (const exchange of exchanges) {
      if (this.#engine.plan.exchanges[exchange]?.isLocal === true) continue;
      this.#outgoing.each((link) => link.barrier(exchange, checkpoint));
    }
  }

  #snapshotWhenAligned(): void {
    if (this.#alignment?.isDone !== true) return;
    const { stateLog, sinks, sources, onPrepared, onAborted, onFatal } = this.#options;
    const id = this.#alignment.checkpoint;
    const { epoch } = this;
    const parts = sinks.map((sink) => ({ sink, ...sink.prepare(id) }));
    const outputs = new Map(
      parts.flatMap(({ outputs: bytes }, index) => (bytes.length > 0 ? [[index, bytes]] : [])),
    );
    const meta: CheckpointMeta = {
      sources: this.#positions,
      sinks: Object.fromEntries(parts.map(({ sink, position }) => [sink.name, position])),
      watermarks: this.#watermarks(),
      ...(Object.keys(this.#inherited).length > 0 && { streams: this.#inherited }),
    };
    this.#prepared = { id, meta, hasOutputs: outputs.size > 0 };
    const safe = Promise.all([
      stateLog.prepare(id, meta, outputs),
      ...sources.map((source) => source.flush?.()),
      ...parts.map(async (part) => {
        if (!(await part.safe)) throw new VoteAgainst(part.sink.name);
      }),
    ]);
    this.#alignment = undefined;
    safe.then(
      () => {
        if (this.epoch !== epoch || this.#isClosed) return;
        this.#announced = id;
        onPrepared(id);
      },
      (error: unknown) => {
        if (this.epoch !== epoch || this.#isClosed) return;
        if (error instanceof VoteAgainst) onAborted(id, error.message);
        else onFatal(error as Error);
      },
    );
    this.#goOnBehindBarrier();
  }

  #goOnBehindBarrier(): void {
    this.#held.release((record) => {
      if ("timeMs" in record && !("key" in record))
        this.#hearWatermark(record.exchange, record.peer, record.timeMs);
      else
        this.#engine.receive(
          record.exchange,
          record.key,
          record.timeMs,
          record.bytes,
          0,
          record.bytes.byteLength,
        );
    });
    this.judgePressure();
    this.#rest.set("hold", this.#holds);
    this.#rest.set("checkpoint", false);
    this.flush();
  }

  #watermarks(): Record<string, number> {
    return Object.fromEntries(
      [...this.#engine.windows].map(([name, step]) => [name, finite(step.watermarkMs)]),
    );
  }

  committed(checkpoint: number, layout: Layout): void {
    const { stateLog, sources, sinks, onFatal } = this.#options;
    if (this.#prepared?.id !== checkpoint) return;
    const { meta, hasOutputs } = this.#prepared;
    this.#prepared = undefined;
    stateLog.commit(checkpoint, JSON.stringify(layout));
    for (const source of sources) source.committed(meta.sources[source.name]);
    const deliveries = sinks.map((sink) => sink.commit(checkpoint));
    if (hasOutputs) {
      Promise.all(deliveries).then(() => {
        // A later one has outputs of its own.
        if (!this.#isClosed && stateLog.committed.id === checkpoint) stateLog.release();
      }, onFatal);
    }
    // Workers that have left send nothing any more and need nothing.
    for (const peer of this.#outgoing.partFromOthers(layout.members)) this.#pressure.hear(peer, false);
    for (const finisher of this.#finishers)
      if ((finisher.checkpoint ?? checkpoint + 1) <= checkpoint) finisher.resolve();
  }

  // --- records from other workers ----------------------------------------------------------------------------------

  hear(peer: number, message: NumberedMessage): void {
    switch (message.type) {
      case "batch":
        this.#hearBatch(peer, message.items);
        break;
      case "barrier":
        this.#alignment ??= this.#newAlignment(message.checkpoint);
        this.#mark(this.#alignment.arrive(message.exchange, peer), message.checkpoint);
        this.#snapshotWhenAligned();
        break;
      case "watermark":
        if (this.#alignment?.isBehind(message.exchange, peer) === true)
          this.#held.add({ peer, exchange: message.exchange, timeMs: message.timeMs });
        else this.#hearWatermark(message.exchange, peer, message.timeMs);
        break;
      case "congested":
        this.#pressure.hear(peer, message.isCongested);
        break;
      case "keyState": {
        const { name } = this.#engine.plan.states[message.step] as { name: string };
        this.#engine.stores.get(name)?.adopt(message.key, message.image);
        break;
      }
      case "keyEnd":
        this.#keysEnd(peer, message.watermarks);
        break;
    }
  }

  #hearBatch(peer: number, items: Extract<NumberedMessage, { type: "batch" }>["items"]): void {
    while (items.remaining > 0) {
      const exchange = items.u16();
      const timeMs = items.f64();
      const key = items.text();
      const bytes = items.bytes();
      if (this.#alignment?.isBehind(exchange, peer) === true)
        this.#held.add({ peer, exchange, timeMs, key, bytes });
      else this.#engine.receive(exchange, key, timeMs, bytes, 0, bytes.byteLength);
    }
    if (this.#held.bytes > HELD_BYTES_HIGH) this.judgePressure();
  }

  #hearWatermark(exchange: number, peer: number, timeMs: number): void {
    this.#engine.watermarks.hear(exchange, peer, timeMs, this.#options.world.clock.nowMs());
  }

  #keysEnd(peer: number, watermarks: Record<string, number>): void {
    for (const [name, step] of this.#engine.windows) {
      step.rebuild(Math.max(step.watermarkMs, watermarks[name] ?? Number.NEGATIVE_INFINITY));
    }
    this.#awaitedKeys.delete(peer);
    if (this.#awaitedKeys.size === 0) this.#keysCame?.();
  }

  // --- pressure and time -------------------------------------------------------------------------------------------

  /** To be called when a link or a sink says that its state changed. */
  judgePressure(): void {
    this.#pressure.judge();
  }

  /** What the records so far caused goes out. */
  flush(): void {
    for (const sink of this.#options.sinks) sink.flush();
    this.#outgoing.flush();
  }

  #tick(): void {
    if (!this.isRunning) return;
    this.#marks.send();
    // Nothing fires between a barrier and its snapshot: it would belong to neither side.
    if (this.#alignment === undefined) this.fireWindows();
    this.flush();
  }

  fireWindows(): void {
    if (this.#alignment === undefined) this.#engine.fireWindows(this.#options.world.clock.nowMs());
  }

  /** A record for another worker. */
  send(...record: Parameters<Engine["host"]["send"]>): void {
    this.#outgoing.record(...record);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#rest.set("closed", true);
    this.#outgoing.close();
  }
}

const without = (places: readonly Place[], names: readonly string[]) =>
  places.filter(({ name }) => !names.includes(name));

class VoteAgainst extends Error {
  constructor(sink: string) {
    super(`the sink ${sink} voted against it`);
  }
}

/** JSON has no infinity. */
function finite(timeMs: number): number {
  return Number.isFinite(timeMs) ? timeMs : -Number.MAX_VALUE;
}
