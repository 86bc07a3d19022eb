/**
 * LVM as far as an archive uses it, over plain files: each command line is understood as LVM would, a snapshot is a copy.
 * What LVM would refuse is refused, so that a wrong order of commands is found.
 */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { CommandResult, RunCommand } from "../../../src/core/kernel/run-command.ts";

const EXTENT_BYTES = 64 << 10;

interface Volume {
  origin: string;
  pool: string;
  isReadOnly: boolean;
}

export class FakeLvm {
  /** Stands for /dev. */
  readonly devices: string;
  readonly commands: string[] = [];
  /** Names that someone has open. */
  readonly open = new Set<string>();
  readonly #group: string;
  readonly #volumes = new Map<string, Volume>();

  constructor(devices: string, group: string, pool = "") {
    this.devices = devices;
    this.#group = group;
    mkdirSync(join(devices, group), { recursive: true });
    if (pool !== "") this.#volumes.set(pool, { origin: "", pool: "", isReadOnly: false });
  }

  #left = Number.POSITIVE_INFINITY;

  /** Every command that changes something fails from the one behind this many on, as if the host had gone. */
  dieAfter(commands: number): void {
    this.#left = commands;
  }

  revive(): void {
    this.#left = Number.POSITIVE_INFINITY;
  }

  get names(): string[] {
    return [...this.#volumes.keys()].sort();
  }

  #path(name: string): string {
    return join(this.devices, this.#group, name);
  }

  readonly run: RunCommand = async (words): Promise<CommandResult> => {
    const line = words.join(" ").replaceAll(`${this.devices}/`, "/dev/");
    // Questions are asked too often to be counted.
    const isChange = !/^(lvs|vgs|dmsetup)/.test(line);
    if (isChange) this.commands.push(line);
    try {
      if (isChange && --this.#left < 0) throw new Error("the host is gone");
      return { status: 0, stdout: this.#do(words), stderr: "" };
    } catch (error) {
      return { status: 5, stdout: "", stderr: (error as Error).message };
    }
  };

  #do([program, ...words]: readonly string[]): string {
    const option = (name: string) => words[words.indexOf(name) + 1] as string;
    const last = (words.at(-1) as string).replace(`${this.#group}/`, "");
    const bytesOf = (text: string) => {
      if (!/^\d+b$/.test(text) || Number.parseInt(text, 10) % 512 !== 0) throw new Error(`bad size ${text}`);
      return Math.ceil(Number.parseInt(text, 10) / EXTENT_BYTES) * EXTENT_BYTES;
    };
    const known = (name: string): Volume => {
      const volume = this.#volumes.get(name);
      if (volume === undefined) throw new Error(`Failed to find logical volume "${this.#group}/${name}"`);
      return volume;
    };
    switch (program) {
      case "vgs":
        if (last !== this.#group) throw new Error(`Volume group "${last}" not found`);
        return ` ${last}\n`;
      case "lvs":
        return this.names.map((name) => `  ${this.#line(name)}\n`).join("");
      case "dmsetup":
        return this.open.has(last.split("/").at(-1) as string) ? " 1\n" : " 0\n";
      case "lvcreate": {
        const name = option("-n");
        if (this.#volumes.has(name)) throw new Error(`Logical volume "${name}" already exists`);
        if (words.includes("-s")) {
          const { pool } = known(last);
          const isThin = words.includes("-k");
          if (isThin !== (pool !== "")) throw new Error(`${last} is of the other kind`);
          copyFileSync(this.#path(last), this.#path(name));
          this.#volumes.set(name, {
            origin: last,
            pool,
            isReadOnly: option("--permission") === "r" && isThin,
          });
        } else {
          const isThin = words.includes("--thinpool");
          const pool = isThin ? option("--thinpool") : "";
          const bytes = bytesOf(option(isThin ? "--virtualsize" : "-L"));
          // A linear volume has what was on the disk before.
          writeFileSync(this.#path(name), isThin ? "" : Buffer.alloc(bytes, 0xa5));
          truncateSync(this.#path(name), bytes);
          this.#volumes.set(name, { origin: "", pool, isReadOnly: false });
        }
        return "";
      }
      case "lvrename": {
        const [, from = "", to = ""] = words;
        const volume = known(from);
        if (this.#volumes.has(to)) throw new Error(`Logical volume "${to}" already exists`);
        renameSync(this.#path(from), this.#path(to));
        this.#volumes.delete(from);
        this.#volumes.set(to, volume);
        for (const each of this.#volumes.values()) if (each.origin === from) each.origin = to;
        return "";
      }
      case "lvremove":
        known(last);
        if (this.open.has(last)) throw new Error(`Logical volume ${this.#group}/${last} in use.`);
        rmSync(this.#path(last));
        this.#volumes.delete(last);
        return "";
      case "lvresize": {
        known(last);
        const before = statSync(this.#path(last)).size;
        const bytes = bytesOf(option("-L"));
        if (bytes > before) {
          const isThin = known(last).pool !== "";
          appendFileSync(this.#path(last), Buffer.alloc(bytes - before, isThin ? 0 : 0xa5));
        }
        return "";
      }
      case "lvchange":
        known(last).isReadOnly = option("--permission") === "r";
        return "";
      default:
        throw new Error(`unknown program ${program}`);
    }
  }

  #line(name: string): string {
    const { origin, pool, isReadOnly } = this.#volumes.get(name) as Volume;
    const bytes = existsSync(this.#path(name)) ? statSync(this.#path(name)).size : 1 << 30;
    const type = !existsSync(this.#path(name)) ? "t" : pool !== "" ? "V" : origin !== "" ? "s" : "-";
    return [name, origin, bytes, this.#group, pool, `${type}${isReadOnly ? "r" : "w"}i-a-----`].join(",");
  }
}
