/** Writes configuration texts into a directory of its own and loads them as the command line would. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { tryLoadConfig, type ConfigSources, type LoadOutcome } from "../../../src/core/config/load.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { schemaCatalog } from "../../../src/roles.ts";

export class ConfigDirectory {
  readonly path = mkdtempSync(join(tmpdir(), "node-x-config-"));

  write(name: string, contents: string | Uint8Array, mode = 0o600): string {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    writeFileSync(join(this.path, name), contents, { mode });
    return name;
  }

  /** Loads `contents` as the file `name`. */
  load(contents: string | Uint8Array, options: Partial<ConfigSources> = {}): Promise<LoadOutcome> {
    const file = this.write(options.file ?? "dht.json", contents);
    return tryLoadConfig(
      { environment: {}, sets: [], workingDirectory: this.path, ...options, file },
      schemaCatalog,
    );
  }

  /** The problem lines of `contents`. */
  async problems(contents: string | Uint8Array, options: Partial<ConfigSources> = {}): Promise<string[]> {
    return (await this.load(contents, options)).problems.map(problemText);
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
