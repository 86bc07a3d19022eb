/**
 * What operators ask a worker over its admin endpoint, and what they tell it: `node-x stream status` and its neighbours.
 *
 * Every question is answered at once, in every phase, also while the cluster recovers: nothing here waits for it.
 */
import type { Hono } from "hono";
import type { Worker } from "./worker.ts";

/** Keys named in one answer. */
const KEYS_MAX = 10_000;

export function addRoutes(app: Hono, worker: Worker): void {
  app.get("/stream/status", (context) => context.json(statusOf(worker)));
  app.get("/stream/keys", (context) => context.json(keysOf(worker)));
  app.get("/stream/sources", (context) =>
    context.json(Object.fromEntries(worker.sources.map((source) => [source.name, source.stats()]))),
  );
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
    const { names, count } = (await context.req.json()) as { names?: unknown; count?: unknown };
    const { leader } = worker;
    if (leader === undefined)
      return context.json({ error: `ask the initializer, at ${worker.member.leader}` }, 409);
    const { eligible } = leader;
    const asked = Array.isArray(names) ? names.map(String) : eligible.slice(-Number(count ?? 0));
    const error = leader.shrink(asked);
    return error === undefined ? context.json({ leaving: asked }) : context.json({ error, eligible }, 409);
  });
}

function statusOf(worker: Worker) {
  const { runtime, leader, member, stateLog, engine } = worker;
  return {
    name: worker.place.name,
    app: engine.plan.appName,
    plan: engine.plan.hash,
    isProcessing: runtime.isRunning,
    epoch: runtime.epoch,
    checkpoint: stateLog.committed.id,
    rests: runtime.stats.rests,
    leader: leader === undefined ? member.leader : worker.place.control,
    refusal: member.refusal ?? null,
    cluster: leader?.status ?? null,
  };
}

function keysOf(worker: Worker) {
  return Object.fromEntries(
    [...worker.engine.stores].map(([step, store]) => [
      step,
      { count: store.size, keys: [...store.keys()].slice(0, KEYS_MAX) },
    ]),
  );
}
