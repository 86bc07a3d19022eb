/**
 * A process of a demo: this program again, as an operator would start it.
 *
 * Invariant: one that ends without being told to is a failure, reported once with its last words. All of them end with
 * the process that started them, however that ends.
 */
import { cleanEnvironment } from "../../core/kernel/run-command.ts";
import { SUPERVISOR_VARIABLE } from "../../core/kernel/supervised.ts";
import { ownCommand } from "../../core/own-command.ts";

const LAST_WORDS_LENGTH = 4000;

export class DemoChild {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<void>;
  readonly #child: Bun.Subprocess;
  #isEnding = false;
  #words = "";

  constructor(name: string, words: readonly string[], onFailed: (error: Error) => void) {
    this.name = name;
    const child = Bun.spawn([...ownCommand(), ...words], {
      env: { ...cleanEnvironment(), [SUPERVISOR_VARIABLE]: String(process.pid) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#child = child;
    this.pid = child.pid;
    const reading = this.#read(child.stderr);
    this.exited = child.exited.then(async () => {
      await reading;
      if (this.#isEnding) return;
      const how = child.signalCode ?? `exit code ${child.exitCode}`;
      onFailed(new Error(`${name} ended by itself (${how}): ${this.#words.trim()}`));
    });
  }

  async #read(stderr: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stderr)
      this.#words = `${this.#words}${Buffer.from(chunk).toString()}`.slice(-LAST_WORDS_LENGTH);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it last wrote to standard error. */
  get lastWords(): string {
    return this.#words;
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#isEnding = true;
    this.#child.kill(signal);
    await this.exited;
  }
}
