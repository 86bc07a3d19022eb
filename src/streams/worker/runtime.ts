/**
 * One worker's share of a running application: engine, sources, sinks, links and the state log, in one epoch after another.
 *
 * It does what the leader says (member.ts hears it): begin an epoch, go, take a checkpoint, commit it (checkpointing.ts).
 *
 * Invariant: sources feed only while nothing asks them to rest: before `go`, from the barrier of a checkpoint until it is
 * aligned here, while somebody in the cluster cannot keep up, and while the cluster changes. What comes over links is
 * always processed, so workers that wait for each other never stand still; what is behind a barrier is held until the
 * checkpoint is aligned.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import type { NumberedMessage } from "../links/frames.ts";
import type { IncomingLinks } from "../links/incoming.ts";
import { OutgoingLinks } from "../links/outgoing-links.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Sink } from "../sinks/sink.ts";
import { sendElsewhere, type Source } from "../sources/source.ts";
import { hostPort } from "./addresses.ts";
import { Checkpointing } from "./checkpointing.ts";
import { KeyHandover } from "./key-handover.ts";
import { LinkRecords } from "./link-records.ts";
import { MarkSender } from "./mark-sender.ts";
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
  readonly #rest: RestReasons;
  readonly #outgoing: OutgoingLinks;
  readonly #records: LinkRecords;
  readonly #checkpoints: Checkpointing;
  readonly #keys: KeyHandover;
  readonly #pressure: Pressure;
  readonly #marks: MarkSender;
  readonly #timer: Timer | undefined;
  placement = new Placement([], [], 0);
  epoch = 0;
  #isClosed = false;
  /** Of streams whose worker has left: kept by the initializer. */
  #inherited: StreamPositions = {};

  constructor(options: RuntimeOptions) {
    this.#options = options;
    const { world, log, name: from, secret, engine, stateLog, sources, sinks } = options;
    const { onPrepared, onAborted, onFatal } = options;
    this.#rest = new RestReasons(sources);
    this.#outgoing = new OutgoingLinks({ world, log, from, secret, onPressure: () => this.judgePressure() });
    this.#keys = new KeyHandover(engine, this.#outgoing);
    this.#marks = new MarkSender(engine, this.#outgoing, world.clock);
    this.#checkpoints = new Checkpointing({
      ...{ engine, stateLog, sources, sinks, onPrepared, onAborted, onFatal },
      ...{ rest: this.#rest, outgoing: this.#outgoing, marks: this.#marks },
      inherited: () => this.#inherited,
      onAligned: () => this.#goOnBehindBarriers(),
    });
    this.#records = new LinkRecords(engine, (exchange, peer) => this.#checkpoints.isBehind(exchange, peer));
    this.#pressure = new Pressure({
      clock: world.clock,
      isOverLimit: () =>
        this.#records.heldBytes > HELD_BYTES_HIGH ||
        this.#outgoing.isCongested ||
        sinks.some((sink) => sink.isCongested) ||
        sources.some((source) => source.isCongested === true),
      tell: (isCongested) => this.#outgoing.each((link) => link.congested(isCongested)),
      onChange: (mustRest) => this.#rest.set("congested", mustRest),
    });
    if (engine.windows.size > 0) this.#timer = world.clock.every(TICK_MS, () => this.#tick());
  }

  get stats() {
    return {
      epoch: this.epoch,
      rests: this.#rest.reasons,
      isAligning: this.#checkpoints.isAligning,
      heldRecords: this.#records.heldCount,
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
    const { name, stateLog, sources, log } = this.#options;
    this.epoch = epoch;
    this.#rest.set("epoch", true);
    this.#reset();
    const names = places.map((place) => place.name);
    const self = names.indexOf(name);
    const isLeaving = leaving.includes(name);
    this.placement = new Placement(ring, names, self);
    this.#rest.set("leaving", isLeaving);
    sendElsewhere(sources, isLeaving ? without(places, leaving) : []);
    const isNewcomer = newcomers.includes(name);
    if (isNewcomer) stateLog.forget();
    else stateLog.rollBack(checkpoint);
    await this.#rollBack(isNewcomer ? checkpoint : stateLog.committed.id);
    if (this.epoch !== epoch || this.#isClosed) return;
    this.#link(places, self);
    if (!move) return;
    log.info("keys were handed over", { moved: this.#keys.hand(this.placement, isLeaving), self });
    await this.#keys.untilCome();
  }

  #reset(): void {
    this.#outgoing.close();
    // What is still on its way must not meet states that went back.
    this.#options.incoming.end();
    this.#checkpoints.reset();
    this.#records.clear();
    this.#marks.reset();
    this.#keys.expect([]);
    this.#pressure.reset();
  }

  /** The states are the checkpoint's; sources, windows and sinks follow them. */
  async #rollBack(checkpoint: number): Promise<void> {
    const { engine, stateLog, sources, sinks } = this.#options;
    const { epoch } = this;
    const { meta, outputs } = stateLog.committed;
    this.#inherited = meta.streams ?? {};
    const dueOutputs = stateLog.isOutputDue ? outputs : new Map<number, Uint8Array[]>();
    engine.watermarks.reset();
    for (const [name, step] of engine.windows) {
      step.rebuild(meta.watermarks[name] ?? Number.NEGATIVE_INFINITY);
    }
    await Promise.all([
      ...sources.map((source) => source.rollBack(meta.sources[source.name])),
      ...sinks.map((sink, index) =>
        sink.rollBack(checkpoint, meta.sinks[sink.name], dueOutputs.get(index) ?? []),
      ),
    ]);
    if (this.epoch === epoch && !this.#isClosed && dueOutputs.size > 0) stateLog.release();
  }

  #link(places: readonly Place[], self: number): void {
    this.#keys.expect(places.keys().filter((peer) => peer !== self));
    this.#options.engine.watermarks.expect([...places.keys()].filter((peer) => peer !== self));
    const peers = places.map(({ name, data }) => ({ name, ...hostPort(data) }));
    this.#options.incoming.begin(
      this.epoch,
      peers.map(({ name }) => name),
    );
    this.#outgoing.begin(this.epoch, peers, self);
  }

  go(epoch: number, inherited: StreamPositions = {}): void {
    if (epoch !== this.epoch) return;
    this.#inherited = mergedPositions(this.#inherited, inherited);
    this.#rest.set("epoch", false);
  }

  // --- checkpoints -------------------------------------------------------------------------------------------------

  /** Sources rest for good; resolves when a checkpoint that began after this is committed, and its output has gone out. */
  finish(): Promise<void> {
    return this.#checkpoints.finish();
  }

  startCheckpoint(checkpoint: number, hold: boolean): void {
    this.#checkpoints.start(checkpoint, hold);
  }

  committed(checkpoint: number, layout: Layout): void {
    if (!this.#checkpoints.committed(checkpoint, layout)) return;
    // Workers that have left send nothing any more and need nothing.
    for (const peer of this.#outgoing.partFromOthers(layout.members)) {
      this.#pressure.hear(peer, false);
      this.#options.engine.watermarks.forget(peer);
    }
  }

  #goOnBehindBarriers(): void {
    this.#records.release();
    this.judgePressure();
    this.flush();
  }

  // --- what other workers say --------------------------------------------------------------------------------------

  hear(peer: number, message: NumberedMessage): void {
    if (this.#isClosed) return;
    switch (message.type) {
      case "batch":
        this.#records.batch(peer, message.items);
        if (this.#records.heldBytes > HELD_BYTES_HIGH) this.judgePressure();
        break;
      case "barrier":
        this.#checkpoints.arrive(message.exchange, peer, message.checkpoint);
        break;
      case "watermark":
        this.#records.watermark(peer, message.exchange, message.timeMs);
        break;
      case "congested":
        this.#pressure.hear(peer, message.isCongested);
        break;
      case "keyState":
        this.#keys.take(message.step, message.key, message.image);
        break;
      case "keyEnd":
        this.#keys.end(peer, message.watermarks);
        break;
    }
  }

  /** A record for another worker. */
  send(...record: Parameters<Engine["host"]["send"]>): void {
    this.#outgoing.record(...record);
  }

  // --- pressure and time -------------------------------------------------------------------------------------------

  /** To be called when a link or a sink says that its state changed. */
  judgePressure(): void {
    this.#pressure.judge();
  }

  /** What the records so far caused goes out. Nothing does behind a step that threw. */
  flush(): void {
    if (this.#isClosed) return;
    for (const sink of this.#options.sinks) sink.flush();
    this.#outgoing.flush();
  }

  #tick(): void {
    if (!this.isRunning) return;
    this.#marks.send();
    this.fireWindows();
    this.flush();
  }

  /** Nothing fires between a barrier and its snapshot: it would belong to neither side. */
  fireWindows(): void {
    const { engine, world } = this.#options;
    if (!this.#checkpoints.isAligning && !this.#isClosed) engine.fireWindows(world.clock.nowMs());
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#rest.set("closed", true);
    this.#checkpoints.close();
    this.#outgoing.close();
  }
}

const without = (places: readonly Place[], names: readonly string[]) =>
  places.filter(({ name }) => !names.includes(name));
