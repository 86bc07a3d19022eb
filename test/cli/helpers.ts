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
  /** What was written as bytes. */
  bytes?: Buffer;
}

export interface CliOptions {
  cwd?: string;
  environment?: Record<string, string>;
  isTty?: boolean;
  /** What standard input holds, in these pieces. */
  stdin?: (string | Uint8Array)[];
}

async function* pieces(of: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of of) yield Buffer.from(piece as string);
}

function recorder(isTty: boolean): Output & { text: string; parts: Uint8Array[] } {
  return {
    text: "",
    parts: [],
    async writeBytes(bytes) {
      this.parts.push(bytes.slice());
    },
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
    ...(options.stdin !== undefined && { stdin: () => pieces(options.stdin ?? []) }),
  };
  const code = await runCommandLine(words, surroundings);
  return {
    code,
    stdout: stdout.text,
    stderr: stderr.text,
    ...(stdout.parts.length > 0 && { bytes: Buffer.concat(stdout.parts) }),
  };
}

export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "node-x-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

export const mainFile = join(import.meta.dir, "../../src/main.ts");
