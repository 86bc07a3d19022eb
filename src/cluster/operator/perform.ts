/**
 * Performs a plan on a cluster: takes the lock, writes the journal and both ends of the audit, runs the steps.
 *
 * Invariant: whatever ends it (a failure, Ctrl-C, a lost lock), the locks are given back where hosts still answer, and the
 * audit logs of both ends say how it ended.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { Executable } from "../release/executable.ts";
import type { Upload } from "../release/upload.ts";
import { runRollout, StepFailed, type RolloutEvent } from "../rollout/engine.ts";
import { AgentExecutor, type HostRelease } from "../rollout/executor.ts";
import { JournalWriter } from "../rollout/journal.ts";
import { lockAll, witnessEachOther, type HeldLock, type Operator } from "../rollout/session.ts";
import type { RolloutPlan } from "../rollout/steps.ts";
import { clusterDirectory, ownAudit, type OperatorPlace } from "./place.ts";

export interface Performance {
  place: OperatorPlace;
  cluster: { prefix: string; directory: string };
  agents: ReadonlyMap<string, AgentClient>;
  operator: Operator;
  plan: RolloutPlan;
  releases?: ReadonlyMap<string, HostRelease>;
  executable?: Executable;
  /** Silence of the operator after which a host undoes what was under way. */
  silenceMs: number;
  /** Ctrl-C. */
  interrupted: AbortSignal;
  onEvent(event: RolloutEvent): void;
  onUpload?(host: string, upload: Upload): void;
}

/** Releases kept on a host, those that are in use beside them. */
const KEEP_RELEASES = 5;

/** Takes the locks, makes the plan under them (`plan` sees what holds while nobody else can change it) and gives them back. */
export async function underLock<Result>(
  place: OperatorPlace,
  agents: ReadonlyMap<string, AgentClient>,
  operator: Operator,
  work: (lock: HeldLock) => Promise<Result>,
): Promise<Result> {
  const lock = await lockAll(agents, { clock: place.clock, operator });
  try {
    return await work(lock);
  } finally {
    await lock.release();
  }
}

/** Resolves when all steps are done. Throws what the first failed step threw, with the lines that tell why. */
export async function perform(performance: Performance, lock: HeldLock): Promise<void> {
  const { place, cluster, agents, operator, plan, releases = new Map(), executable, silenceMs } = performance;
  const { disk, clock } = place;
  const path = join(clusterDirectory(place, cluster), "rollout.jsonl");
  if (await disk.exists(path)) await disk.remove(path);
  const journal = await JournalWriter.open(disk, clock, path, plan);
  const executor = new AgentExecutor({
    plan,
    agents,
    fence: lock.fence,
    releases,
    ...(executable !== undefined && { executable }),
    silenceMs,
    keepReleases: KEEP_RELEASES,
    ...(performance.onUpload !== undefined && { onUpload: performance.onUpload }),
  });
  const audit = ownAudit(place, cluster);
  const signal = AbortSignal.any([performance.interrupted, lock.lost]);
  try {
    await runRollout({ plan, executor, journal, onEvent: performance.onEvent, signal });
    await witnessEachOther(agents, audit, operator, "ok");
  } catch (error) {
    await afterFailure(error, performance, lock);
    await witnessEachOther(agents, audit, operator, (error as Error).message);
    throw explained(error, lock, performance);
  } finally {
    await journal.close();
  }
}

/** A release with which an instance did not become healthy is not chosen by a rollback. */
async function afterFailure(
  error: unknown,
  { agents, plan }: Performance,
  { fence }: HeldLock,
): Promise<void> {
  if (!(error instanceof StepFailed) || error.step.kind !== "gate" || plan.release === undefined) return;
  // That says something about the connection, not about the release.
  if (error.cause instanceof NxError && error.cause.code === "NX_ROLLED_BACK") return;
  const isReplaced = plan.instances.some(
    ({ name, action }) => name === error.step.instance && action === "replace",
  );
  if (!isReplaced) return;
  const reason = error.message.slice(0, 2000);
  const marked = [...agents.values()].filter(({ isOpen }) => isOpen);
  await Promise.allSettled(
    marked.map((agent) => agent.call("mark-bad", { ...fence, release: plan.release as string, reason })),
  );
}

function explained(error: unknown, { lost }: HeldLock, { interrupted, operator }: Performance): unknown {
  const hint = `\`${operator.why}\` again goes on from there`;
  if (lost.aborted && lost.reason instanceof NxError)
    return new NxError(lost.reason.code, `stopped: ${lost.reason.message}`, { hint, cause: error });
  if (interrupted.aborted)
    return new NxError("NX_ROLLOUT_FAILED", "stopped on request", { hint, cause: error });
  if (!(error instanceof StepFailed)) return error;
  const { cause, step } = error;
  const what =
    step.instance === undefined ? `${step.kind} on ${step.host}` : `${step.kind} of ${step.instance}`;
  const code = cause instanceof NxError ? cause.code : "NX_ROLLOUT_FAILED";
  const own = cause instanceof NxError && cause.hint !== undefined ? `${cause.hint}; then ` : "";
  return new NxError(code, `${what}: ${cause.message}`, { hint: `${own}${hint}`, cause });
}
