/**
 * Performs a plan: stage after stage, lanes side by side, each step journaled before and after.
 *
 * Invariant: after the first failure no step of another lane begins; lanes of the same stage end the step
 * they are in and stop there. The lane that failed is undone, as are those that were stopped between `arm`
 * and `disarm`, so that every instance ends with its old release or the new one, running. When even undoing
 * fails, or this process dies, the host's own guard does it.
 */
import { NxError } from "../../core/errors.ts";
import { doneSteps, type Journal, type JournalWriter } from "./journal.ts";
import type { Lane, RolloutPlan, Stage, Step } from "./steps.ts";

export type RolloutEvent =
  | { kind: "stage"; title: string; index: number; count: number }
  | { kind: "step"; step: Step; state: "begun" | "done" }
  /** Words of a step that takes a while. */
  | { kind: "progress"; step: Step; text: string }
  | { kind: "failed"; step: Step; error: Error }
  | { kind: "undoing" | "undone"; lane: Lane }
  | { kind: "undo failed"; lane: Lane; error: Error };

export interface StepExecutor {
  perform(step: Step, tell: (text: string) => void): Promise<void>;
  /** Puts a lane's instance back to what it had before. May be repeated. */
  undo(lane: Lane): Promise<void>;
  /** Whether the lane's instance has what the plan wants, as its host says. */
  isSettled(lane: Lane): Promise<boolean>;
}

export interface EngineOptions {
  plan: RolloutPlan;
  executor: StepExecutor;
  journal: Pick<JournalWriter, "mark">;
  /** An earlier attempt at the same plan. */
  earlier?: Journal;
  onEvent(event: RolloutEvent): void;
  /** Aborted when the rollout must end after the steps that are under way: Ctrl-C, or a lost lock. */
  signal: AbortSignal;
}

export class StepFailed extends Error {
  readonly step: Step;
  override readonly cause: Error;

  constructor(step: Step, cause: Error) {
    super(cause.message);
    this.step = step;
    this.cause = cause;
  }
}

/** Resolves when all is done. Throws StepFailed for the first step that failed, after undoing. */
export async function runRollout(options: EngineOptions): Promise<void> {
  const { plan, earlier, onEvent } = options;
  const done = earlier === undefined ? new Set<number>() : doneSteps(earlier);
  for (const [index, stage] of plan.stages.entries()) {
    onEvent({ kind: "stage", title: stage.title, index, count: plan.stages.length });
    await runStage(stage, done, options);
  }
}

async function runStage(stage: Stage, done: ReadonlySet<number>, options: EngineOptions): Promise<void> {
  const halt = new AbortController();
  const isHalted = () => halt.signal.aborted || options.signal.aborted;
  const outcomes = await Promise.all(
    stage.lanes.map(async (lane): Promise<StepFailed | undefined> => {
      try {
        await runLane(lane, done, options, isHalted);
        return undefined;
      } catch (error) {
        halt.abort();
        return error as StepFailed;
      }
    }),
  );
  const failures = outcomes.filter((outcome) => outcome !== undefined);
  // The one that was not merely told to stop says why.
  const first = failures.find(({ cause }) => !(cause instanceof Halted)) ?? failures[0];
  if (first !== undefined) throw first;
}

class Halted extends NxError {
  constructor() {
    super("NX_ROLLOUT_FAILED", "it was stopped before this step");
  }
}

async function runLane(
  lane: Lane,
  done: ReadonlySet<number>,
  options: EngineOptions,
  isHalted: () => boolean,
): Promise<void> {
  const { executor, journal, onEvent } = options;
  const isDone = lane.steps.every(({ number }) => done.has(number));
  if (isDone && (await executor.isSettled(lane))) return;
  let isUnderWay = false;
  for (const step of lane.steps) {
    try {
      if (isHalted()) throw new Halted();
      await journal.mark(step.number, "begun");
      onEvent({ kind: "step", step, state: "begun" });
      // Whatever this step does or leaves undone, there is something to undo from here on.
      isUnderWay ||= step.instance !== undefined && lane.steps[0]?.kind === "arm";
      await executor.perform(step, (text) => onEvent({ kind: "progress", step, text }));
      await journal.mark(step.number, "done");
      onEvent({ kind: "step", step, state: "done" });
    } catch (error) {
      const cause = error as Error;
      onEvent({ kind: "failed", step, error: cause });
      // A journal that cannot be written must not keep the instance down.
      await journal.mark(step.number, "failed", cause.message).catch(() => undefined);
      if (isUnderWay) await undo(lane, options);
      throw new StepFailed(step, cause);
    }
  }
}

async function undo(lane: Lane, { executor, onEvent }: EngineOptions): Promise<void> {
  onEvent({ kind: "undoing", lane });
  try {
    await executor.undo(lane);
    onEvent({ kind: "undone", lane });
  } catch (error) {
    onEvent({ kind: "undo failed", lane, error: error as Error });
  }
}
