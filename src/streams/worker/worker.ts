/**
 * A worker: everything of one, put together. role.ts runs it as a role, simulations run many in one process.
 *
 * The initializer has the leader too. Its own member hears it without a socket, but never from inside a call.
 *
 * A crash takes the process; the next one of that name replays its state log, says hello with a larger incarnation, and
 * the leader brings the cluster back to the last committed checkpoint.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { TlsMaterial } from "../../core/seams/net.ts";
import { type CallerTls, callingWithTls } from "../../core/sockets/tls.ts";
import { type Mirror, StateLog } from "../checkpoint/state-log.ts";
import { IncomingLinks } from "../links/incoming.ts";
import { proofOf } from "../links/secret.ts";
import type { Plan } from "../plan/plan.ts";
import { Engine } from "../runtime/engine.ts";
import { LatencyHistogram } from "../runtime/latency.ts";
import type { StateStore } from "../state/store.ts";
import type { Sink } from "../sinks/sink.ts";
import { messageOf, thrownAt } from "../thrown.ts";
import { handoverKey, type Source, type SourceHost } from "../sources/source.ts";
import type { WorkerConfig } from "./config.ts";
import { ControlPort, helloWords } from "./control-port.ts";
import { DeadLetters } from "./dead-letters.ts";
import { assertOwner, assertShapes, assertSteps, type Remembered, shapesOf } from "./own-directory.ts";
import { DEAD_LETTERS_FILE, STATE_DIRECTORY } from "./fresh-start.ts";
import { makeSinks, makeSources } from "./inputs-outputs.ts";
import type { Leader } from "./leader.ts";
import { Leading } from "./leading.ts";
import { Member } from "./member.ts";
import type { Hello, Place } from "./messages.ts";
import { WorkerRuntime } from "./runtime.ts";
import { StreamClaims } from "./stream-claims.ts";

export type WorkerSettings = Pick<
  WorkerConfig,
  | "name" | "size" | "join" | "joining" | "controlPort" | "dataPort" | "sources" | "sinks"
  | "checkpointMs" | "compaction" | "onStepError" | "deadLetters" | "host" | "nats"
>; // prettier-ignore

export interface WorkerOptions {
  world: World;
  log: Log;
  dataDir: string;
  /** What relative paths in the configuration are relative to. */
  directory: string;
  settings: WorkerSettings;
  plan: Plan;
  secret: string;
  tls: TlsMaterial | undefined;
  /** How other workers are called. */
  peerTls: CallerTls | undefined;
  connectionsMax: number;
  mirror: Mirror | undefined;
  announcePort(key: string, port: number): void;
  progress(text: string): void;
  onFatal(error: Error): void;
  /** The worker has left its cluster. */
  onGoodbye(): void;
  /** The cluster stops, and this worker with it. */
  onStop(): void;
}

const INITIALIZER = "initializer";

export class Worker {
  readonly #options: WorkerOptions;
  readonly engine: Engine;
  readonly latency = new LatencyHistogram();
  readonly deadLetters: DeadLetters;
  runtime!: WorkerRuntime;
  stateLog!: StateLog;
  #leading: Leading | undefined;
  #member!: Member;
  #control!: ControlPort;
  #incoming!: IncomingLinks;
  #sources: Source[] = [];
  #sinks: Sink[] = [];
  #known: Remembered = { app: "", name: "", incarnation: 0, epoch: 0, leader: "", places: [], shapes: {} };
  readonly #life: number;
  #place: Place = { name: "", control: "", data: "" };
  readonly #streams: StreamClaims;
  #isFailed = false;
  #isFinished = false;

  private constructor(options: WorkerOptions) {
    this.#options = options;
    this.#life = options.world.random.integer(2 ** 48);
    this.deadLetters = new DeadLetters(
      options.world,
      join(options.dataDir, DEAD_LETTERS_FILE),
      options.settings.deadLetters.bytesMax,
    );
    this.#streams = new StreamClaims({
      epoch: () => this.runtime.epoch,
      sources: () => this.#sources,
      inherited: () => this.runtime.inherited,
      say: (message) => this.#member.say(message),
    });
    const writers = new Map<string, Sink>();
    this.engine = new Engine(options.plan, {
      get self() {
        return placementOf().self;
      },
      ownerOf: (key) => this.runtime.placement.ownerOf(key),
      send: (...record) => this.runtime.send(...record),
      sinkWriter: (name) => {
        let sink = writers.get(name);
        if (sink === undefined) {
          sink = this.#sinks.find((each) => each.name === name) as Sink;
          writers.set(name, sink);
        }
        return sink.writer;
      },
      monotonicMs: () => options.world.clock.monotonicMs(),
      onBadRecord: (reason, source, bytes, error) => {
        this.deadLetters.add(reason, source, bytes, error);
        if (reason === "step" && options.settings.onStepError === "fail") this.#fail(source, error);
      },
    });
    const placementOf = () => this.runtime.placement;
  }

  /** Throws whatever keeps it from starting. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    try {
      await worker.#start();
    } catch (error) {
      await worker.abandon();
      throw error;
    }
    return worker;
  }

  /** At the initializer, once it has begun to lead. */
  get leader(): Leader | undefined {
    return this.#leading?.leader;
  }

  get isInitializer(): boolean {
    return this.#options.settings.name === INITIALIZER;
  }

  /** The world in which other workers are called. */
  get #peers(): World {
    const { world, peerTls } = this.#options;
    return { ...world, net: callingWithTls(world.net, peerTls) };
  }

  get sources(): readonly Source[] {
    return this.#sources;
  }

  get sinks(): readonly Sink[] {
    return this.#sinks;
  }

  get place(): Place {
    return this.#place;
  }

  get member(): Member {
    return this.#member;
  }

  /** A step threw: nothing of what it left half done may get into a checkpoint. */
  #fail(source: string, error: unknown): void {
    if (this.#isFailed) return;
    this.#isFailed = true;
    this.runtime.close();
    const why = `${messageOf(error)}${thrownAt(error)}`;
    const fatal = new NxError("NX_STREAM_APP_FAILED", `a step threw for a record of ${source}: ${why}`, {
      hint: "the record is in dead-letters.jsonl; correct the application, or set onStepError to skip",
      cause: error,
    });
    void this.deadLetters.written.then(() => this.#options.onFatal(fatal));
  }

  async #start(): Promise<void> {
    const { world, log, dataDir, settings, plan, secret, tls, mirror, progress, onFatal } = this.#options;
    const stores = plan.states.map(({ name }) => this.engine.stores.get(name) as StateStore);
    this.stateLog = await StateLog.open({
      ...{ world, log: log.child("state"), stores, mirror, onFatal, progress },
      directory: join(dataDir, STATE_DIRECTORY),
      compaction: settings.compaction,
    });
    assertSteps(this.stateLog);
    if (this.stateLog.cluster !== "")
      this.#known = { ...this.#known, ...(JSON.parse(this.stateLog.cluster) as Remembered) };
    const own = { app: plan.appName, name: settings.name, shapes: shapesOf(plan) };
    assertOwner(dataDir, this.#known, own);
    assertShapes(this.#known.shapes, own.shapes, stores);
    Object.assign(this.#known, own);
    this.#known.incarnation += 1;
    if (this.stateLog.committed.id > 0) {
      log.info(`recovering: replayed ${this.stateLog.replayedEntries} entries from the state log`, {
        checkpoint: this.stateLog.committed.id,
      });
    }
    // A log may be full before there is a runtime.
    const events = { onPressure: () => this.runtime?.judgePressure(), onFatal };
    const grantsOf = (source: string) => this.#streams.of(source);
    const { name: worker, nats } = settings;
    const surrounding = { ...this.#options, events, worker, nats, grantsOf };
    this.#sinks = makeSinks(plan, settings.sinks, surrounding);
    this.#sources = await makeSources(plan, settings.sources, (name) => this.#sourceHost(name), surrounding);
    this.engine.watermarks.setOpenSources(new Set(this.#sources.map(({ node }) => node.id)));
    this.#incoming = new IncomingLinks({
      ...{
        net: world.net,
        clock: world.clock,
        log,
        host: settings.host,
        port: settings.dataPort,
        tls,
        self: settings.name,
        secret,
      },
      onMessage: (peer, message) => this.runtime.hear(peer, message),
      onFatal,
      onBatchEnd: (startedMs) => {
        this.runtime.flush();
        this.engine.meters.endRun(startedMs);
      },
    });
    this.runtime = new WorkerRuntime({
      ...{
        world: this.#peers,
        log,
        name: settings.name,
        secret,
        engine: this.engine,
        stateLog: this.stateLog,
        onFatal,
      },
      ...{ sources: this.#sources, sinks: this.#sinks, incoming: this.#incoming },
      onPrepared: (checkpoint) =>
        this.#member.say({ type: "prepared", epoch: this.runtime.epoch, checkpoint }),
      onAborted: (checkpoint, reason) =>
        this.#member.say({ type: "aborted", epoch: this.runtime.epoch, checkpoint, reason }),
    });
    await this.#open();
  }

  #sourceHost(name: string): SourceHost {
    const { clock } = this.#options.world;
    return {
      feed: (node, bytes, start, end, timeMs = this.#nowMs) =>
        this.#isFailed ? undefined : this.engine.feed(node, bytes, start, end, timeMs),
      feedValue: (node, value) =>
        this.#isFailed ? undefined : this.engine.feedValue(node, value, this.#nowMs),
      onBatchEnd: (records, startedMs) => {
        this.runtime.fireWindows();
        this.runtime.flush();
        this.latency.record(records, clock.monotonicMs() - startedMs);
        this.engine.meters.endRun(startedMs, { name, records });
        this.#nowMs = clock.nowMs();
      },
    };
  }

  /** Wall-clock time as of the last run of records: read once for each, not for every record. */
  #nowMs = 0;

  async #open(): Promise<void> {
    const { world, log, settings, secret, tls, announcePort } = this.#options;
    const { name, host, controlPort } = settings;
    this.#nowMs = world.clock.nowMs();
    for (const sink of this.#sinks) await sink.open();
    const sources: Record<string, string> = {};
    for (const source of this.#sources) {
      const port = await source.open();
      if (port === undefined) continue;
      announcePort(`source.${source.name}`, port);
      if (source.handoverAddress !== undefined) sources[handoverKey(source)] = source.handoverAddress;
    }
    const data = await this.#incoming.listen();
    announcePort("dataPort", data);
    this.#control = new ControlPort({
      ...{ world, log, host, port: controlPort, secret, tls },
      leader: () => this.leader,
      leaderAddress: () => this.#member.leader,
      onLeaderMoved: (address) => this.#member.moved(address),
    });
    const control = await this.#control.listen();
    announcePort("controlPort", control);
    this.#place = { name, control: `${host}:${control}`, data: `${host}:${data}`, sources };
    this.#member = new Member(this.runtime, {
      ...{
        world: this.#peers,
        log,
        onFatal: this.#options.onFatal,
        onGoodbye: () => this.#leave(),
        onStop: () => this.#stopWithAll(),
      },
      streams: this.#streams,
      keyCounts: () => this.engine.keyCounts,
      hello: () => this.#hello(),
      remember: (epoch, leader) => this.#remember({ epoch, leader }),
    });
    await this.#remember({});
    if (this.isInitializer) this.#lead();
    else this.#member.follow(settings.join ?? this.#known.leader);
  }

  async #remember(news: Partial<Remembered>): Promise<void> {
    this.#known = { ...this.#known, ...news };
    await this.stateLog.rememberCluster(JSON.stringify(this.#known));
  }

  #hello(): Hello {
    const { settings, plan, secret } = this.#options;
    const { committed, prepared } = this.stateLog;
    const { incarnation } = this.#known;
    const words = { name: settings.name, incarnation, plan: plan.hash };
    return {
      type: "hello",
      ...words,
      life: this.#life,
      epoch: this.runtime.epoch,
      committed: committed.id,
      prepared: prepared?.id ?? 0,
      place: this.#place,
      hasSources: this.#sources.some(({ handoverAddress }) => handoverAddress === undefined),
      joining: committed.id === 0 && !this.#member.hasJoined ? settings.joining : 0,
      proof: proofOf(secret, helloWords(words)),
    };
  }

  #lead(): void {
    const { log, settings, plan, secret, onFatal } = this.#options;
    const { name, size, checkpointMs } = settings;
    this.#leading = new Leading(
      {
        ...{ world: this.#peers, log, name, plan: plan.hash, secret, size, checkpointMs, onFatal },
        ...{ stateLog: this.stateLog, member: this.#member, control: this.#place.control },
        hello: () => this.#hello(),
        remember: (epoch, places) => this.#remember({ epoch, places: [...places] }),
      },
      this.#known,
    );
  }

  /** The whole cluster stands behind one checkpoint: there is nothing to finish. */
  #stopWithAll(): void {
    this.runtime.close();
    this.#isFinished = true;
    this.#options.onStop();
  }

  /** Its keys are elsewhere: what it has of them must never be taken for the newest. */
  #leave(): void {
    this.runtime.close();
    this.#isFinished = true;
    this.stateLog.forget();
    this.stateLog.flush().then(this.#options.onGoodbye, this.#options.onFatal);
  }

  // --- life --------------------------------------------------------------------------------------------------------

  /**
   * Sources stop taking records, and what they took gets into a last checkpoint; without one, after `timeoutMs`, what came
   * since the last checkpoint comes again in the next life.
   */
  async finish(timeoutMs: number): Promise<void> {
    if (this.#isFinished || !this.runtime.isRunning) return;
    const timeout = Promise.withResolvers<void>();
    const timer = this.#options.world.clock.after(timeoutMs, timeout.resolve);
    const finished = this.runtime.finish();
    this.#member.say({ type: "checkpointWanted" });
    await Promise.race([finished, timeout.promise]);
    timer.cancel();
    this.runtime.close();
  }

  /** Asks the leader to stop the whole cluster. */
  stopCluster(): void {
    this.#member.say({ type: "stopWanted" });
  }

  async close(): Promise<void> {
    this.#leading?.close();
    this.#member.close();
    this.#control.close();
    this.runtime.close();
    this.#incoming.close();
    for (const source of this.#sources) await source.close();
    for (const sink of this.#sinks) await sink.close();
    await this.deadLetters.close();
    await this.stateLog.close();
  }

  /** Lets go of what a start that failed had opened. */
  async abandon(): Promise<void> {
    for (const source of this.#sources) await source.close().catch(() => undefined);
    for (const sink of this.#sinks) await sink.close().catch(() => undefined);
    await this.stateLog?.close().catch(() => undefined);
  }
}
