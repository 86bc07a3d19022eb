/**
 * The commands of LVM that an archive needs, and what they print. No policy: names and sizes are the caller's.
 *
 * Invariant: every command is one run of a program, and its failure is an error with what the program said. A volume is
 * there for others when its device node is; `create` and its kin wait for that.
 */
import { join } from "node:path";
import { NxError } from "../../../core/errors.ts";
import type { RunCommand } from "../../../core/kernel/run-command.ts";
import { type Clock, sleep } from "../../../core/seams/clock.ts";
import type { Disk } from "../../../core/seams/disk.ts";

export interface LogicalVolume {
  name: string;
  /** Empty when it is no snapshot. */
  origin: string;
  bytes: number;
  pool: string;
  /** lv_attr: the first letter is its type, the second w or r. */
  attributes: string;
}

const FIELDS = "lv_name,origin,lv_size,vg_name,pool_lv,lv_attr";
const NODE_POLL_MS = 20;
const NODE_WAIT_MS = 10_000;
/** A listing is asked for again after this long, or after a change of ours. */
const LISTING_MS = 2000;

export interface LvmOptions {
  run: RunCommand;
  clock: Clock;
  disk: Disk;
  volumeGroup: string;
  /** Where device nodes are: /dev. */
  deviceDirectory: string;
}

export class Lvm {
  readonly #options: LvmOptions;
  #listing: { volumes: Promise<LogicalVolume[]>; atMs: number } | undefined;

  constructor(options: LvmOptions) {
    this.#options = options;
  }

  pathOf(name: string): string {
    return join(this.#options.deviceDirectory, this.#options.volumeGroup, name);
  }

  async #run(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.#options.run(words);
    if (status === 0) return stdout;
    throw new NxError("NX_DISK_FAILED", `${words.join(" ")}: ${stderr.trim() || `exit ${status}`}`, {
      hint: status === "no start" ? "install LVM (lvm2)" : "look at the volume group with `vgs` and `lvs`",
    });
  }

  async #change(...words: string[]): Promise<void> {
    this.#listing = undefined;
    await this.#run(...words).finally(() => (this.#listing = undefined));
  }

  async #awaitNode(name: string): Promise<void> {
    const { clock, disk } = this.#options;
    const deadlineMs = clock.monotonicMs() + NODE_WAIT_MS;
    while (!(await disk.exists(this.pathOf(name)))) {
      if (clock.monotonicMs() > deadlineMs)
        throw new NxError("NX_DISK_FAILED", `${this.pathOf(name)} does not appear`, {
          hint: "does udev make device nodes here?",
        });
      await sleep(clock, NODE_POLL_MS);
    }
  }

  async hasVolumeGroup(): Promise<boolean> {
    const { run, volumeGroup } = this.#options;
    return (await run(["vgs", "--noheadings", "-o", "vg_name", volumeGroup])).status === 0;
  }

  list(): Promise<LogicalVolume[]> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#listing === undefined || nowMs - this.#listing.atMs > LISTING_MS)
      this.#listing = { volumes: this.#list(), atMs: nowMs };
    return this.#listing.volumes;
  }

  async #list(): Promise<LogicalVolume[]> {
    const options = ["--noheadings", "--nosuffix", "--units", "b", "--separator", ",", "-o", FIELDS];
    const lines = (await this.#run("lvs", ...options, this.#options.volumeGroup)).split("\n");
    return lines
      .map((line) => line.trim().split(","))
      .filter((fields) => fields.length === FIELDS.split(",").length)
      .map(([name = "", origin = "", bytes = "", , pool = "", attributes = ""]) => ({
        ...{ name, origin, pool, attributes },
        bytes: Number(bytes),
      }));
  }

  async find(name: string): Promise<LogicalVolume | undefined> {
    return (await this.list()).find((volume) => volume.name === name);
  }

  async createLinear(name: string, bytes: number): Promise<void> {
    await this.#change("lvcreate", "-y", "-n", name, "-L", `${bytes}b`, this.#options.volumeGroup);
    await this.#awaitNode(name);
  }

  async createThin(name: string, bytes: number, pool: string): Promise<void> {
    const { volumeGroup } = this.#options;
    await this.#change(
      ...["lvcreate", "-y", "-n", name, "--virtualsize", `${bytes}b`],
      ...["--thinpool", pool, volumeGroup],
    );
    await this.#awaitNode(name);
  }

  /** A classic snapshot, with room for `bytes` of differences. */
  async snapshot(origin: string, name: string, bytes: number): Promise<void> {
    const { volumeGroup } = this.#options;
    await this.#change("lvcreate", "-y", "-s", "-n", name, "-L", `${bytes}b`, `${volumeGroup}/${origin}`);
    await this.#awaitNode(name);
  }

  /** A thin snapshot, active at once. */
  async thinSnapshot(origin: string, name: string, permission: "r" | "rw"): Promise<void> {
    const { volumeGroup } = this.#options;
    await this.#change(
      ...["lvcreate", "-y", "-s", "-k", "n", "-n", name],
      ...["--permission", permission, `${volumeGroup}/${origin}`],
    );
    await this.#awaitNode(name);
  }

  async setWritable(name: string): Promise<void> {
    await this.#change("lvchange", "--permission", "rw", `${this.#options.volumeGroup}/${name}`);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#change("lvrename", this.#options.volumeGroup, from, to);
    await this.#awaitNode(to);
  }

  async resize(name: string, bytes: number): Promise<void> {
    await this.#change("lvresize", "-f", "-L", `${bytes}b`, `${this.#options.volumeGroup}/${name}`);
  }

  /** Throws while someone has it open. */
  async remove(name: string): Promise<void> {
    const words = ["dmsetup", "info", "-c", "--noheadings", "-o", "open", this.pathOf(name)];
    const open = Number((await this.#run(...words)).trim());
    if (open > 0)
      throw new NxError("NX_NOT_READY", `${this.pathOf(name)} is in use`, {
        hint: "unmount it, and end what has it open",
      });
    await this.#change("lvremove", "-f", `${this.#options.volumeGroup}/${name}`);
  }
}
