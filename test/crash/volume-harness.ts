/**
 * Power loss under a volume: the real engine on a simulated disk, a client that writes, flushes, trims and overwrites, and
 * every state that each moment can leave.
 *
 * What a start finds must be the volume after the first n changes for one n: all that were flushed, none by half, none out
 * of order. And what was lost once must not come back when the power goes a second time.
 */
import { VolumeEngine } from "../../src/backup/volume/engine.ts";
import { VolumeExport } from "../../src/backup/volume/export.ts";
import { volumeFiles } from "../../src/backup/volume/directory.ts";
import type { NbdPeer } from "../../src/backup/nbd/device.ts";
import { encodeSuperBlock, ringStart, SUPER_OFFSET } from "../../src/backup/formats/log-device.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import type { Disk } from "../../src/core/seams/disk.ts";
import type { Random } from "../../src/core/seams/random.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { type CrashModel, crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { join } from "node:path";
import { NO_LSID } from "../../src/backup/formats/units.ts";
import { StorageVolume } from "../../src/backup/storage/volume.ts";
import { NbdTransmission } from "../../src/native/nbd.ts";
import type { Exploration, Subject } from "./backup-harness.ts";
import { keyOf, models } from "./log-harness.ts";

const DIRECTORY = "/data";
const NAME = "vol1";
const BLOCKS = 32;
const BYTES = BLOCKS * 512;
const RING_BLOCKS = 40;
const STATES_MAX = 60;

type Change =
  | { do: "write"; block: number; blocks: number; isDurable?: boolean }
  | { do: "trim"; block: number; blocks: number }
  | { do: "flush" }
  /** Long enough for everything to reach the data file and the super block. */
  | { do: "rest" };

/** A client of an engine, without a network. */
export class Client {
  readonly #engine: VolumeEngine;
  readonly #transmission: NbdTransmission;
  readonly #device;
  readonly #answers = new Map<bigint, (error: number) => void>();
  #cookie = 0n;

  constructor(engine: VolumeEngine) {
    this.#engine = engine;
    this.#transmission = new NbdTransmission({
      ...{
        id: 1,
        bytes: BYTES,
        dataMax: 1 << 20,
        writeUnit: 512,
        isStructured: false,
        hasStatus: false,
        isReadOnly: false,
      },
    });
    const peer: NbdPeer = {
      transmission: this.#transmission,
      send: () => this.#take(this.#transmission.out.take()),
      sendBytes: (bytes) => this.#take(bytes),
      hold: () => undefined,
      terminate: () => undefined,
    };
    this.#device = new VolumeExport(engine).open(peer);
  }

  #take(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += 16)
      this.#answers.get(view.getBigUint64(at + 8))?.(view.getUint32(at + 4));
  }

  request(type: number, offset: number, length: number, data?: Uint8Array, flags = 0): Promise<void> {
    const bytes = new Uint8Array(28 + (data?.byteLength ?? 0));
    const view = new DataView(bytes.buffer);
    const cookie = ++this.#cookie;
    view.setUint32(0, 0x25609513);
    view.setUint16(4, flags);
    view.setUint16(6, type);
    view.setBigUint64(8, cookie);
    view.setBigUint64(16, BigInt(offset));
    view.setUint32(24, length);
    if (data !== undefined) bytes.set(data, 28);
    const answer = new Promise<void>((resolve, reject) => {
      this.#answers.set(cookie, (error) =>
        error === 0 ? resolve() : reject(new Error(`NBD error ${error}`)),
      );
    });
    this.#device.feed(bytes);
    return answer;
  }

  get engine(): VolumeEngine {
    return this.#engine;
  }
}

/** The volume after each change. */
class Model {
  readonly images: Buffer[] = [Buffer.alloc(BYTES)];

  /** Applies a change, the n-th of all; returns the bytes of a write. */
  apply(change: Change, salt: number): Uint8Array | undefined {
    if (change.do === "flush" || change.do === "rest") return undefined;
    const image = Buffer.from(this.images.at(-1) as Buffer);
    const data = Buffer.alloc(change.blocks * 512);
    if (change.do === "write")
      for (let at = 0; at < data.byteLength; at += 4)
        data.writeUInt32LE((salt << 16) | (this.images.length << 8) | (at / 512), at);
    data.copy(image, change.block * 512);
    this.images.push(image);
    return change.do === "write" ? data : undefined;
  }

  get changes(): number {
    return this.images.length - 1;
  }
}

/** What a test takes away from the engine. */
export interface Taken {
  wrapDisk?: Subject;
}

export class VolumeWorld {
  readonly scheduler: Scheduler;
  readonly sim: SimDisk;
  readonly random: Random;
  clock: SimClock;
  readonly disk: Disk;

  constructor(seed: number, { wrapDisk = (disk) => disk }: Taken, state?: DirectoryNode) {
    this.scheduler = new Scheduler(seed);
    this.sim = new SimDisk(this.scheduler);
    this.random = this.scheduler.fork();
    this.clock = new SimClock(this.scheduler);
    this.disk = wrapDisk(this.sim);
    if (state !== undefined) this.sim.restore(state);
    else this.run(() => this.#create());
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.scheduler.run(work, { timeLimitMs: 60_000_000 });
  }

  /** A volume whose log is small enough for every state of it to be looked at. */
  async #create(): Promise<void> {
    const files = volumeFiles(DIRECTORY, NAME);
    await this.sim.makeDirectory(files.directory);
    const log = await this.sim.open(files.log, "exclusive");
    await log.allocate((ringStart(512) + RING_BLOCKS) * 512);
    const superBlock = {
      physicalBytes: 512,
      metadataBlocks: 0,
      salt: 7,
      uuid: new Uint8Array(16),
      name: NAME,
    };
    const rest = {
      ringBlocks: BigInt(RING_BLOCKS),
      oldestLsid: 0n,
      writtenLsid: 0n,
      deviceBlocks: BigInt(BLOCKS),
    };
    await log.write(encodeSuperBlock({ ...superBlock, ...rest }), SUPER_OFFSET);
    await log.sync();
    const data = await this.sim.open(files.data, "exclusive");
    await data.truncate(BYTES);
    await data.sync();
    for (const path of [files.directory, DIRECTORY, "/"]) await this.sim.syncDirectory(path);
  }

  async open(): Promise<VolumeEngine> {
    const { disk, clock, random } = this;
    const engine = await VolumeEngine.open({ disk, clock, random, log: silentLog() }, DIRECTORY, NAME);
    engine.keepLogFrom(undefined);
    return engine;
  }

  /** The processes of before are gone, with their timers and what they had open. */
  restart(): void {
    this.sim.killProcess();
    this.clock.kill();
    this.clock = new SimClock(this.scheduler);
  }

  /** The whole volume as a client would read it. */
  async image(): Promise<Buffer> {
    const engine = await this.open();
    const image = Buffer.alloc(BYTES);
    await engine.read(image, 0);
    return image;
  }
}

export async function sleepOn(clock: SimClock, ms: number): Promise<void> {
  await new Promise<void>((resolve) => clock.after(ms, resolve));
}

/** Does the changes one after another; `onFlushed` hears how many are flushed. */
async function live(
  world: VolumeWorld,
  engine: VolumeEngine,
  changes: readonly Change[],
  model: Model,
  told: { onSubmitted?(): void; onFlushed?(count: number): void },
): Promise<void> {
  const client = new Client(engine);
  for (const change of changes) {
    const data = model.apply(change, 1);
    const count = model.changes;
    told.onSubmitted?.();
    if (change.do === "rest") await sleepOn(world.clock, 5000);
    else if (change.do === "flush") {
      await client.request(3, 0, 0);
      told.onFlushed?.(count);
    } else {
      const isDurable = change.do === "write" && change.isDurable === true;
      const type = change.do === "write" ? 1 : 4;
      await client.request(type, change.block * 512, change.blocks * 512, data, isDurable ? 1 : 0);
      if (isDurable) told.onFlushed?.(count);
    }
  }
}

/** Which n it is, the largest; -1 when the image is none of the model's. */
const versionOf = (image: Buffer, images: readonly Buffer[]) =>
  images.findLastIndex((each) => each.equals(image));

interface Point {
  after: string;
  disk: DirectoryNode;
  flushed: number;
  submitted: number;
}

/** Writes down every moment at which something on the disk changes. */
function recordMoments(world: VolumeWorld, take: (after: string, disk: DirectoryNode) => void): void {
  world.sim.onChange = (operation, path) => {
    if (["read", "size", "list", "exists", "close", "open"].includes(operation)) return;
    take(`${operation} ${path}`, world.sim.capture());
  };
}

/** Every state that each moment can leave, judged: `judge` says what is wrong with what was found in one. */
function visit<Moment extends { after: string; disk: DirectoryNode }, Found>(
  moments: readonly Moment[],
  find: (state: DirectoryNode) => Found,
  judge: (found: Found | string, moment: Moment) => string | undefined,
  statesMax = STATES_MAX,
): Exploration {
  const result: Exploration = { points: moments.length, states: 0, violations: [] };
  const known = new Map<string, Found | string>();
  for (const moment of moments) {
    for (const crashModel of models) {
      crashStates(moment.disk, crashModel, statesMax, (state) => {
        result.states += 1;
        const key = keyOf(state);
        let found = known.get(key);
        if (found === undefined) {
          try {
            found = find(state);
          } catch (error) {
            found = `refused: ${(error as Error).message}`;
          }
          known.set(key, found);
        }
        const wrong = judge(found, moment);
        const torn = crashModel.isTearing ? ", torn" : "";
        if (wrong !== undefined)
          result.violations.push(`after ${moment.after} (${crashModel.names}${torn}): ${wrong}`);
      });
    }
  }
  return result;
}

/** Every moment of a history of writes times every state that it can leave. */
export function exploreVolume(changes: readonly Change[], taken: Taken = {}): Exploration {
  const world = new VolumeWorld(7, taken);
  const model = new Model();
  const points: Point[] = [];
  let flushed = 0;
  world.run(async () => {
    const engine = await world.open();
    const take = (after: string, disk: DirectoryNode) =>
      points.push({ after, disk, flushed, submitted: model.changes });
    recordMoments(world, take);
    const onFlushed = (count: number) => {
      flushed = count;
      take(`flush ${count}`, world.sim.capture());
    };
    await live(world, engine, changes, model, { onFlushed });
  });
  world.sim.onChange = undefined;
  const find = (state: DirectoryNode) => {
    const restarted = new VolumeWorld(8, taken, state);
    const image = restarted.run(() => restarted.image());
    return versionOf(image, model.images);
  };
  return visit(points, find, (version, point) => {
    if (typeof version === "string") return version;
    if (version < 0) return "an image that never was";
    if (version < point.flushed) return `${version} of ${point.flushed} flushed`;
    return version > point.submitted ? `${version} of ${point.submitted} made` : undefined;
  });
}

/** What a storage knows of a volume's backup after a start. */
interface Known {
  state: string;
  /** Of `done` and of the queue. */
  gids: bigint[];
  isOverflow: boolean;
  /** Marks behind the end of the log. */
  homeless: number;
}

interface Promised {
  after: string;
  disk: DirectoryNode;
  states: string[];
  /** Told to somebody. */
  gids: bigint[];
  mustShip: boolean;
}

/** init-vol, a log that begins anew, snapshots, a transfer, reset-vol: every moment times every state. */
export function exploreBackup(taken: Taken = {}, statesMax = 16): Exploration {
  const world = new VolumeWorld(7, taken);
  const open = (of: VolumeWorld) => {
    const { disk, random, clock } = of;
    return new StorageVolume(
      { disk, random, clock, log: silentLog() },
      join(DIRECTORY, "backup"),
      NAME,
      1 << 20,
    );
  };
  const moments: Promised[] = [];
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    let promised: Omit<Promised, "after" | "disk"> = {
      states: ["Clear", "SyncReady"],
      gids: [],
      mustShip: false,
    };
    const take = (after: string, disk: DirectoryNode) => moments.push({ after, disk, ...promised });
    const promise = (next: Partial<typeof promised>) => {
      promised = { ...promised, ...next };
      take(`the promise of ${promised.states.join()} ${promised.gids.join()}`, world.sim.capture());
    };
    recordMoments(world, take);
    const volume = open(world);
    await volume.init(NAME, engine);
    promise({ states: ["SyncReady"] });
    await volume.resetLog(0n);
    promised = { ...promised, states: ["SyncReady", "Stopped", "Target"] };
    await volume.setState("Stopped");
    await volume.setState("Target");
    promise({ states: ["Target"], mustShip: true });
    const gids: bigint[] = [];
    for (let round = 0; round < 2; round++) {
      await client.request(1, round * 2048, 1024, new Uint8Array(1024).fill(round + 1));
      gids.push(await volume.snapshot(false));
      promise({ gids: [...gids] });
    }
    const transfer = volume.nextTransfer();
    if (transfer === undefined) throw new Error("nothing to ship");
    // The proxy has it: from here on the first may be gone.
    promised = { ...promised, gids: gids.slice(1) };
    await volume.shipped(transfer);
    promise({});
    promised = { states: ["Target", "Stopped", "SyncReady"], gids: [], mustShip: false };
    await volume.setState("Stopped");
    await volume.resetLog(9n);
    await volume.setState("SyncReady");
    promise({ states: ["SyncReady"] });
  });
  world.sim.onChange = undefined;
  const find = (state: DirectoryNode): Known => {
    const restarted = new VolumeWorld(8, taken, state);
    return restarted.run(async () => {
      const engine = await restarted.open();
      const volume = open(restarted);
      await volume.load();
      volume.attach(engine);
      const marks = [volume.done, ...volume.queue];
      const homeless = marks.filter(({ lsid }) => lsid !== NO_LSID && lsid > engine.log.written).length;
      return {
        state: volume.state,
        gids: marks.map(({ gid }) => gid),
        isOverflow: volume.isOverflow,
        homeless,
      };
    });
  };
  return visit(
    moments,
    find,
    (known, { states, gids, mustShip }) => {
      if (typeof known === "string") return known;
      if (!states.includes(known.state)) return `the state is ${known.state}, wanted ${states.join(" or ")}`;
      const lost = gids.filter((gid) => !known.gids.includes(gid));
      if (lost.length > 0) return `the snapshots ${lost.join()} are not known any more`;
      if (mustShip && known.isOverflow) return "the log that is to be shipped is lost";
      const ships = known.state === "Target" || known.state === "Stopped";
      return ships && known.homeless > 0 && !known.isOverflow
        ? "a mark lies behind the end of the log"
        : undefined;
    },
    statesMax,
  );
}

/** Random lives: changes, power loss, start, again and again; violations by seed. */
export function surviveCrashes(seed: number, lives: number, taken: Taken = {}): string[] {
  const world = new VolumeWorld(seed, taken);
  const { random } = world;
  const model = new Model();
  const violations: string[] = [];
  let flushed = 0;
  for (let life = 0; life < lives && violations.length === 0; life++) {
    const count = 1 + random.integer(14);
    const changes: Change[] = Array.from({ length: count }, () => randomChange(random));
    const stopAfterMs = random.integer(4) === 0 ? 2000 * random.integer(100) : 3 * random.integer(100);
    world.run(async () => {
      const engine = await world.open();
      const work = live(world, engine, changes, model, {
        onFlushed: (flushedCount) => (flushed = flushedCount),
      });
      work.catch(() => undefined);
      await Promise.race([work, sleepOn(world.clock, stopAfterMs / 10)]);
    });
    const crashModel = models[random.integer(models.length)] as CrashModel;
    world.sim.crash(crashModel);
    world.restart();
    try {
      const image = world.run(() => world.image());
      const version = versionOf(image, model.images);
      if (version < flushed) violations.push(`seed ${seed}, life ${life}: ${version} of ${flushed} flushed`);
      // What was lost is gone: the volume goes on from what was found.
      model.images.length = 0;
      model.images.push(image);
      flushed = 0;
      world.restart();
    } catch (error) {
      violations.push(`seed ${seed}, life ${life}: ${(error as Error).message}`);
    }
  }
  return violations;
}

function randomChange(random: Random): Change {
  const kind = random.integer(10);
  if (kind === 0) return { do: "flush" };
  if (kind === 1 && random.integer(3) === 0) return { do: "rest" };
  const blocks = 1 + random.integer(5);
  const block = random.integer(BLOCKS - blocks + 1);
  if (kind === 2) return { do: "trim", block, blocks };
  return { do: "write", block, blocks, isDurable: random.integer(8) === 0 };
}
