/**
 * Opens files although clients have taken every descriptor that this process may have.
 *
 * Some descriptors are held in reserve. When the kernel has none left, one of them is given up for the file, and files
 * that are closed fill the reserve again: on this thread and at once, so that no connection takes it in between.
 * Invariant: a log goes on to its next file, because it closes as many as it opens.
 */
import * as fs from "node:fs";
import { diskError } from "./disk-error.ts";

const SPARES = 8;
const MODE = 0o600;

export class SpareFiles {
  readonly #held: number[] = [];

  open(path: string, flags: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.open(path, flags, MODE, (error, fd) => {
        try {
          resolve(error === null || error === undefined ? fd : this.#openInstead(error, path, flags));
        } catch (failure) {
          reject(diskError(failure as NodeJS.ErrnoException, "open", path));
        }
        this.#refill();
      });
    });
  }

  #openInstead(error: NodeJS.ErrnoException, path: string, flags: number): number {
    const spare = error.code === "EMFILE" ? this.#held.pop() : undefined;
    if (spare === undefined) throw error;
    fs.closeSync(spare);
    return fs.openSync(path, flags, MODE);
  }

  close(path: string, fd: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: NodeJS.ErrnoException | null) =>
        error === null || error === undefined ? resolve() : reject(diskError(error, "close", path));
      if (this.#held.length === SPARES) return fs.close(fd, done);
      try {
        fs.closeSync(fd);
        this.#refill();
        done();
      } catch (failure) {
        done(failure as NodeJS.ErrnoException);
      }
    });
  }

  #refill(): void {
    try {
      while (this.#held.length < SPARES) this.#held.push(fs.openSync("/dev/null", fs.constants.O_RDONLY));
    } catch {
      // There are none: they come back when files are closed, and when clients leave.
    }
  }
}
