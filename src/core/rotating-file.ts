/**
 * A log file that rotates itself by size and can be reopened after logrotate moved it away.
 *
 * Invariant: writing never throws and never blocks service on a full disk: what cannot be written is counted and
 * reported by one line once writing works again. Lines are appended with one write each (O_APPEND), so several
 * processes never cut each other's lines. `root.log` is current, `root.log.1` the newest rotated one.
 */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { LogSink } from "./log.ts";

export interface RotatingFileOptions {
  bytesMax: number;
  /** The current file included. */
  filesMax: number;
}

export class RotatingFile implements LogSink {
  readonly #path: string;
  readonly #options: RotatingFileOptions;
  #fd: number | undefined;
  #size = 0;
  #lost = 0;

  constructor(path: string, options: RotatingFileOptions) {
    this.#path = path;
    this.#options = options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#open();
  }

  /** Lines that could not be written so far and were not reported yet. */
  get lostLines(): number {
    return this.#lost;
  }

  write(line: string): void {
    const text = this.#lost > 0 ? `[${this.#lost} lines could not be written here]\n${line}\n` : `${line}\n`;
    try {
      if (this.#size >= this.#options.bytesMax) this.#rotate();
      if (this.#fd === undefined) this.#open();
      this.#size += writeSync(this.#fd as number, text);
      this.#lost = 0;
    } catch {
      this.#lost++;
    }
  }

  /** Opens the path again: for SIGHUP after another program renamed the file. */
  reopen(): void {
    this.close();
    try {
      this.#open();
    } catch {
      // The next write tries again and counts what it loses.
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): void {
    this.#fd = openSync(this.#path, "a", 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  #rotate(): void {
    this.close();
    const name = (index: number) => (index === 0 ? this.#path : `${this.#path}.${index}`);
    rmSync(name(this.#options.filesMax - 1), { force: true });
    for (let index = this.#options.filesMax - 2; index >= 0; index--) {
      try {
        renameSync(name(index), name(index + 1));
      } catch {
        // A gap in the numbering: nothing to move.
      }
    }
    this.#open();
  }
}
