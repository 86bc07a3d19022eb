/**
 * What operators ask a worker over its admin endpoint, and what they tell it: `node-x stream status` and its neighbours.
 *
 * Every question is answered at once, in every phase, also while the cluster recovers: answers are made before the call
 * returns, from what this worker knows.
 */
import type { Hono } from "hono";
import type { Leader } from "./leader.ts";
import type { LeaderPhase } from "./leader-types.ts";
import { troublesOf } from "./troubles.ts";
import type { Worker } from "./worker.ts";

/** Keys named in one answer. */
const KEYS_MAX = 10_000;

/** By name; what each answers is JSON. */
export const questions = {
  status: statusOf,
  keys: keysOf,
  sources: ({ sources }: Worker) =>
    Object.fromEntries(sources.map((source) => [source.name, source.stats()])),
} as const;

export function addRoutes(app: Hono, worker: Worker): void {
  for (const [name, answer] of Object.entries(questions))
    app.get(`/stream/${name}`, (context) => context.json(answer(worker)));
  app.post("/stream/checkpoint", (context) => {
    worker.member.say({ type: "checkpointWanted" });
    return context.json({ asked: true });
  });
  app.post("/stream/rotate", async (context) => {
    await worker.stateLog.compact();
    return context.json(worker.stateLog.figures);
  });
  app.post("/stream/stop", (context) => {
    worker.stopCluster();
    return context.json({ asked: true });
  });
  app.post("/stream/shrink", async (context) => {
    const { leader } = worker;
    if (leader === undefined)
      return context.json({ error: `ask the initializer, at ${worker.member.leader}` }, 409);
    const { eligible } = leader;
    const asked = leaversOf(await context.req.json().catch(() => undefined), eligible);
    const error = leader.shrink(asked);
    return error === undefined ? context.json({ leaving: asked }) : context.json({ error, eligible }, 409);
  });
}

/** Who is asked to leave: those named, or the last `count` of the eligible ones. Nobody when it says neither. */
export function leaversOf(body: unknown, eligible: readonly string[]): string[] {
  const { names, count } = (body ?? {}) as { names?: unknown; count?: unknown };
  if (Array.isArray(names)) return names.map(String);
  // The last 0 of a list are all of it.
  return Number.isSafeInteger(count) && (count as number) > 0 ? eligible.slice(-(count as number)) : [];
}

function statusOf(worker: Worker) {
  const { runtime, leader, member, stateLog, engine } = worker;
  const { rests, links, isAligning, congestedMs } = runtime.stats;
  return {
    name: worker.place.name,
    app: engine.plan.appName,
    plan: engine.plan.hash,
    phase: leader?.status.phase ?? memberPhase(worker),
    isProcessing: runtime.isRunning,
    epoch: runtime.epoch,
    checkpoint: stateLog.committed.id,
    rests,
    isAligning,
    congestedMs,
    troubles: troublesOf(worker),
    links,
    keys: engine.keyCounts,
    leader: leader === undefined ? member.leader : worker.place.control,
    refusal: member.refusal ?? null,
    cluster: leader === undefined ? null : clusterOf(leader.status, worker),
  };
}

/** In the leader's words. */
function memberPhase({ runtime, member }: Worker): LeaderPhase {
  if (runtime.isRunning) return "running";
  return member.isConnected ? "beginning" : "waiting";
}

/** The leader's own worker has no connection over which it would tell its keys. */
function clusterOf(status: Leader["status"], { place, engine }: Worker) {
  const members = status.members.map((member) =>
    member.name === place.name ? { ...member, keys: engine.keyCounts } : member,
  );
  return { ...status, members };
}

function keysOf(worker: Worker) {
  return Object.fromEntries(
    [...worker.engine.stores].map(([step, store]) => [
      step,
      { count: store.size, keys: store.keys().take(KEYS_MAX).toArray() },
    ]),
  );
}
