/** A hub in this process, with a directory of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/core/config/load.ts";
import { Instance, type InstanceOptions } from "../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { hub } from "../../src/hub/role.ts";
import { schemaCatalog } from "../../src/roles.ts";

export interface HubOptions {
  config?: Record<string, unknown>;
  /** An earlier hub's directory; a new one otherwise. */
  directory?: string;
  clusterMembers?: InstanceOptions["clusterMembers"];
}

export class TestHub implements AsyncDisposable {
  readonly directory: string;
  readonly lines: string[] = [];
  instance!: Instance;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async start({ config = {}, directory, clusterMembers }: HubOptions = {}): Promise<TestHub> {
    const test = new TestHub(directory ?? mkdtempSync(join(tmpdir(), "node-x-hub-")));
    test.instance = await Instance.start(hub, await test.load(config), {
      world: realWorld(),
      logOutput: logOutput("info", [
        { sink: { write: (line) => test.lines.push(line) }, format: formatText },
      ]),
      onFatal() {},
      ...(clusterMembers !== undefined && { clusterMembers }),
    });
    return test;
  }

  load(config: Record<string, unknown>) {
    const file = join(this.directory, "local.hub0.json");
    const defaults = { port: 0, metricsPort: 0, dataDir: join(this.directory, "hub"), scrapePeriodMs: 100 };
    writeFileSync(file, JSON.stringify({ ...defaults, ...config }));
    return loadConfig({ file, environment: {}, sets: [], workingDirectory: this.directory }, schemaCatalog);
  }

  get base(): string {
    return `http://127.0.0.1:${this.instance.ports.port}`;
  }

  fetch(path: string, options: RequestInit = {}): Promise<Response> {
    return fetch(this.base + path, options);
  }

  /** A file that only its owner can read. */
  static secret(directory: string, name: string, text: string): string {
    const path = join(directory, name);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  }

  /** The directory stays for a hub that comes after it. */
  async stop(): Promise<void> {
    await this.instance.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.instance.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
