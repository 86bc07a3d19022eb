/** Starts echo instances in this process or in one of their own, each with a directory of its own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig, type LoadedConfig, type SchemaCatalog } from "../../../src/core/config/load.ts";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { logOutput, formatText } from "../../../src/core/logging/log.ts";
import type { World } from "../../../src/core/role.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { createEcho, echoConfig, type EchoHolds } from "./echo-role.ts";

export const echoCatalog: SchemaCatalog = { names: ["echo"], schemaOf: async () => echoConfig };

/** A directory that is gone when the test ends. */
export class TestDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "node-x-kernel-"));
  readonly dataDir = join(this.path, "data");
  readonly configFile = join(this.path, "echo.json");

  configure(config: Record<string, unknown>): this {
    writeFileSync(this.configFile, JSON.stringify({ dataDir: this.dataDir, ...config }));
    return this;
  }

  load(): Promise<LoadedConfig> {
    return loadConfig(
      { file: this.configFile, environment: {}, sets: [], workingDirectory: this.path },
      echoCatalog,
    );
  }

  read(name: string): string {
    return readFileSync(join(this.dataDir, name), "utf8");
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface TestInstance extends AsyncDisposable {
  instance: Instance;
  directory: TestDirectory;
  /** Lines of the log, in the format of root.log. */
  lines: string[];
  fatal: Error[];
  admin(path: string): Promise<Response>;
}

export interface TestInstanceOptions extends EchoHolds {
  config?: Record<string, unknown>;
  world?: Partial<World>;
}

export async function startEcho({
  config = {},
  world = {},
  ...holds
}: TestInstanceOptions = {}): Promise<TestInstance> {
  const directory = new TestDirectory().configure(config);
  const lines: string[] = [];
  const fatal: Error[] = [];
  const real = realWorld((error, remote) => lines.push(`handler of ${remote}: ${error.message}`));
  try {
    const instance = await Instance.start(createEcho(holds), await directory.load(), {
      world: { ...real, ...world },
      logOutput: logOutput("trace", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
      onFatal: (error) => fatal.push(error),
    });
    return {
      instance,
      directory,
      lines,
      fatal,
      admin: (path) => askAdmin(directory, path),
      async [Symbol.asyncDispose]() {
        await instance.stop();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    directory[Symbol.dispose]();
    throw error;
  }
}

export function askAdmin(directory: TestDirectory, path: string): Promise<Response> {
  return fetch(`http://admin${path}`, { unix: join(directory.dataDir, "admin.sock") });
}

/** An echo in a process of its own. */
export class EchoProcess implements AsyncDisposable {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly directory: TestDirectory;
  stderr = "";
  readonly #read: Promise<void>;

  constructor(directory: TestDirectory, environment: Record<string, string> = {}) {
    this.directory = directory;
    this.child = Bun.spawn(
      [process.execPath, join(import.meta.dir, "echo-process.ts"), directory.configFile],
      {
        env: { PATH: process.env.PATH ?? "", ...environment },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    this.#read = this.#collect();
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stderr) this.stderr += decoder.decode(chunk, { stream: true });
  }

  /** Resolves with the port once it is ready. */
  async ready(): Promise<number> {
    return until("readiness", async () => {
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.stderr}`);
      try {
        const ready = await askAdmin(this.directory, "/readyz");
        return ready.status === 200
          ? (JSON.parse(this.directory.read("ports.json")).port as number)
          : undefined;
      } catch {
        return undefined;
      }
    });
  }

  /** Resolves once its log holds a line that matches. */
  logged(pattern: RegExp): Promise<string> {
    return until(`a log line like ${pattern}`, () => this.stderr.match(pattern)?.[0]);
  }

  /** The exit code, after everything it wrote was read. */
  async ended(): Promise<number> {
    const code = await this.child.exited;
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }
}

/** Polls `attempt` until it returns something; the limit is for a machine under load, not a wait. */
export async function until<Value>(
  what: string,
  attempt: () => Promise<Value | undefined> | Value | undefined,
): Promise<Value> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const value = await attempt();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`gave up waiting for ${what}`);
    await Bun.sleep(5);
  }
}

/** A bare client: what it was sent, whether it is closed. */
export async function connectRaw(port: number, options: { reads?: boolean } = {}) {
  const state = { received: "", isClosed: false };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, chunk) => void (state.received += chunk.toString("latin1")),
      close: () => void (state.isClosed = true),
      error: () => void (state.isClosed = true),
    },
  });
  if (options.reads === false) socket.pause();
  return Object.assign(state, { socket });
}
