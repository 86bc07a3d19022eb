/**
 * The volumes of a storage: opened, served over NBD, made, grown and removed.
 *
 * Invariant: a volume is open once, and exported while it is open. Its files are closed before they are removed.
 */
import { basename, dirname, resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import { NbdServer, type NbdServerOptions } from "../nbd/server.ts";
import {
  createVolume,
  deleteVolume,
  listVolumes,
  measureDevice,
  volumeFiles,
  type VolumeShape,
} from "./directory.ts";
import { VolumeEngine, type VolumeWorld } from "./engine.ts";
import { VolumeExport } from "./export.ts";

export class Volumes {
  readonly directory: string;
  readonly #world: VolumeWorld;
  readonly #exports = new Map<string, VolumeExport>();
  readonly nbd: NbdServer;
  /** The log of a volume was made longer. */
  onLog: (name: string) => void = () => undefined;

  constructor(world: VolumeWorld, directory: string, nbd: Omit<NbdServerOptions, "exports">) {
    this.#world = world;
    this.directory = directory;
    this.nbd = new NbdServer({ ...nbd, exports: () => this.#exports });
  }

  /** Opens every volume in the directory. */
  async openAll(progress: (text: string) => void): Promise<void> {
    const { disk } = this.#world;
    if (!(await disk.exists(this.directory))) return;
    for (const name of await listVolumes(disk, this.directory)) {
      progress(`reading the log of volume ${name}`);
      await this.#open(name);
    }
  }

  async #open(name: string): Promise<VolumeEngine> {
    const engine = await VolumeEngine.open(this.#world, this.directory, name);
    engine.keepLogFrom(undefined);
    engine.events = { onReady: () => undefined, onLog: () => this.onLog(name) };
    this.#exports.set(name, new VolumeExport(engine));
    const { packs, cut, destroyed } = engine.recovered;
    if (packs + cut > 0)
      this.#world.log.info(
        `the log of ${name} was redone: ${packs} packs, ${cut} cut, ${destroyed} destroyed`,
      );
    return engine;
  }

  get all(): ReadonlyMap<string, VolumeExport> {
    return this.#exports;
  }

  get(name: string): VolumeEngine | undefined {
    return this.#exports.get(name)?.engine;
  }

  demand(name: string): VolumeEngine {
    const engine = this.get(name);
    if (engine === undefined) {
      const known = [...this.#exports.keys()].join(", ");
      throw new NxError(
        "NX_USAGE",
        `there is no volume ${name}${known === "" ? "" : ` (there are: ${known})`}`,
        {
          hint: "`node-x walb volume create` makes one",
        },
      );
    }
    return engine;
  }

  /**
   * The volume that a device of the controller means: its name, `/dev/walb/NAME`, its directory, a file in that, or the
   * block device that is its image.
   */
  find(device: string): VolumeEngine | undefined {
    const path = device.startsWith("/") ? resolve(device) : device;
    for (const [name, { engine }] of this.#exports) {
      const { directory, data, log } = volumeFiles(this.directory, name);
      const meant = [name, directory, data, log, engine.blockDevice];
      if (meant.includes(path) || (dirname(path) === "/dev/walb" && basename(path) === name)) return engine;
    }
    return undefined;
  }

  /** Of a block device of this host, with what is on it. */
  async createOn(
    name: string,
    device: string,
    shape: Omit<VolumeShape, "bytes" | "device">,
  ): Promise<VolumeEngine> {
    const owner = this.find(device);
    if (owner !== undefined) throw new NxError("NX_USAGE", `${device} is the volume ${owner.name} already`);
    const bytes = await measureDevice(this.#world.disk, device);
    return await this.create(name, { ...shape, bytes, device });
  }

  async create(name: string, shape: VolumeShape): Promise<VolumeEngine> {
    await createVolume(this.#world, this.directory, name, shape);
    return await this.#open(name);
  }

  async grow(name: string, bytes: number): Promise<void> {
    await this.demand(name).grow(bytes);
    this.nbd.resizeExport(name, bytes);
  }

  async delete(name: string): Promise<void> {
    const engine = this.demand(name);
    const { clients } = this.#exports.get(name) as VolumeExport;
    if (clients > 0)
      throw new NxError("NX_USAGE", `${clients} NBD clients use ${name}`, { hint: "disconnect them first" });
    this.#exports.delete(name);
    await engine.close();
    await deleteVolume(this.#world.disk, this.directory, name);
  }

  async close(): Promise<void> {
    this.nbd.close();
    for (const { engine } of this.#exports.values()) await engine.close();
    this.#exports.clear();
  }
}
