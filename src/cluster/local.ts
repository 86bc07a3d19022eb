/**
 * A cluster on this host: all instances of a prefix as child processes of one supervisor.
 *
 * Invariant: nothing is started unless every configuration is right and every port is free; when one instance cannot
 * start, the others are stopped again. Instances that were ready once and crash are restarted.
 */
import { join } from "node:path";
import { adminGet } from "../core/admin-client.ts";
import { sleep, type Clock } from "../core/seams/clock.ts";
import type { LoadedConfig } from "../core/config/load.ts";
import { checkPort, portsOf } from "../core/doctor/ports.ts";
import { NxError } from "../core/errors.ts";
import { Supervisor, type Ended } from "./supervisor.ts";

export interface LocalClusterOptions {
  clock: Clock;
  members: readonly LoadedConfig[];
  /** The words that run an instance: `[executable, "run", role, "--config", file]`. */
  commandOf(member: LoadedConfig): string[];
  workingDirectory: string;
  environment: Record<string, string | undefined>;
  onLine(name: string, line: string): void;
  /** One sentence about what happens. */
  onEvent(text: string): void;
}

const POLL_MS = 50;
const REQUEST_MS = 2000;
/** How often waiting is mentioned. */
const REMIND_MS = 3000;

export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #supervisor: Supervisor;
  #failure: NxError | undefined;
  #isReady = false;
  #isStopping = false;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    const { clock, workingDirectory, environment, onLine } = options;
    this.#supervisor = new Supervisor({
      clock,
      workingDirectory,
      environment,
      onLine,
      onEnded: (ended) => this.#onEnded(ended),
    });
  }

  /** Starts all and resolves when all are ready. Throws NxError when one cannot; all are stopped then. */
  async start(): Promise<void> {
    const { members, commandOf, clock } = this.#options;
    await this.#assertFree();
    for (const member of members)
      this.#supervisor.start({ name: member.instance, command: commandOf(member) });
    let remindAtMs = clock.monotonicMs() + REMIND_MS;
    const waiting = new Set(members);
    while (waiting.size > 0 && !this.#isStopping) {
      if (this.#failure !== undefined) {
        await this.stop();
        throw this.#failure;
      }
      const isTimeToRemind = clock.monotonicMs() > remindAtMs;
      for (const member of waiting) {
        const reason = await this.#whyNotReady(member);
        if (reason === undefined) {
          waiting.delete(member);
          this.#supervisor.markReady(member.instance);
        } else if (isTimeToRemind) this.#options.onEvent(`waiting for ${member.instance}: ${reason}`);
      }
      if (isTimeToRemind) remindAtMs = clock.monotonicMs() + REMIND_MS;
      await sleep(clock, POLL_MS);
    }
    this.#isReady = waiting.size === 0;
  }

  /** A taken port or a directory in use is told before anything starts. */
  async #assertFree(): Promise<void> {
    for (const member of this.#options.members) {
      const { instance, file, dataDir } = member;
      const socket = join(dataDir, "admin.sock");
      const running = await adminGet(socket, "/livez", REQUEST_MS).catch(() => undefined);
      if (running !== undefined) {
        throw new NxError("NX_DATA_DIR_LOCKED", `${instance} is already running (it answers on ${socket})`, {
          hint: "stop it first: Ctrl-C where another `node-x up` runs, or `node-x stop PREFIX` if it was deployed",
        });
      }
      for (const use of portsOf(member)) {
        const finding = await checkPort(use);
        if (finding.verdict === "ok") continue;
        throw new NxError(
          "NX_LISTEN_IN_USE",
          `${instance} cannot start: ${finding.found} (${use.key} in ${file})`,
          {
            ...(finding.fix !== undefined && { hint: finding.fix }),
          },
        );
      }
    }
  }

  /** Undefined when ready. Only the child's own answer counts, not that of a stranger in its directory. */
  async #whyNotReady(member: LoadedConfig): Promise<string | undefined> {
    try {
      const { body } = await adminGet(join(member.dataDir, "admin.sock"), "/stats", REQUEST_MS);
      const { ready, reasons, pid } = JSON.parse(body) as { ready: boolean; reasons: string[]; pid: number };
      if (pid !== this.#supervisor.pidOf(member.instance)) return "another process answers";
      return ready ? undefined : reasons.join("; ");
    } catch {
      return "it does not answer yet";
    }
  }

  #onEnded({ name, status, wasReady, restartInMs }: Ended): boolean {
    const how = typeof status === "number" ? `with exit code ${status}` : `by ${status}`;
    if (!wasReady && !this.#isReady) {
      this.#failure ??= new NxError("NX_START_FAILED", `${name} could not start: it ended ${how}`, {
        hint: "its own lines above say why",
      });
      return false;
    }
    this.#options.onEvent(`${name} ended ${how}; restarting in ${restartInMs / 1000} s`);
    return true;
  }

  /** The real ports of a member, as it told them. */
  async portsOf(member: LoadedConfig): Promise<Record<string, number>> {
    const { body } = await adminGet(join(member.dataDir, "admin.sock"), "/stats", REQUEST_MS);
    return (JSON.parse(body) as { ports: Record<string, number> }).ports;
  }

  /** Stops all, the last started first. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#supervisor.stop((name) => this.#options.onEvent(`stopping ${name}`));
  }

  /** Ends all at once, without waiting for what they were doing. */
  kill(): void {
    this.#isStopping = true;
    this.#supervisor.kill();
  }
}
