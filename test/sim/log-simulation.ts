/**
 * A long life of one log: random appends, compactions, kills, power losses, failing calls, full disks,
 * flipped bits.
 *
 * Invariant checked at each restart: what is replayed is a prefix of what was ever appended, at least as long
 * as what was acknowledged or replayed before. The whole run is a function of its seed.
 */
import { NxError } from "../../src/core/errors.ts";
import type { LogFile, LogListener } from "../../src/core/append-log/log-file.ts";
import type { Random } from "../../src/core/seams/random.ts";
import type { Clock } from "../../src/core/seams/clock.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk, type PlannedFailure } from "../../src/core/sim/disk.ts";
import { SimProcess } from "../../src/core/sim/process.ts";
import { FaultCounts } from "../../src/core/sim/faults.ts";
import { Scheduler, SimulationError } from "../../src/core/sim/scheduler.ts";
import { DIRECTORY, makeDataDirectory, openLog, restart, whole, type Subject } from "../crash/log-harness.ts";

export interface LogSimulation {
  seed: number;
  lives: number;
  appends: number;
  compactions: number;
  simulatedMs: number;
  traceHash: string;
  faults: FaultCounts;
}

/** Kinds of faults that a set of simulations has to have met. */
export const expectedFaults = [
  "power loss",
  "process killed",
  "unsynced change lost",
  "unsynced change kept",
  "disk full",
  "sync failed with EIO",
  "write failed with EIO",
  "write failed with ENOSPC",
  "bit flipped",
  "flip detected",
] as const;

/** Bytes ever appended, and how many of them must be found again. */
class Model {
  certain = 0;
  length = 0;
  #bytes = new Uint8Array(1 << 16);

  append(record: Uint8Array): void {
    if (this.length + record.byteLength > this.#bytes.byteLength) {
      const larger = new Uint8Array(2 * (this.length + record.byteLength));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(record, this.length);
    this.length += record.byteLength;
  }

  content(length = this.length): Uint8Array {
    return this.#bytes.subarray(0, length);
  }

  /** A restart found `found`: from here on that is the truth. Throws when it cannot be. */
  accept(found: Uint8Array): void {
    if (found.byteLength < this.certain) {
      throw new SimulationError(
        `lost: ${this.certain} bytes were certain, a restart found ${found.byteLength}`,
      );
    }
    if (found.byteLength > this.length || Buffer.compare(found, this.content(found.byteLength)) !== 0) {
      throw new SimulationError("a restart found bytes that were never appended");
    }
    this.length = found.byteLength;
    this.certain = found.byteLength;
  }
}

type End = "closed" | "crashed" | "failed";

class Simulation {
  readonly scheduler: Scheduler;
  readonly result: LogSimulation;
  #disk: SimDisk;
  #random: Random;
  #subject: Subject;
  #model = new Model();
  #stepsLeft: number;
  #life = 0;

  constructor(seed: number, steps: number, subject: Subject) {
    this.scheduler = new Scheduler(seed);
    this.#random = this.scheduler.fork();
    const latencyMeanMs = [0.01, 0.2, 5][this.#random.integer(3)] as number;
    const sectorBytes = this.#random.integer(2) === 0 ? 512 : 4096;
    this.#disk = new SimDisk(this.scheduler, { latencyMeanMs, sectorBytes });
    this.#subject = subject;
    this.#stepsLeft = steps;
    const faults = this.#disk.faults;
    this.result = { seed, lives: 0, appends: 0, compactions: 0, simulatedMs: 0, traceHash: "", faults };
  }

  async run(): Promise<void> {
    await makeDataDirectory(this.#disk);
    while (this.#stepsLeft > 0) {
      this.#life += 1;
      this.result.lives += 1;
      const end = await this.#live(this.#life);
      this.scheduler.trace(`life ${this.#life} ${end}, ${this.#model.certain} bytes certain`);
      this.#disk.failLater(undefined);
      this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
      if (end === "closed") this.#flipOneBit();
    }
    this.result.simulatedMs = Math.round(this.scheduler.timeMs);
    this.result.traceHash = this.scheduler.traceHash;
  }

  /** One process, from its start to its end, however that comes. */
  #live(life: number): Promise<End> {
    const process = new SimProcess(this.scheduler, this.#disk);
    return new Promise((resolve, reject) => {
      const die = () => {
        process.kill();
        if (this.#random.integer(3) > 0)
          this.#disk.crash({ names: this.#random.integer(2) === 0 ? "ordered" : "any", isTearing: true });
        resolve("crashed");
      };
      if (this.#random.integer(3) > 0) process.clock.after(-Math.log(1 - this.#random.float()) * 300, die);
      this.#work(life, process).then(resolve, (error: unknown) => {
        if (!(error instanceof NxError)) return reject(error);
        if (error.code !== "NX_DISK_FAILED" && error.code !== "NX_DISK_FULL") return reject(error);
        // A process whose log failed stops; what it leaves behind is as after a kill.
        process.kill();
        resolve("failed");
      });
    });
  }

  /** A planned failure that lasts would make a waiting log wait for ever: an operator comes after a while. */
  #failForAWhile(clock: Clock): void {
    this.#disk.failLater(this.#failure());
    clock.after(500, () => this.#disk.failLater(undefined));
  }

  async #work(life: number, process: SimProcess): Promise<End> {
    const { clock, disk } = process;
    const model = this.#model;
    const listener: LogListener = {
      onDurable: (position) => {
        if (life === this.#life) model.certain = position;
      },
    };
    const { log, replayed } = await openLog(disk, this.scheduler, clock, this.#subject, listener);
    model.accept(replayed);
    for (let step = 5 + this.#random.integer(60); step > 0 && this.#stepsLeft > 0; step--) {
      this.#stepsLeft -= 1;
      await this.#step(log, clock);
    }
    this.#disk.failLater(undefined);
    this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
    await log.close();
    process.exit();
    return "closed";
  }

  async #step(log: LogFile, clock: Clock): Promise<void> {
    const dice = this.#random.integer(100);
    if (dice < 60) this.#append(log);
    else if (dice < 75) await this.#pause(clock, this.#random.integer(30));
    else if (dice < 85) await log.flush();
    else if (dice < 91) this.#compact(log);
    else if (dice < 94) this.#failForAWhile(clock);
    else if (dice < 96) this.#disk.failLater(undefined);
    else if (dice < 98) await this.#fillDisk(log, clock);
    else await this.#pause(clock, 200);
  }

  #append(log: LogFile): void {
    for (
      let count = this.#random.integer(4);
      count >= 0 && log.state === "open" && !log.isCongested;
      count--
    ) {
      const record = this.#random.bytes(1 + this.#random.integer(600));
      log.append(record);
      this.#model.append(record);
      this.result.appends += 1;
    }
  }

  #compact(log: LogFile): void {
    if (log.state !== "open" || !log.isCompactionDue(2000, 0.5)) return;
    const copy = this.#model.content().slice();
    const chunks = function* () {
      for (let at = 0; at < copy.byteLength; at += 1500) yield copy.subarray(at, at + 1500);
    };
    log.compact(chunks).then(
      () => {
        this.result.compactions += 1;
      },
      // A snapshot that failed leaves the log as it was; whether the log lives is seen elsewhere.
      (error: unknown) => {
        if (!(error instanceof NxError)) throw error;
      },
    );
  }

  /** The disk runs full for a while, then an operator makes room. */
  async #fillDisk(log: LogFile, clock: Clock): Promise<void> {
    this.#disk.capacityBytes = this.#disk.usedBytes() + this.#random.integer(3000);
    for (let count = 0; count < 10; count++) {
      this.#append(log);
      await this.#pause(clock, 10);
    }
    this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
  }

  #failure(): PlannedFailure {
    const errno = this.#random.integer(2) === 0 ? "EIO" : "ENOSPC";
    const operations = [["sync"], ["write"], ["rename"], undefined][this.#random.integer(4)];
    const plan = {
      nth: 1 + this.#random.integer(6),
      isSticky: this.#random.integer(2) === 0,
      errno,
    } as const;
    return operations === undefined
      ? plan
      : { ...plan, operations: operations as PlannedFailure["operations"] & {} };
  }

  /** After a clean stop everything is sealed: a flipped bit must be reported, or change nothing. */
  #flipOneBit(): void {
    const before = this.#disk.capture();
    const files = filesIn(before);
    const [name, size] = files[this.#random.integer(files.length)] as [string, number];
    if (size === 0) return;
    this.#disk.flipBit(`${DIRECTORY}/${name}`, this.#random.integer(8 * size));
    try {
      const found = restart(this.#disk.capture(), this.#subject);
      if (Buffer.compare(found, this.#model.content()) !== 0) {
        throw new SimulationError(`a flipped bit in ${name} went unnoticed`);
      }
    } catch (error) {
      if (!(error instanceof NxError) || error.code !== "NX_DATA_CORRUPT") throw error;
      this.#disk.faults.count("flip detected");
    }
    this.#disk.restore(before);
  }

  #pause(clock: Clock, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      clock.after(delayMs, resolve);
    });
  }
}

function filesIn(root: DirectoryNode): [string, number][] {
  const data = root.entries.get("data");
  const log = data?.kind === "directory" ? data.entries.get("log") : undefined;
  if (log?.kind !== "directory") return [];
  return [...log.entries].flatMap(([name, node]): [string, number][] =>
    node.kind === "file" ? [[name, node.size]] : [],
  );
}

/** Runs `steps` random steps from `seed`; throws with the seed when the log breaks a promise. */
export function runLogSimulation(seed: number, steps: number, subject: Subject = whole): LogSimulation {
  const simulation = new Simulation(seed, steps, subject);
  try {
    simulation.scheduler.run(() => simulation.run(), { timeLimitMs: 3_600_000 });
  } catch (error) {
    throw new SimulationError(`log simulation, seed ${seed}, ${steps} steps: ${error}`, { cause: error });
  }
  return simulation.result;
}
