/**
 * A25: what operators ask is answered at once in every phase of a cluster: an answer is made before the call returns. `bun run soak stream-acceptance A25` measures the same of processes.
 */
import { expect, test } from "bun:test";
import detector from "../../../src/streams/apps/detector.ts";
import { leaversOf, questions } from "../../../src/streams/worker/admin.ts";
import { troublesOf } from "../../../src/streams/worker/troubles.ts";
import { StreamCluster, workerSpec } from "./sim-cluster.ts";

const KEYS = ["a", "b", "c", "d", "e", "f"];

interface Status {
  phase: string;
  isProcessing: boolean;
  isAligning: boolean;
  keys: Record<string, number>;
  cluster: { missing: string[]; eligible: string[]; members: { name: string; keys: unknown }[] } | null;
}

/** Asks everything; returns what the status says. */
function askAll(cluster: StreamCluster, name: string): Status {
  const worker = cluster.workers.get(name)?.worker;
  if (worker === undefined) throw new Error(`${name} does not run`);
  const beforeMs = cluster.scheduler.timeMs;
  // As it goes out: what cannot be said in JSON would throw here.
  const answers = Object.entries(questions).map(([question, answer]) => [
    question,
    JSON.parse(JSON.stringify(answer(worker))) as unknown,
  ]);
  expect(cluster.scheduler.timeMs).toBe(beforeMs);
  return (Object.fromEntries(answers) as { status: Status }).status;
}

/** A phase that is over after some milliseconds. */
async function untilBeginning(cluster: StreamCluster): Promise<void> {
  for (let looks = 0; cluster.leader.leader?.status.phase !== "beginning"; looks++) {
    if (looks > 100_000) throw new Error("the cluster does not go back");
    await cluster.pause(0.1);
  }
}

test("A25: every question is answered in every phase, and the answer names the phase", () => {
  const cluster = new StreamCluster(1, { app: detector, size: 2 });
  cluster.scheduler.run(
    async () => {
      await cluster.start({ name: "initializer", host: "10.0.0.1" });
      expect(askAll(cluster, "initializer")).toMatchObject({ phase: "forming", isProcessing: false });
      await cluster.start(workerSpec(2));
      expect(askAll(cluster, "worker2").phase).not.toBe("running");
      await cluster.until("the cluster runs", () => cluster.isRunning());
      const sender = cluster.send(KEYS, Number.POSITIVE_INFINITY);
      await cluster.until("some progress", () => sender.acked > 50);
      for (const name of ["initializer", "worker2"])
        expect(askAll(cluster, name)).toMatchObject({ phase: "running", isProcessing: true });

      // A checkpoint that cannot be aligned.
      const worker2 = () => cluster.workers.get("worker2")?.worker;
      cluster.sim.network.cut("10.0.0.1", "10.0.0.2");
      await cluster.until("a barrier that waits", () => cluster.leader.runtime.stats.isAligning);
      expect(askAll(cluster, "initializer")).toMatchObject({ phase: "running", isAligning: true });
      cluster.sim.network.heal();

      // A member that died.
      cluster.kill("worker2");
      await cluster.until("the loss to be seen", () => cluster.leader.leader?.status.missing.length === 1);
      cluster.workers.delete("worker2");
      expect(askAll(cluster, "initializer").cluster).toMatchObject({ missing: ["worker2"] });
      await cluster.start(workerSpec(2));
      await untilBeginning(cluster);
      expect(askAll(cluster, "initializer")).toMatchObject({ phase: "beginning" });
      expect(askAll(cluster, "worker2").phase).not.toBe("running");
      await cluster.until("the cluster runs", () => cluster.isRunning());

      // Without the leader records go on, and so do answers.
      cluster.kill("initializer");
      await cluster.until("the loss to be seen", () => worker2()?.member.isConnected === false);
      expect(askAll(cluster, "worker2")).toMatchObject({ cluster: null });
      await cluster.start({ name: "initializer", host: "10.0.0.1" });
      expect(askAll(cluster, "initializer").phase).not.toBe("running");
      await cluster.until("the cluster runs", () => cluster.isRunning());

      worker2()?.stopCluster();
      await cluster.until("the end", () => cluster.workers.get("worker2")?.hasLeft === true);
      expect(askAll(cluster, "worker2").isProcessing).toBe(true);
    },
    { timeLimitMs: 600_000 },
  );
});

test("a status names what keeps checkpoints waiting, and whatever is away", () => {
  const end = (name: string, trouble: string) => ({ name, stats: () => ({ kind: "test", trouble }) });
  const worker = {
    stateLog: { trouble: "the disk is full", mirrorTroubles: ["replica h:9999: gone"] },
    sources: [{ ...end("In", ""), diskTrouble: undefined }],
    sinks: [end("Out", "no connection")],
  };
  expect(troublesOf(worker as never)).toEqual([
    "checkpoints wait: the disk is full",
    "replica h:9999: gone",
    "Out: no connection",
  ]);
});

test("a count of workers to leave that is none lets nobody leave", () => {
  const eligible = ["worker2", "worker3", "worker4"];
  expect(leaversOf({ count: 2 }, eligible)).toEqual(["worker3", "worker4"]);
  expect(leaversOf({ count: 9 }, eligible)).toEqual(eligible);
  expect(leaversOf({ names: ["worker2"], count: 9 }, eligible)).toEqual(["worker2"]);
  for (const body of [{ count: 0 }, { count: -1 }, { count: null }, { count: "2" }, {}, undefined, "x"])
    expect(leaversOf(body, eligible)).toEqual([]);
});

test("the initializer knows who has how many keys, and who could leave", () => {
  const cluster = new StreamCluster(2, { app: detector, size: 3 });
  cluster.scheduler.run(
    async () => {
      await cluster.startAll();
      cluster.send(KEYS, 50);
      await cluster.untilAcked();
      // Members tell it each second.
      await cluster.pause(1500);
      const { cluster: told } = askAll(cluster, "initializer");
      const counts = (told?.members ?? []).map(({ keys }) => (keys as Record<string, number>)["window 1"]);
      expect(counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(KEYS.length);
      expect(told?.eligible).toEqual(["worker2", "worker3"]);
      const own = askAll(cluster, "worker2");
      expect(told?.members.find(({ name }) => name === "worker2")?.keys).toEqual(own.keys);
    },
    { timeLimitMs: 600_000 },
  );
});
