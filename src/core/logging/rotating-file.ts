/**
 * A log file that rotates itself by size and can be reopened after logrotate moved it away.
 *
 * Invariant: writing never throws: what cannot be written (a full disk, say) is counted, and one line reports the count
 * once writing works again. Lines are appended with one write each (O_APPEND). `root.log` is current, `root.log.1` the
 * newest rotated one. A crash can leave the last line cut; the next start ends it before it writes.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, NxError } from "../errors.ts";
import type { LogSink } from "./log.ts";

export interface RotatingFileOptions {
  bytesMax: number;
  /** The current file included. */
  filesMax: number;
}

export class RotatingFile implements LogSink {
  readonly path: string;
  readonly #options: RotatingFileOptions;
  #fd: number | undefined;
  #size = 0;
  #lost = 0;
  /** The file ends inside a line. */
  #isCut = false;

  /** Throws NX_DATA_DIR_UNUSABLE when the file cannot be opened: better at the start than never noticed. */
  constructor(path: string, options: RotatingFileOptions) {
    this.path = path;
    this.#options = options;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      this.#open();
    } catch (error) {
      throw new NxError(
        "NX_DATA_DIR_UNUSABLE",
        `the log file ${path} cannot be opened (${errnoOf(error) ?? (error as Error).message})`,
        {
          hint: "let this user write there, or choose other files with log.file and log.statsFile",
          cause: error,
        },
      );
    }
  }

  /** Lines that could not be written so far and were not reported yet. */
  get lostLines(): number {
    return this.#lost;
  }

  write(line: string): void {
    const lost = this.#lost > 0 ? `[${this.#lost} lines could not be written here]\n` : "";
    const bytes = Buffer.from(`${this.#isCut ? "\n" : ""}${lost}${line}\n`);
    try {
      if (this.#size >= this.#options.bytesMax) this.#rotate();
      if (this.#fd === undefined) this.#open();
      const written = writeSync(this.#fd as number, bytes);
      this.#size += written;
      this.#isCut = written < bytes.byteLength && (written > 0 || this.#isCut);
      if (written === bytes.byteLength) this.#lost = 0;
      else this.#lost++;
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
    const fd = openSync(this.path, "a+", 0o640);
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
    const last = Buffer.alloc(1);
    this.#isCut = this.#size > 0 && readSync(fd, last, 0, 1, this.#size - 1) === 1 && last[0] !== 0x0a;
  }

  #rotate(): void {
    this.close();
    const name = (index: number) => (index === 0 ? this.path : `${this.path}.${index}`);
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
