/**
 * A file system of a few MiB that a test can fill: a tmpfs in a mount namespace that only its processes see.
 *
 * Needs root (or the right to make mount namespaces). When the holder process ends, the kernel drops everything.
 */
import { closeSync, existsSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { until } from "./executable.ts";

/** Why no such file system can be made here; undefined when it can. */
export function whyNoSmallDisk(): string | undefined {
  const { exitCode, stderr } = Bun.spawnSync(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
  return exitCode === 0 ? undefined : `a private tmpfs needs root: ${stderr.toString().trim()}`;
}

export class SmallDisk implements Disposable {
  readonly #holder: Bun.Subprocess;
  readonly #path: string;

  private constructor(holder: Bun.Subprocess, path: string) {
    this.#holder = holder;
    this.#path = path;
  }

  /** Mounts `sizeMiB` over `path`, which exists. */
  static async mount(path: string, sizeMiB: number): Promise<SmallDisk> {
    const script = `mount -t tmpfs -o size=${sizeMiB}m,mode=700 tmpfs "$0" && : > "$0/mounted" && exec sleep infinity`;
    const holder = Bun.spawn(["unshare", "-m", "sh", "-c", script, path], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const disk = new SmallDisk(holder, path);
    await until("the small disk", () => {
      if (holder.exitCode !== null) throw new Error("mounting a tmpfs failed");
      return existsSync(join(disk.outside(path), "mounted")) || undefined;
    });
    return disk;
  }

  /** Put before a command line to run it where the file system is visible. */
  get enter(): string[] {
    return ["nsenter", "-t", String(this.#holder.pid), "-m", "--"];
  }

  /** Where processes outside find `path`. */
  outside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  /** Takes the space that is left, but for `spareBytes`. */
  fill(spareBytes = 0): void {
    const fd = openSync(join(this.outside(this.#path), "ballast"), "a");
    const block = Buffer.alloc(64 * 1024, 1);
    let size = 0;
    try {
      for (;;) size += writeSync(fd, block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
    if (spareBytes > 0) ftruncateSync(fd, Math.max(0, size - spareBytes));
    closeSync(fd);
  }

  free(): void {
    rmSync(join(this.outside(this.#path), "ballast"), { force: true });
  }

  [Symbol.dispose](): void {
    this.#holder.kill("SIGKILL");
  }
}
