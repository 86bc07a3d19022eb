/** An operator on this machine: a directory with files of prefixes, hosts' directories beside it, and the executable to call. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finished } from "./executable.ts";
import { executable } from "./node-process.ts";

export interface OperatorOptions {
  program?: string;
  /** Where commands are given, below `top`. */
  place?: string;
  environment?: Record<string, string>;
}

export class Operator implements Disposable {
  readonly top = mkdtempSync(join(tmpdir(), "nx-op-"));
  /** DIAMOND_WORKING_DIR. */
  readonly host = join(this.top, "host");
  readonly #options: OperatorOptions;

  constructor(options: OperatorOptions = {}) {
    this.#options = options;
    for (const directory of [this.host, this.path(options.place ?? "")])
      mkdirSync(directory, { recursive: true });
  }

  path(name: string): string {
    return join(this.top, name);
  }

  /** Files by their names below `top`; an object is written as JSON. */
  write(files: Record<string, string | object>): void {
    for (const [name, contents] of Object.entries(files))
      writeFileSync(this.path(name), typeof contents === "string" ? contents : JSON.stringify(contents));
  }

  spawn(words: readonly string[], environment: Record<string, string> = {}) {
    const { program = executable, place = "", environment: own } = this.#options;
    return Bun.spawn([program, ...words], {
      cwd: this.path(place),
      env: {
        HOME: this.top,
        PATH: process.env.PATH ?? "",
        XDG_STATE_HOME: this.path("state"),
        DIAMOND_WORKING_DIR: this.host,
        ...own,
        ...environment,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  run(words: readonly string[], environment: Record<string, string> = {}): Promise<Finished> {
    return finished(this.spawn(words, environment));
  }

  [Symbol.dispose](): void {
    rmSync(this.top, { recursive: true, force: true });
  }
}

export async function finished(child: ReturnType<Operator["spawn"]>): Promise<Finished> {
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

/** Lines as they come. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pending = "";
  for await (const chunk of stream) {
    const lines = (pending + decoder.decode(chunk, { stream: true })).split("\n");
    pending = lines.pop() ?? "";
    yield* lines;
  }
}
