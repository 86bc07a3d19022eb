/**
 * One volume as a storage backs it up: its state, the marks in its log, and the engine that serves it.
 *
 *   VOL/path   text: the volume that is meant     VOL/state   text: SyncReady, Stopped, Target or Standby
 *   VOL/uuid   16 bytes, of the log's history     VOL/done, VOL/queue   see mark-files.ts
 *
 * Invariant: a mark is in the queue, synced, before anyone is told its gid, and the log up to it is durable. `done` moves
 * after the proxy has acknowledged, and only then may the log before it be overwritten. After a crash the volume is in
 * the steady state that its file says; what was under way is begun anew by whoever wants it.
 */
import { join } from "node:path";
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import type { Random } from "../../core/seams/random.ts";
import { VolumeFiles } from "../files/volume-files.ts";
import { NO_LSID } from "../formats/units.ts";
import { Refusal } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { decodeFile } from "../wire/values.ts";
import type { VolumeEngine } from "../volume/engine.ts";
import { isCutDue, type Mark, nextMark, nextTransfer, remaining, type Transfer } from "./cuts.ts";
import { decodeMark, decodeQueue, encodeMark, encodeQueue } from "./mark-files.ts";

export type SteadyState = "Clear" | "SyncReady" | "Stopped" | "Target" | "Standby";
export type PassingState =
  | "InitVol" | "ClearVol" | "StartStandby" | "StopStandby" | "FullSync" | "HashSync" | "StartTarget" | "StopTarget"
  | "Reset"; // prettier-ignore

export interface StorageWorld {
  disk: Disk;
  random: Random;
  clock: Clock;
  log: Log;
}

const isSteady = (text: string): text is SteadyState =>
  ["SyncReady", "Stopped", "Target", "Standby"].includes(text);

/** Marks that wait to be shipped: with more their file would be too long. */
export const MARKS_MAX = 10_000;

const NOTHING_DONE = (timestamp: number): Mark => ({
  isMergeable: false,
  timestamp,
  lsid: NO_LSID,
  gid: NO_LSID,
});

export class StorageVolume {
  readonly name: string;
  readonly directory: string;
  readonly #world: StorageWorld;
  readonly #shipBytesMax: number;
  #files!: VolumeFiles;
  #steady: SteadyState = "Clear";
  #passing: PassingState | undefined;
  #marking: Promise<unknown> = Promise.resolve();
  stopState: "NotStopping" | "Stopping" | "ForceStopping" = "NotStopping";
  path = "";
  uuid: Uint8Array = new Uint8Array(16);
  done: Mark = NOTHING_DONE(0);
  queue: Mark[] = [];
  /** Undefined: the volume that is meant is not there. */
  engine: VolumeEngine | undefined;
  isShipping = false;
  /** Blocks that a full copy or comparison has passed. */
  progressBlocks = 0;

  constructor(world: StorageWorld, directory: string, name: string, shipBytesMax: number) {
    this.#world = world;
    this.directory = join(directory, name);
    this.name = name;
    this.#shipBytesMax = shipBytesMax;
  }

  get state(): SteadyState | PassingState {
    return this.#passing ?? this.#steady;
  }

  get steadyState(): SteadyState {
    return this.#steady;
  }

  get nowSeconds(): number {
    return Math.floor(this.#world.clock.nowMs() / 1000);
  }

  get attached(): VolumeEngine {
    if (this.engine === undefined) throw new Refusal(`${this.name}: the volume ${this.path} is not there`);
    return this.engine;
  }

  /**
   * Log that should be shipped is not there any more: it was overwritten, or the log is of another history than the one
   * that `done` speaks of (power was lost while a log began anew).
   */
  get isOverflow(): boolean {
    const { engine } = this;
    if (engine === undefined) return false;
    if (engine.isOverflow) return true;
    const ships = this.#steady === "Target" || this.#steady === "Stopped";
    return ships && (!Buffer.from(engine.uuid).equals(this.uuid) || this.done.lsid > engine.log.written);
  }

  /** No point from here on would ever reach the archive. */
  demandNoOverflow(what: string): void {
    if (this.isOverflow)
      throw new Refusal(`${what}:overflow:${this.name}: the log has overflowed; reset-vol, then hash-bkp`);
  }

  /** Physical blocks of the longest transfer. */
  get physicalMax(): bigint {
    return BigInt(Math.max(1, Math.floor(this.#shipBytesMax / this.attached.physicalBytes)));
  }

  demandState(what: string, ...allowed: (SteadyState | PassingState)[]): void {
    if (!allowed.includes(this.state)) throw new Refusal(`${what}:bad state:${this.state}`);
    if (this.stopState !== "NotStopping") throw new Refusal(`${what}:stopping:${this.name}`);
  }

  /** Runs `work` in a passing state; however it ends, the volume is in a steady one again. */
  async during<Value>(state: PassingState, work: () => Promise<Value>): Promise<Value> {
    this.#passing = state;
    try {
      return await work();
    } finally {
      this.#passing = undefined;
    }
  }

  async #open(): Promise<void> {
    await makeDurableDirectory(this.#world.disk, this.directory);
    this.#files = await VolumeFiles.open(this.#world.disk, this.directory);
  }

  /** Reads what is there; the engine is attached by whoever opens volumes. */
  async load(): Promise<void> {
    await this.#open();
    const text = async (name: string) => {
      const bytes = await this.#files.read(name);
      return bytes === undefined ? "" : decodeFile(bytes, (reader) => reader.text());
    };
    const state = await text("state");
    // A directory without a state is what an interrupted init-vol left.
    if (!isSteady(state)) return;
    this.path = await text("path");
    this.uuid = (await this.#files.read("uuid")) ?? this.uuid;
    const [done, queue] = [await this.#files.read("done"), await this.#files.read("queue")];
    if (done !== undefined) this.done = await decodeMark(done);
    if (queue !== undefined) this.queue = remaining(await decodeQueue(queue), this.done);
    this.#steady = state;
  }

  attach(engine: VolumeEngine): void {
    this.engine = engine;
    this.#keepLog();
  }

  /** The log that is not shipped yet is kept; in states that never ship it, none is. */
  #keepLog(): void {
    const keeps = this.#steady === "Target" || this.#steady === "Stopped";
    this.engine?.keepLogFrom(keeps && this.done.lsid !== NO_LSID ? this.done.lsid : undefined);
  }

  async setState(state: SteadyState): Promise<void> {
    await this.#files.write("state", new Writer().text(state).bytes);
    this.#steady = state;
    this.#keepLog();
  }

  /** Makes the volume known; nothing of it was backed up. */
  async init(path: string, engine: VolumeEngine): Promise<void> {
    await this.#open();
    this.path = path;
    this.done = NOTHING_DONE(this.nowSeconds);
    this.queue = [];
    await this.#files.write("path", new Writer().text(path).bytes);
    await this.#files.write("uuid", this.uuid);
    await this.#files.write("done", encodeMark(this.done));
    await this.#files.write("queue", encodeQueue([], this.#world.random.integer(2 ** 32)));
    this.engine = engine;
    await this.setState("SyncReady");
  }

  /** Forgets the volume's backup; the volume itself stays. */
  async clear(): Promise<void> {
    const { disk } = this.#world;
    // The state goes first: without it the directory is nobody's.
    const names = ["state", ...(await disk.list(this.directory)).map(({ name }) => name)];
    for (const name of new Set(names))
      if (await disk.exists(join(this.directory, name))) await disk.remove(join(this.directory, name));
    await disk.removeDirectory(this.directory);
    this.#steady = "Clear";
    this.queue = [];
    this.#keepLog();
    this.engine = undefined;
  }

  /**
   * A new history of the log: its uuid, and `gid` as the point from which diffs lead. Where this fails behind the first step,
   * the log is of another history than ours: it counts as overflowed until this is repeated.
   */
  async resetLog(gid: bigint): Promise<void> {
    const engine = this.attached;
    await engine.reset();
    const done: Mark = { isMergeable: false, timestamp: this.nowSeconds, lsid: 0n, gid };
    const uuid = engine.uuid.slice();
    await this.#setQueue([]);
    await this.#files.write("done", encodeMark(done));
    this.done = done;
    await this.#files.write("uuid", uuid);
    this.uuid = uuid;
    engine.keepLogFrom(0n);
  }

  // --- marks -----------------------------------------------------------------------------------------------------

  /** Marks are made one after another. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = this.#marking.then(work, work);
    this.#marking = turn.catch(() => undefined);
    return turn;
  }

  /** Cuts the log where it is now: everything acknowledged so far is in the snapshot. Returns its gid. */
  snapshot(isMergeable: boolean): Promise<bigint> {
    return this.#inTurn(async () => {
      if (this.queue.length >= MARKS_MAX)
        throw new Refusal(`${this.name}: ${MARKS_MAX} snapshots wait to be shipped; is a proxy reachable?`);
      return await this.#cut(isMergeable);
    });
  }

  /** In turn only. */
  async #cut(isMergeable: boolean): Promise<bigint> {
    const lsid = this.attached.log.written;
    await this.attached.flush();
    const options = { physicalMax: this.physicalMax, isMergeable, timestamp: this.nowSeconds };
    const mark = nextMark(this.queue.at(-1) ?? this.done, lsid, options);
    await this.#setQueue([...this.queue, mark]);
    return mark.gid;
  }

  async #setQueue(queue: Mark[]): Promise<void> {
    await this.#files.write("queue", encodeQueue(queue, this.#world.random.integer(2 ** 32)));
    this.queue = queue;
  }

  /** Cuts the log if it is time to; whoever asked for a snapshot meanwhile has cut it. */
  cutIfDue(intervalMs: number): Promise<void> {
    return this.#inTurn(async () => {
      const now = {
        lsid: this.attached.log.written,
        timestamp: this.nowSeconds,
        intervalSeconds: intervalMs / 1000,
      };
      const isDue = this.queue.length < MARKS_MAX && isCutDue(this.done, this.queue, now);
      if (isDue) await this.#cut(true);
    });
  }

  nextTransfer(): Transfer | undefined {
    const { physicalMax, attached } = this;
    return nextTransfer(this.done, this.queue, { physicalMax, durable: attached.log.durable });
  }

  /** A proxy has it. */
  shipped({ to }: Transfer): Promise<void> {
    return this.#inTurn(async () => {
      await this.#files.write("done", encodeMark(to));
      this.done = to;
      // Marks that `done` has passed are dropped when the file is read, too.
      await this.#setQueue(remaining(this.queue, to));
      this.#keepLog();
    });
  }
}
