/**
 * Rollouts over real agents and real files, with modelled processes: waves, failures, cuts at every step, two
 * operators.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StepFailed, type StepExecutor } from "../../../src/cluster/rollout/engine.ts";
import { lockAll } from "../../../src/cluster/rollout/session.ts";
import { allSteps, type RolloutPlan } from "../../../src/cluster/rollout/steps.ts";
import type { AgentClient } from "../../../src/cluster/agent/client.ts";
import { Deployment } from "../../../src/cluster/agent/deployment.ts";
import { until } from "../../e2e/executable.ts";
import { ModelCluster, type Content } from "./model-cluster.ts";
import type { ModelHost } from "./model-host.ts";

const OLD: Content = { seed: 10 };
const NEW: Content = { seed: 11 };

async function releasesOf(cluster: ModelCluster): Promise<Record<string, string | undefined>> {
  const states = await cluster.states();
  return Object.fromEntries(
    Object.entries(states).map(([name, state]) => {
      const isWhole = state?.service.state === "running" && state.activeRelease === state.runningRelease;
      return [name, isWhole ? state.runningRelease : undefined];
    }),
  );
}

test("a deploy brings every instance to the release, one after the other, and points current at it", async () => {
  using cluster = new ModelCluster(2, 2);
  const old = await cluster.deploy(OLD, "first");
  expect(new Set(Object.values(await releasesOf(cluster)))).toEqual(new Set([old]));
  const plan = await cluster.plan(NEW, "second");
  expect(plan.stages.map(({ lanes }) => lanes.length)).toEqual([2, 1, 1, 1, 1, 2]);
  await cluster.perform(NEW, plan);
  expect(new Set(Object.values(await releasesOf(cluster)))).toEqual(new Set([plan.release]));
  for (const host of cluster.hosts) {
    const agent = await host.connect("m");
    const { result } = await agent.call("inventory", {});
    expect(result.currentRelease).toBe(plan.release as string);
    expect(result.guards).toEqual([]);
    expect(result.lock.holder).toBeUndefined();
    agent.close();
  }
});

test("a code-only redeploy sends only the blocks that differ", async () => {
  using cluster = new ModelCluster(1, 1);
  await cluster.deploy(OLD, "first");
  const agents = await cluster.connect();
  const { executable } = await cluster.release(NEW);
  const lock = await lockAll(agents, {
    clock: cluster.clock,
    operator: { name: "me", why: "x", operation: "o" },
  });
  const [agent] = agents.values();
  const { sha256, bytes, table } = executable;
  const announced = { generation: lock.fence.generation, sha256, bytes: bytes.byteLength };
  const { result } = await (agent as AgentClient).call("have-blocks", announced, { block: table });
  expect(result.missingBytes).toBeGreaterThan(0);
  expect(result.missingBytes).toBeLessThan(150_000);
  await lock.release();
});

test("hosts that are one machine share an executable that is checked and tried once; others get their own", async () => {
  using cluster = new ModelCluster(3, 1);
  const [one, two, other] = cluster.hosts as [ModelHost, ModelHost, ModelHost];
  one.machineId = two.machineId = "one machine";
  other.machineId = "another";
  const files = () =>
    cluster.hosts.map(({ directory }) => statSync(join(directory, ".node-x/m/current/node-x")).ino);
  for (const [round, content] of [OLD, NEW].entries()) {
    await cluster.deploy(content, `round${round}`);
    const [first, second, third] = files();
    expect(second).toBe(first as number);
    expect(third).not.toBe(first as number);
    expect(one.selftests + two.selftests).toBe(round + 1);
    expect(other.selftests).toBe(round + 1);
  }
});

test("a host that cannot link what is on its machine is sent it", async () => {
  using cluster = new ModelCluster(2, 1);
  for (const host of cluster.hosts) host.machineId = "one machine";
  const refused = () => Promise.reject(Object.assign(new Error("another file system"), { code: "EXDEV" }));
  for (const { disk } of cluster.hosts) {
    const link = disk.link.bind(disk);
    disk.link = (from, to) => (to.endsWith(".adopting") ? refused() : link(from, to));
  }
  const release = await cluster.deploy(OLD, "first");
  expect(new Set(Object.values(await releasesOf(cluster)))).toEqual(new Set([release]));
  expect(cluster.hosts.map(({ selftests }) => selftests)).toEqual([1, 1]);
});

describe("an instance that does not become healthy", () => {
  test.each(["sick", "dead"])(
    "(%s) goes back to the old release, the next ones are not touched",
    async (fate) => {
      using cluster = new ModelCluster(1, 3);
      const old = await cluster.deploy(OLD, "first");
      const bad: Content = { seed: 11, fates: { "m.dht1": fate } };
      const plan = await cluster.plan(bad, "second");
      const failure = await cluster.perform(bad, plan).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(StepFailed);
      expect((failure as StepFailed).step).toMatchObject({ kind: "gate", instance: "m.dht1" });
      expect((failure as StepFailed).message).toContain("m.dht1 says why");
      expect(await releasesOf(cluster)).toEqual({ "m.dht0": plan.release, "m.dht1": old, "m.dht2": old });
      expect(cluster.hosts[0]?.services.starts.at(-1)).toBe(`m.dht1 ${old}`);
    },
  );

  test("and had no release before is taken away again", async () => {
    using cluster = new ModelCluster(1, 1);
    const bad: Content = { seed: 11, fates: { "m.dht0": "sick" } };
    await cluster.perform(bad, await cluster.plan(bad, "first")).catch(() => undefined);
    expect(await cluster.states()).toEqual({ "m.dht0": undefined });
    expect(cluster.hosts[0]?.services.processes.size).toBe(0);
  });
});

/** The operator's process dies around one step: nothing more is done by it, all its connections are gone. */
function cutAt(step: number, when: "before" | "after") {
  return (executor: StepExecutor, agents: ReadonlyMap<string, AgentClient>): StepExecutor => {
    const die = () => {
      for (const agent of agents.values()) agent.close();
      throw new Error("cut");
    };
    return {
      async perform(asked, tell) {
        if (asked.number === step && when === "before") die();
        await executor.perform(asked, tell);
        if (asked.number === step && when === "after") die();
      },
      undo: (lane) => executor.undo(lane),
      isSettled: (lane) => executor.isSettled(lane),
    };
  };
}

/** The steps of the second deploy of a cluster with two hosts of one instance. */
const STEP_COUNT = 18;

describe("an operator who dies at any step", () => {
  const cuts = Array.from({ length: STEP_COUNT }, (_, step) => step);

  test("(the steps of this plan)", async () => {
    using cluster = new ModelCluster(2, 1);
    await cluster.deploy(OLD, "first");
    expect(allSteps(await cluster.plan(NEW, "second"))).toHaveLength(STEP_COUNT);
  });

  test.each(cuts)(
    "(%d) leaves old or new everywhere, never neither, and the same command ends it",
    async (step) => {
      for (const when of ["before", "after"] as const) {
        using cluster = new ModelCluster(2, 1);
        const old = await cluster.deploy(OLD, "first");
        const plan = await cluster.plan(NEW, "second");
        await expect(cluster.perform(NEW, plan, cutAt(step, when))).rejects.toThrow();
        await cluster.fallSilent();
        for (const release of Object.values(await releasesOf(cluster))) {
          expect([old, plan.release]).toContain(release as string);
        }
        await resume(cluster, plan);
      }
    },
  );

  test.each(cuts)("(%d) can go on at once, before any guard has fired", async (step) => {
    using cluster = new ModelCluster(2, 1);
    await cluster.deploy(OLD, "first");
    const plan = await cluster.plan(NEW, "second");
    await expect(cluster.perform(NEW, plan, cutAt(step, "after"))).rejects.toThrow();
    await resume(cluster, plan);
  });

  async function resume(cluster: ModelCluster, plan: RolloutPlan) {
    await cluster.perform(NEW, plan);
    expect(new Set(Object.values(await releasesOf(cluster)))).toEqual(new Set([plan.release]));
    await until("the watchers to leave", () => !cluster.isWatched || undefined);
  }
});

test("an operator who was silent for too long is told that the host undid it, whatever it finds there", async () => {
  using cluster = new ModelCluster(1, 1);
  const old = await cluster.deploy(OLD, "first");
  const plan = await cluster.plan(NEW, "second");
  const silentBefore = (executor: StepExecutor): StepExecutor => ({
    async perform(step, tell) {
      if (step.kind === "gate") {
        await cluster.fallSilent();
        await cluster.hosts[0]?.services.kill(["m.dht0"]);
      }
      await executor.perform(step, tell);
    },
    undo: (lane) => executor.undo(lane),
    isSettled: (lane) => executor.isSettled(lane),
  });
  const failure = await cluster.perform(NEW, plan, silentBefore).catch((error: unknown) => error);
  expect((failure as StepFailed).cause).toMatchObject({ code: "NX_ROLLED_BACK" });
  expect(await releasesOf(cluster)).toEqual({ "m.dht0": old });
});

test("of two operators at once one gets all locks, the other none and is told who has them", async () => {
  using cluster = new ModelCluster(3, 1);
  const sessions = await Promise.all([cluster.connect(), cluster.connect()]);
  const outcomes = await Promise.allSettled(
    sessions.map((agents, index) =>
      lockAll(agents, {
        clock: cluster.clock,
        operator: { name: `operator${index}`, why: "deploy m", operation: `o${index}` },
      }),
    ),
  );
  const won = outcomes.findIndex(({ status }) => status === "fulfilled");
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const [lost] = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(["NX_LOCK_HELD", "NX_LOCK_LOST"]).toContain((lost?.reason as { code: string }).code);
  for (const agent of sessions[won]?.values() ?? []) {
    const { result } = await agent.call("inventory", {});
    expect(result.lock.holder?.owner).toBe(`operator${won}`);
  }
});

test("an operator whose lock was taken over can change nothing more", async () => {
  using cluster = new ModelCluster(1, 1);
  const old = await cluster.deploy(OLD, "first");
  const agents = await cluster.connect();
  const options = { clock: cluster.clock, operator: { name: "slow", why: "deploy m", operation: "slow" } };
  const slow = await lockAll(agents, options);
  const quick = {
    ...options,
    operator: { name: "quick", why: "unlock", operation: "quick" },
    isForced: true,
  };
  await lockAll(await cluster.connect(), quick);
  const [agent] = agents.values();
  const late = (agent as AgentClient).call("stop", { ...slow.fence, instances: ["m.dht0"] });
  expect(await late.catch((error: Error) => error)).toMatchObject({ code: "NX_LOCK_LOST" });
  expect(await releasesOf(cluster)).toEqual({ "m.dht0": old });
});

test("destroying a deployment leaves data that lies in its directory, beside what is its own", async () => {
  using cluster = new ModelCluster(1, 1);
  await cluster.deploy(OLD, "first");
  const [host] = cluster.hosts as [ModelHost];
  const root = join(host.directory, ".node-x/m");
  expect(readdirSync(root)).toContain("releases");
  // As in configs/local.*, and of an instance that was never deployed.
  mkdirSync(join(root, "dht9"));
  writeFileSync(join(root, "dht9/records"), "precious");
  const deployment = await Deployment.open(host.world, host.directory, "m");
  expect(await deployment.destroy(false)).toContain(join(root, "releases"));
  expect(readdirSync(root)).toEqual(["dht9"]);
  expect(readdirSync(join(root, "dht9"))).toEqual(["records"]);

  await cluster.deploy(NEW, "second");
  rmSync(join(root, "dht9"), { recursive: true });
  expect(await (await Deployment.open(host.world, host.directory, "m")).destroy(false)).toEqual([root]);
  expect(existsSync(root)).toBe(false);
});
