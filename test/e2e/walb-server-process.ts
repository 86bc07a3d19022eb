/** An archive or a proxy as a process of the executable, under the name of the original program: started, killed, asked. */
import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { until } from "./executable.ts";

export class WalbServerProcess {
  readonly base: string;
  readonly #program: string;
  #child: Bun.Subprocess | undefined;
  port = 0;

  constructor(directory: string, name: string, program: string) {
    mkdirSync(join(directory, name));
    this.#program = join(directory, name, program);
    this.base = join(directory, `${name}-data`);
    symlinkSync(join(import.meta.dir, "../../dist/node-x"), this.#program);
    mkdirSync(this.base);
  }

  async start(): Promise<void> {
    const ports = join(`${this.base}.node-x`, "ports.json");
    rmSync(ports, { force: true });
    const words = ["-p", String(this.port), "-b", this.base, "-id", "n0", "-maxconn", "50", "-fg", "10"];
    const own = this.#program.endsWith("walb-archive")
      ? ["-discard", "zero"]
      : ["-delay", "1", "-maxdelay", "1"];
    const environment = { NODE_X_WALB_HOST: "127.0.0.1" };
    this.#child = Bun.spawn([this.#program, ...words, ...own], {
      env: environment,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    this.port = await until(`the port of ${this.#program}`, () => {
      try {
        return (JSON.parse(readFileSync(ports, "utf8")) as { port: number }).port;
      } catch {
        return undefined;
      }
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** The most memory that the process has had, in MiB. */
  get peakMiB(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  get address() {
    return { host: "127.0.0.1", port: this.port };
  }
}
