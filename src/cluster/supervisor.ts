/**
 * Keeps child processes running: starts them in order, passes on what they say, restarts those that crash, stops them in
 * reverse order.
 *
 * Invariant: a child runs in a session of its own, so that Ctrl-C in the terminal reaches only us and the order of the
 * shutdown is ours; instances of node-x stop when we die, because they ask the kernel to tell them
 * (core/kernel/supervised.ts). A child that keeps crashing is restarted ever more rarely.
 */
import type { Clock, Timer } from "../core/seams/clock.ts";
import { SUPERVISOR_VARIABLE } from "../core/kernel/supervised.ts";

export interface Program {
  name: string;
  command: string[];
}

export interface Ended {
  name: string;
  /** Exit code, or the signal that killed it. */
  status: number | string;
  /** It was ready at some time before; undefined when nobody said so. */
  wasReady: boolean;
  restartInMs: number;
}

export interface SupervisorOptions {
  clock: Clock;
  workingDirectory: string;
  environment: Record<string, string | undefined>;
  onLine(name: string, line: string): void;
  /** A child ended by itself. Return false to leave it down. */
  onEnded(ended: Ended): boolean;
}

const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 30_000;
/** A child that lived this long has recovered: its next restart is quick again. */
const STABLE_MS = 60_000;
const LINE_LENGTH_MAX = 64 * 1024;

class Child {
  readonly program: Program;
  readonly #options: SupervisorOptions;
  #process: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #restart: Timer | undefined;
  #restartMs = RESTART_MS_MIN;
  #isStopping = false;
  wasReady = false;

  constructor(program: Program, options: SupervisorOptions) {
    this.program = program;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  start(): void {
    const { workingDirectory, environment, clock } = this.#options;
    const startedAtMs = clock.monotonicMs();
    const child = Bun.spawn(this.program.command, {
      cwd: workingDirectory,
      env: { ...environment, [SUPERVISOR_VARIABLE]: String(process.pid) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
    this.#process = child;
    const said = Promise.all([this.#passOn(child.stdout), this.#passOn(child.stderr)]);
    void child.exited.then(async () => {
      await said;
      this.#process = undefined;
      if (this.#isStopping) return;
      if (clock.monotonicMs() - startedAtMs > STABLE_MS) this.#restartMs = RESTART_MS_MIN;
      this.#ended(child.signalCode ?? child.exitCode ?? 0);
    });
  }

  #ended(status: number | string): void {
    const { clock, onEnded } = this.#options;
    const restartInMs = this.#restartMs;
    if (!onEnded({ name: this.program.name, status, wasReady: this.wasReady, restartInMs })) return;
    this.#restartMs = Math.min(RESTART_MS_MAX, restartInMs * 2);
    this.#restart = clock.after(restartInMs, () => this.start());
  }

  async #passOn(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let pending = "";
    const emit = (line: string) => this.#options.onLine(this.program.name, line);
    for await (const chunk of stream) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() as string;
      for (const line of lines) emit(line);
      if (pending.length <= LINE_LENGTH_MAX) continue;
      emit(pending);
      pending = "";
    }
    if (pending !== "") emit(pending);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#restart?.cancel();
    const child = this.#process;
    if (child === undefined) return;
    child.kill("SIGTERM");
    await child.exited;
  }

  kill(): void {
    this.#isStopping = true;
    this.#restart?.cancel();
    this.#process?.kill("SIGKILL");
  }
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(program: Program): void {
    const child = new Child(program, this.#options);
    this.#children.push(child);
    child.start();
  }

  pidOf(name: string): number | undefined {
    return this.#children.find(({ program }) => program.name === name)?.pid;
  }

  markReady(name: string): void {
    const child = this.#children.find(({ program }) => program.name === name);
    if (child !== undefined) child.wasReady = true;
  }

  /** Stops one after the other, the last started first. */
  async stop(onStopping?: (name: string) => void): Promise<void> {
    for (const child of this.#children.toReversed()) {
      onStopping?.(child.program.name);
      await child.stop();
    }
  }

  /** Kills all at once. */
  kill(): void {
    for (const child of this.#children) child.kill();
  }
}
