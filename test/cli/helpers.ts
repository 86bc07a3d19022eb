/** Runs command lines in-process, as src/main.ts does, with everything they write kept. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommandLine } from "../../src/cli/main.ts";
import type { Output } from "../../src/cli/verb.ts";

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  cwd?: string;
  environment?: Record<string, string>;
  isTty?: boolean;
}

function recorder(isTty: boolean): Output & { text: string } {
  return {
    text: "",
    isTty,
    columns: isTty ? 100 : undefined,
    write(text) {
      this.text += text;
    },
  };
}

export async function cli(words: string[], options: CliOptions = {}): Promise<CliResult> {
  const stdout = recorder(options.isTty ?? false);
  const stderr = recorder(options.isTty ?? false);
  const surroundings = {
    environment: options.environment ?? {},
    workingDirectory: options.cwd ?? process.cwd(),
    stdout,
    stderr,
  };
  const code = await runCommandLine(words, surroundings);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "node-x-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

export const mainFile = join(import.meta.dir, "../../src/main.ts");
