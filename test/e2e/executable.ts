/** What end-to-end tests share: the compiled executable, alone in an empty directory with an empty environment. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** A directory that holds nothing but a copy of dist/node-x. */
export class LoneExecutable implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-alone-"));
  readonly path = join(this.directory, "node-x");
  readonly #children: Bun.Subprocess[] = [];

  static async copy(): Promise<LoneExecutable> {
    await ensureExecutable();
    const alone = new LoneExecutable();
    copyFileSync(join(import.meta.dir, "../../dist/node-x"), alone.path);
    return alone;
  }

  /** Runs it to its end with `environment` and nothing else in the environment. */
  async run(args: string[], environment: Record<string, string> = {}): Promise<Finished> {
    const child = this.start(args, environment);
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, stdout, stderr };
  }

  start(args: string[], environment: Record<string, string> = {}) {
    const child = Bun.spawn([this.path, ...args], {
      cwd: this.directory,
      env: environment,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#children.push(child);
    return child;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Polls `attempt` until it returns something; the limit is for a machine under load, not a wait. */
export async function until<Value>(
  what: string,
  attempt: () => Promise<Value | undefined> | Value | undefined,
  limitMs = 60_000,
): Promise<Value> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = await attempt();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`gave up waiting for ${what}`);
    await Bun.sleep(10);
  }
}
