/**
 * A simulated cluster: hosts with a disk, processes with all seams, one network, one scheduler, one seed.
 *
 * Invariant: a process touches its world only through `SimProcess.world`, and that stops when the process
 * dies. What outlives it is what outlives a real one: its host's disk, and bytes already on the wire.
 *
 *   const cluster = new SimCluster(seed);
 *   const host = cluster.host("10.0.0.1");
 *   cluster.scheduler.run(async () => {
 *     const process = host.start();
 *     await role.start({ ...process.world, … });
 *     host.losePower({ names: "any", isTearing: true });
 *   });
 */
import type { Net } from "../seams/net.ts";
import type { World } from "../role.ts";
import type { SimClockOptions } from "./clock.ts";
import type { CrashModel } from "./disk-crash.ts";
import { SimDisk, type SimDiskOptions } from "./disk.ts";
import { FaultCounts } from "./faults.ts";
import { SimNetwork, type SimNetOptions } from "./net.ts";
import { SimProcess } from "./process.ts";
import { Scheduler } from "./scheduler.ts";

export interface SimClusterOptions {
  disk?: SimDiskOptions;
  net?: SimNetOptions;
  /** Keeps the lines given to `scheduler.trace`, for people. */
  keepTrace?: boolean;
}

export class SimCluster {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  #options: SimClusterOptions;
  #hosts = new Map<string, SimHost>();

  constructor(seed: number, options: SimClusterOptions = {}) {
    this.scheduler = new Scheduler(seed, { keepTrace: options.keepTrace === true });
    this.network = new SimNetwork(this.scheduler, options.net);
    this.#options = options;
  }

  /** The host of this address, made when it is first asked for. */
  host(address: string): SimHost {
    let host = this.#hosts.get(address);
    if (host === undefined) {
      host = new SimHost(address, this.scheduler, this.network, this.#options.disk);
      this.#hosts.set(address, host);
    }
    return host;
  }

  /** Faults of the network and all disks together. */
  faults(): FaultCounts {
    const all = new FaultCounts();
    all.add(this.network.faults);
    for (const { disk } of this.#hosts.values()) all.add(disk.faults);
    return all;
  }
}

/** One process of a host, with everything a role gets. */
export interface RunningProcess {
  readonly world: World;
  readonly isAlive: boolean;
}

export class SimHost {
  readonly address: string;
  readonly disk: SimDisk;
  #scheduler: Scheduler;
  #network: SimNetwork;
  #process: SimProcess | undefined;

  constructor(address: string, scheduler: Scheduler, network: SimNetwork, options?: SimDiskOptions) {
    this.address = address;
    this.disk = new SimDisk(scheduler, options);
    this.#scheduler = scheduler;
    this.#network = network;
  }

  /** Starts the host's process; the previous one must be gone. */
  start(options: SimClockOptions = {}): RunningProcess {
    if (this.#process?.isAlive === true) throw new Error(`a process still runs on ${this.address}`);
    const process = new SimProcess(this.#scheduler, this.disk, options);
    this.#process = process;
    const net = whileAlive(this.#network.host(this.address), () => process.isAlive);
    const world = { clock: process.clock, random: this.#scheduler.fork(), disk: process.disk, net };
    return {
      world,
      get isAlive() {
        return process.isAlive;
      },
    };
  }

  /** The process dies; disk contents stay in doubt as they were, peers see their connections reset. */
  killProcess(): void {
    this.#process?.kill();
    this.#network.kill(this.address, "process");
  }

  /** The host loses power: its disk keeps one of the allowed states, peers hear nothing. */
  losePower(model: CrashModel): void {
    this.#process?.exit();
    this.disk.crash(model);
    this.#network.kill(this.address, "power");
  }
}

/** A dead process neither listens nor connects; its sockets were closed with it. */
function whileAlive(net: Net, isAlive: () => boolean): Net {
  const never = () => new Promise<never>(() => undefined);
  return {
    listen: (options) => (isAlive() ? net.listen(options) : never()),
    connect: (options) => (isAlive() ? net.connect(options) : never()),
  };
}
