/** The steps of a rollout as questions to agents. */
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { ReleaseManifest } from "../agent/messages.ts";
import type { Executable } from "../release/executable.ts";
import {
  mebibytesText,
  percentText,
  uploadRelease,
  type Arrivals,
  type Fence,
  type Upload,
} from "../release/upload.ts";
import type { StepExecutor } from "./engine.ts";
import type { Lane, PlannedInstance, RolloutPlan, Step } from "./steps.ts";

/** What a host gets. */
export interface HostRelease {
  manifest: ReleaseManifest;
  files: readonly Uint8Array[];
}

export interface ExecutorOptions {
  plan: RolloutPlan;
  agents: ReadonlyMap<string, AgentClient>;
  fence: Fence;
  /** By host; needed for plans with a release. */
  releases: ReadonlyMap<string, HostRelease>;
  executable?: Executable;
  /** How long a host waits for a sign of life before it undoes what it was doing. */
  silenceMs: number;
  keepReleases: number;
  onUpload?(host: string, upload: Upload): void;
}

/** How many of an instance's last lines a failure shows. */
const LAST_LINES = 30;

export class AgentExecutor implements StepExecutor {
  readonly #options: ExecutorOptions;
  readonly #instances: ReadonlyMap<string, PlannedInstance>;
  readonly #arrivals: Arrivals = new Map();

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#instances = new Map(options.plan.instances.map((instance) => [instance.name, instance]));
  }

  async perform(step: Step, tell: (text: string) => void): Promise<void> {
    const { fence, keepReleases } = this.#options;
    const agent = this.#agent(step.host);
    switch (step.kind) {
      case "upload":
        return this.#upload(agent, tell);
      case "current":
        await agent.call("link-current", { ...fence, release: this.#release });
        return;
      case "prune":
        await agent.call("prune", { ...fence, keep: keepReleases });
        return;
      default:
        return this.#performOn(agent, this.#instance(step.instance), step, tell);
    }
  }

  async #performOn(agent: AgentClient, instance: PlannedInstance, step: Step, tell: (text: string) => void) {
    const { fence } = this.#options;
    const { name } = instance;
    switch (step.kind) {
      case "arm":
        await agent.call("guard-arm", { ...fence, guard: this.#guardOf(instance) });
        return;
      case "stop":
        await agent.call("stop", { ...fence, instances: [name] });
        return;
      case "swap":
        await agent.call("swap", { ...fence, instance: name, release: this.#release });
        return;
      case "start":
        await agent.call("start", { ...fence, instances: [name] });
        return;
      case "gate":
        return this.#gate(agent, instance, tell).catch(async (error: unknown) => {
          throw (await this.#undoneBehindOurBack(agent, instance)) ?? error;
        });
      case "disarm":
        await agent.call("guard-disarm", { ...fence, instance: name });
        return;
      default:
        await agent.call("forget", { ...fence, instances: [name] });
    }
  }

  async undo({ host, instance: name }: Lane): Promise<void> {
    const { fence, plan } = this.#options;
    const agent = this.#agent(host);
    const instance = this.#instance(name);
    if (instance.from === undefined) {
      await agent.call("forget", { ...fence, instances: [instance.name] });
      return;
    }
    const { result } = await agent.call("status", { instances: [instance.name] });
    const state = result.instances[0];
    const isUntouched = state?.activeRelease === instance.from && state.service.state === "running";
    if (!isUntouched || state.runningRelease !== instance.from) {
      await agent.call("stop", { ...fence, instances: [instance.name] });
      if (plan.release !== undefined)
        await agent.call("swap", { ...fence, instance: instance.name, release: instance.from });
      await agent.call("start", { ...fence, instances: [instance.name] });
      await this.#gate(agent, instance, () => undefined);
    }
    await agent.call("guard-disarm", { ...fence, instance: instance.name }).catch((error: NxError) => {
      // It was never armed, or the host was faster: either way the instance is back.
      if (error.code !== "NX_ROLLED_BACK") throw error;
    });
  }

  async isSettled({ host, instance: name }: Lane): Promise<boolean> {
    if (name === undefined) return false; // hosts' steps are cheap to repeat
    const { action } = this.#instance(name);
    if (action === "stop" || action === "forget") return false;
    const { result } = await this.#agent(host).call("status", { instances: [name] });
    const state = result.instances[0];
    if (state === undefined || !state.health.isReady) return false;
    if (action !== "replace") return true;
    return state.activeRelease === this.#release && (state.runningRelease ?? this.#release) === this.#release;
  }

  async #upload(agent: AgentClient, tell: (text: string) => void): Promise<void> {
    const { executable, releases, fence, onUpload } = this.#options;
    const release = releases.get(agent.host);
    if (release === undefined || executable === undefined) {
      throw new NxError("NX_INTERNAL", `there is no release for ${agent.host}`);
    }
    const upload = await uploadRelease(agent, {
      ...release,
      executable,
      fence,
      arrivals: this.#arrivals,
      onProgress: (sent, total) =>
        tell(`${percentText(sent, total)} of ${mebibytesText(total)} that are not there yet`),
    });
    onUpload?.(agent.host, upload);
    tell(`${mebibytesText(upload.sentBytes)} sent`);
  }

  async #gate(
    agent: AgentClient,
    { name, rollout }: PlannedInstance,
    tell: (text: string) => void,
  ): Promise<void> {
    const { healthyForMs, readyTimeoutMs } = rollout;
    const { result } = await agent.call(
      "gate",
      { instance: name, healthyForMs, readyTimeoutMs },
      { onEvent: ({ text }) => tell(text) },
    );
    if (result.isHealthy) return;
    const lines = await lastLines(agent, name);
    throw new NxError(
      "NX_ROLLOUT_FAILED",
      [`${name} on ${agent.host}: ${result.reason}`, ...lines].join("\n"),
    );
  }

  /** Its host heard nothing from here for too long and put the instance back: whatever the gate saw came of that. */
  async #undoneBehindOurBack(
    agent: AgentClient,
    { name, action }: PlannedInstance,
  ): Promise<NxError | undefined> {
    if (action !== "replace" || !agent.isOpen) return undefined;
    const { guards } = (await agent.call("inventory", {})).result;
    if (guards.some(({ instance }) => instance === name)) return undefined;
    const seconds = this.#options.silenceMs / 1000;
    return new NxError(
      "NX_ROLLED_BACK",
      `${name}: ${agent.host} put it back by itself, because it had heard nothing from here for ${seconds} s`,
      { hint: "NODE_X_DEPLOY_SILENCE_MS gives slow hosts and networks more time" },
    );
  }

  #guardOf({ name, from }: PlannedInstance) {
    const { fence, silenceMs } = this.#options;
    const { operation, operator } = fence;
    const base = { instance: name, next: this.#release, silenceMs, operation, operator };
    return from === undefined ? base : { ...base, previous: from };
  }

  get #release(): string {
    const { release } = this.#options.plan;
    if (release === undefined) throw new NxError("NX_INTERNAL", "the plan has no release");
    return release;
  }

  #agent(host: string): AgentClient {
    const agent = this.#options.agents.get(host);
    if (agent === undefined) throw new NxError("NX_INTERNAL", `there is no connection to ${host}`);
    return agent;
  }

  #instance(name: string | undefined): PlannedInstance {
    const instance = this.#instances.get(name ?? "");
    if (instance === undefined) throw new NxError("NX_INTERNAL", `${name} is not in the plan`);
    return instance;
  }
}

/** What an instance said last; empty when even that cannot be had. */
export async function lastLines(agent: AgentClient, instance: string): Promise<string[]> {
  const lines: string[] = [];
  const question = { instances: [instance], lines: LAST_LINES, isFollowing: false };
  await agent.call("logs", question, { onEvent: ({ line }) => lines.push(line) }).catch(() => undefined);
  return lines;
}
