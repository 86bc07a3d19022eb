/**
 * A small file of text lines that is only appended to, or replaced as a whole: for programs in Bun and in Node that keep a few
 * things beside a library of ours.
 *
 * Invariant: a line that `append` has resolved for survives power loss; a line that was cut short, by a crash or by a full disk, is
 * not there, and what is appended later stands on lines of its own.
 * Only one process at a time has the file: `<path>.lock` names it. Files are opened when asked for, so that code which runs in
 * browsers may import this.
 */
import type { FileHandle } from "node:fs/promises";

export class LineFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  /** Of whole lines. */
  #bytes = 0;
  /** One at a time, in order. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Creates the file when it is missing. Throws when another live process has it. */
  load(): Promise<string[]> {
    return this.#inTurn(async () => {
      const fs = await import("node:fs/promises");
      await takeLock(`${this.#path}.lock`);
      this.#file = await fs.open(this.#path, "a+", 0o600);
      const text = await this.#file.readFile("utf8");
      await syncDirectoryOf(this.#path);
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      // What follows is appended behind the last whole line.
      this.#bytes = new TextEncoder().encode(whole).byteLength;
      if (whole !== text) await this.#file.truncate(this.#bytes);
      return whole === "" ? [] : whole.slice(0, -1).split("\n");
    });
  }

  append(line: string): Promise<void> {
    return this.#inTurn(async () => {
      const bytes = new TextEncoder().encode(`${line}\n`);
      const file = this.#open;
      // What an earlier attempt has left of a line.
      if ((await file.stat()).size > this.#bytes) await file.truncate(this.#bytes);
      await file.appendFile(bytes);
      await file.datasync();
      this.#bytes += bytes.byteLength;
    });
  }

  replace(lines: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      const fs = await import("node:fs/promises");
      const temporary = `${this.#path}.tmp`;
      const file = await fs.open(temporary, "w", 0o600);
      const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await fs.rename(temporary, this.#path);
      await syncDirectoryOf(this.#path);
      await this.#open.close();
      this.#file = await fs.open(this.#path, "a+", 0o600);
      this.#bytes = bytes.byteLength;
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#file === undefined) return;
      await this.#file.close();
      this.#file = undefined;
      const { rm } = await import("node:fs/promises");
      await rm(`${this.#path}.lock`, { force: true });
    });
  }

  get #open(): FileHandle {
    if (this.#file === undefined) throw new Error(`${this.#path} is not open`);
    return this.#file;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

async function takeLock(path: string): Promise<void> {
  const { readFile, rm, writeFile } = await import("node:fs/promises");
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      return await writeFile(path, `${process.pid}\n`, { flag: "wx", mode: 0o600 });
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") throw error;
    }
    const owner = Number(await readFile(path, "utf8").catch(() => ""));
    if (owner > 0 && isAlive(owner)) break;
    await rm(path, { force: true });
  }
  throw new Error(`another process has it: ${path} says which one`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

async function syncDirectoryOf(path: string): Promise<void> {
  const [fs, { dirname }] = await Promise.all([import("node:fs/promises"), import("node:path")]);
  const directory = await fs.open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
