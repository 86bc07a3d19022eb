/** The way from a plan to the deed, the same for every verb that has one: show, ask, lock, perform, tell. */
import { Exit, NxError } from "../../core/errors.ts";
import type { Executable } from "../../cluster/release/executable.ts";
import type { DeployPlan } from "../../cluster/plan/deploy-plan.ts";
import type { HostRelease } from "../../cluster/rollout/executor.ts";
import type { RolloutPlan } from "../../cluster/rollout/steps.ts";
import { colorsFor, printJson } from "../print.ts";
import { usageError } from "../strict.ts";
import type { Surroundings } from "../verb.ts";
import { confirm } from "./confirm.ts";
import { onInterrupt, type Agents, type ClusterContext } from "./context.ts";
import { changesText, planJson, stagesText } from "./plan-view.ts";
import { RolloutView } from "./rollout-view.ts";

/** What a plan is made of; made again under the lock, because somebody else may have been faster. */
export interface Planned {
  plan: RolloutPlan;
  deploy?: DeployPlan;
  releases?: ReadonlyMap<string, HostRelease>;
}

export interface RollOptions {
  context: ClusterContext;
  agents: Agents;
  makePlan(): Promise<Planned>;
  executable?: Executable;
  /** `--plan`, `-y`, `--json`. */
  assent: { plan?: boolean | undefined; yes?: boolean | undefined; json?: boolean | undefined };
  /** Nothing is destroyed by it and nothing that runs is touched: it need not ask. */
  isHarmless?: boolean;
  /** `deployed`, `stopped`: completes "3 instances …". */
  done: string;
}

/**
 * How long a host waits for a sign of life of the operator before it undoes what was under way: NODE_X_DEPLOY_SILENCE_MS,
 * for networks where that is too long or too short. Signs come every 5 s.
 */
const SILENCE_MS = 30_000;
const SILENCE_MS_MIN = 12_000;

function silenceMs({ environment }: Surroundings): number {
  const text = environment.NODE_X_DEPLOY_SILENCE_MS;
  if (text === undefined) return SILENCE_MS;
  if (/^\d{1,9}$/.test(text) && Number(text) >= SILENCE_MS_MIN) return Number(text);
  throw usageError(`NODE_X_DEPLOY_SILENCE_MS: wanted at least ${SILENCE_MS_MIN}, got "${text}"`, ["deploy"]);
}

/** Returns the exit code. */
export async function roll(options: RollOptions, surroundings: Surroundings): Promise<number> {
  const { context, makePlan, assent, isHarmless = false } = options;
  const { stdout, stderr, environment } = surroundings;
  const colors = colorsFor(stdout, environment);
  const shown = await makePlan();
  const hasWork = shown.plan.instances.length > 0;
  if (assent.plan === true) {
    if (assent.json === true) printJson(stdout, planJson(shown.plan, shown.deploy));
    else if (hasWork) stdout.write(planText(shown, colors));
    else stdout.write(`${context.cluster.prefix}: nothing to do\n`);
    return hasWork ? Exit.workToDo : Exit.ok;
  }
  if (!hasWork) {
    if (assent.json === true) printJson(stdout, planJson(shown.plan, shown.deploy));
    else stdout.write(`${context.cluster.prefix}: nothing to do\n`);
    return Exit.ok;
  }
  if (assent.yes !== true && !isHarmless) {
    stderr.write(planText(shown, colorsFor(stderr, environment)));
    if (!(await confirm("Do this?", surroundings)))
      throw new NxError("NX_USAGE", "nothing was done", {
        hint: "-y does it without asking, --plan only shows it",
      });
  }
  await performUnderLock(options, shown, surroundings);
  if (assent.json === true) printJson(stdout, planJson(shown.plan, shown.deploy));
  else {
    const count = shown.plan.instances.length;
    stdout.write(colors.green(`${count} ${count === 1 ? "instance" : "instances"} ${options.done}\n`));
  }
  return Exit.ok;
}

function planText({ plan, deploy }: Planned, colors: ReturnType<typeof colorsFor>): string {
  const changes = deploy === undefined ? "" : changesText(deploy.hosts, colors);
  return `${changes}${stagesText(plan, colors)}`;
}

async function performUnderLock(
  { context, agents, makePlan, executable }: RollOptions,
  shown: Planned,
  surroundings: Surroundings,
): Promise<void> {
  const { perform, underLock } = await import("../../cluster/operator/perform.ts");
  const { cluster, place, operator } = context;
  const view = new RolloutView(surroundings, place.clock);
  const interrupt = onInterrupt((text) => surroundings.stderr.write(`${text}\n`));
  try {
    await underLock(place, agents, operator, async (lock) => {
      const planned = await makePlan();
      if (stepsOf(planned.plan) !== stepsOf(shown.plan))
        throw new NxError(
          "NX_ROLLOUT_FAILED",
          "the hosts changed while the plan was looked at; nothing was done",
          {
            hint: "run the command again and look at the new plan",
          },
        );
      await perform(
        {
          place,
          cluster,
          agents,
          operator,
          plan: planned.plan,
          ...(planned.releases !== undefined && { releases: planned.releases }),
          ...(executable !== undefined && { executable }),
          silenceMs: silenceMs(surroundings),
          interrupted: interrupt.signal,
          onEvent: (event) => view.show(event),
        },
        lock,
      );
    });
  } finally {
    view.end();
    interrupt.close();
  }
}

/** What must be the same for a plan to be the same. */
function stepsOf({ release, stages }: RolloutPlan): string {
  return JSON.stringify([release, stages]);
}
