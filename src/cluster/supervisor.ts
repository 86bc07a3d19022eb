/**
 * Keeps child processes running: starts them in order, passes on what they say, restarts those that crash, stops them in
 * reverse order.
 *
 * Invariant: a child runs in a session of its own, so that Ctrl-C in the terminal reaches only us and the order of the
 * shutdown is ours; instances of node-x stop when we die, because they ask the kernel to tell them
 * (core/kernel/supervised.ts). A child that keeps crashing is restarted ever more rarely.
 */
import { sleep, type Clock, type Timer } from "../core/seams/clock.ts";
import { SUPERVISOR_VARIABLE } from "../core/kernel/supervised.ts";
import { assert } from "../core/errors.ts";

export interface Program {
  name: string;
  command: string[];
  /** Instead of the supervisor's. */
  workingDirectory?: string;
  /** Instead of the supervisor's. */
  environment?: Record<string, string | undefined>;
}

/** `starting` counts as running; `waiting` is the pause before a restart. */
export type ChildState = "running" | "waiting" | "down";

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
  onStarted?(name: string, pid: number): void;
  /** A child ended by itself. Return false to leave it down. */
  onEnded(ended: Ended): boolean;
}

const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 30_000;
/** A child that lived this long has recovered: its next restart is quick again. */
const STABLE_MS = 60_000;
const LAST_WORDS_MS = 1000;
const LINE_LENGTH_MAX = 64 * 1024;

class Child {
  readonly program: Program;
  /** How often it was restarted since somebody started it. */
  restarts = 0;
  readonly #options: SupervisorOptions;
  #process: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #restart: Timer | undefined;
  #restartMs = RESTART_MS_MIN;
  #isStopping = false;
  /** Pending while a process is there, its last words included. */
  #gone: Promise<void> = Promise.resolve();
  wasReady = false;

  constructor(program: Program, options: SupervisorOptions) {
    this.program = program;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get state(): ChildState {
    if (this.#process !== undefined) return "running";
    return this.#restart === undefined ? "down" : "waiting";
  }

  start(): void {
    const { clock } = this.#options;
    const { workingDirectory = this.#options.workingDirectory, environment = this.#options.environment } =
      this.program;
    const startedAtMs = clock.monotonicMs();
    this.#restart = undefined;
    const child = Bun.spawn(this.program.command, {
      cwd: workingDirectory,
      env: { ...environment, [SUPERVISOR_VARIABLE]: String(process.pid) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
    this.#process = child;
    this.#options.onStarted?.(this.program.name, child.pid);
    const said = Promise.all([this.#passOn(child.stdout), this.#passOn(child.stderr)]);
    this.#gone = child.exited.then(async () => {
      // Its own children may hold the pipe open for ever.
      await Promise.race([said, sleep(clock, LAST_WORDS_MS)]);
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
    this.#restart = clock.after(restartInMs, () => {
      this.restarts++;
      this.start();
    });
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

  /** Asks it to end; kills it when it has not after `timeoutMs`. Resolves when it is gone. */
  async stop(timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    this.#leaveDown();
    const child = this.#process;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const timer =
      timeoutMs === Number.POSITIVE_INFINITY
        ? undefined
        : this.#options.clock.after(timeoutMs, () => child.kill("SIGKILL"));
    await this.#gone;
    timer?.cancel();
  }

  async kill(): Promise<void> {
    this.#leaveDown();
    this.#process?.kill("SIGKILL");
    await this.#gone;
  }

  #leaveDown(): void {
    this.#isStopping = true;
    this.#restart?.cancel();
    this.#restart = undefined;
  }
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Starts a program. One of this name that is already there must be down, and is replaced. */
  start(program: Program): void {
    const known = this.#children.findIndex((other) => other.program.name === program.name);
    assert(this.stateOf(program.name) === "down", `${program.name} runs already`);
    if (known !== -1) this.#children.splice(known, 1);
    const child = new Child(program, this.#options);
    this.#children.push(child);
    child.start();
  }

  stateOf(name: string): ChildState {
    return this.#find(name)?.state ?? "down";
  }

  restartsOf(name: string): number {
    return this.#find(name)?.restarts ?? 0;
  }

  /** Stops one; see `Child.stop`. */
  async stopOne(name: string, timeoutMs: number): Promise<void> {
    await this.#find(name)?.stop(timeoutMs);
  }

  /** Kills one; resolves when it is gone. */
  async killOne(name: string): Promise<void> {
    await this.#find(name)?.kill();
  }

  pidOf(name: string): number | undefined {
    return this.#find(name)?.pid;
  }

  markReady(name: string): void {
    const child = this.#find(name);
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
    for (const child of this.#children) void child.kill();
  }

  #find(name: string): Child | undefined {
    return this.#children.find(({ program }) => program.name === name);
  }
}
