/** The list of steps: a pure function, so every promise about order is shown on plans alone. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  allSteps,
  isLeader,
  planSteps,
  wavesOf,
  type PlannedInstance,
} from "../../../src/cluster/rollout/steps.ts";

const rollout = { unavailableMax: 2, healthyForMs: 0, readyTimeoutMs: 1, stopTimeoutMs: 1 };

function instance(name: string, more: Partial<PlannedInstance> = {}): PlannedInstance {
  return {
    name,
    role: name.replace(/[0-9.]/g, ""),
    host: `h${name}`,
    index: 0,
    group: undefined,
    rollout,
    action: "replace",
    isRunning: true,
    isLeader: false,
    from: "old",
    ...more,
  };
}

const replica = (name: string, index: number, more: Partial<PlannedInstance> = {}) =>
  instance(name, { index, group: { size: 3, quorum: 2 }, ...more });

const names = (waves: PlannedInstance[][]) => waves.map((wave) => wave.map(({ name }) => name));

describe("waves", () => {
  test("begin with one alone, then as many as may be down", () => {
    const five = ["dht0", "dht1", "dht2", "dht3", "dht4"].map((name) => instance(name));
    expect(names(wavesOf(five))).toEqual([["dht0"], ["dht1", "dht2"], ["dht3", "dht4"]]);
  });

  test("never hold two replicas of one group", () => {
    const two = [0, 1].flatMap((shard) =>
      [0, 1, 2].map((number) => replica(`shard${shard}.${number}`, shard)),
    );
    expect(names(wavesOf(two))).toEqual([
      ["shard0.0"],
      ["shard0.1", "shard1.0"],
      ["shard0.2", "shard1.1"],
      ["shard1.2"],
    ]);
  });

  test("leave the leaders to the end, so that leadership moves once", () => {
    const group = [
      replica("shard0.0", 0, { isLeader: true }),
      replica("shard0.1", 0),
      replica("shard0.2", 0),
    ];
    expect(names(wavesOf(group))).toEqual([["shard0.1"], ["shard0.2"], ["shard0.0"]]);
  });

  test("bring up at once what is down: it harms nobody", () => {
    const three = ["dht0", "dht1", "dht2"].map((name) =>
      instance(name, { isRunning: false, action: "start" }),
    );
    expect(names(wavesOf(three))).toEqual([["dht0", "dht1", "dht2"]]);
  });

  test("finish one role before the next begins, and stop in reverse", () => {
    const coming = [instance("tss0"), instance("shard0"), instance("shard1"), instance("frontend0")];
    expect(names(wavesOf(coming)).flat()).toEqual(["tss0", "shard0", "shard1", "frontend0"]);
    const leaving = coming.map((one) => ({ ...one, action: "stop" as const }));
    expect(names(wavesOf(leaving))).toEqual([["frontend0"], ["shard1", "shard0"], ["tss0"]]);
  });

  test("hold every instance exactly once, whatever there is", () => {
    const any = fc.array(
      fc.record({
        shard: fc.nat(3),
        isLeader: fc.boolean(),
        isRunning: fc.boolean(),
        action: fc.constantFrom("replace", "restart", "start", "stop", "forget") as fc.Arbitrary<
          PlannedInstance["action"]
        >,
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(any, (list) => {
        const all = list.map(({ shard, ...more }, number) => replica(`shard${shard}.${number}`, shard, more));
        const waves = wavesOf(all);
        expect(
          waves
            .flat()
            .map(({ name }) => name)
            .sort(),
        ).toEqual(all.map(({ name }) => name).sort());
        for (const wave of waves) {
          expect(wave).not.toEqual([]);
          const running = wave.filter(
            ({ isRunning, action }) => isRunning && !["stop", "forget"].includes(action),
          );
          const groups = running.map(({ index }) => index);
          expect(new Set(groups).size).toBe(groups.length);
        }
      }),
    );
  });
});

describe("a plan", () => {
  const input = { operation: "o", prefix: "p", release: "new", hosts: ["a", "b"], isWhole: true };

  test("guards an instance before anything is done to it, and lets go when it was found healthy", () => {
    const plan = planSteps({ ...input, instances: [instance("dht0")] });
    const kinds = allSteps(plan)
      .filter(({ instance: name }) => name === "dht0")
      .map(({ kind }) => kind);
    expect(kinds).toEqual(["arm", "stop", "swap", "start", "gate", "disarm"]);
  });

  test("brings the release to all hosts before the first instance, and names it current after the last", () => {
    const plan = planSteps({ ...input, instances: [instance("dht0"), instance("dht1")] });
    expect(plan.stages.map(({ lanes }) => lanes[0]?.steps[0]?.kind)).toEqual([
      "upload",
      "arm",
      "arm",
      "current",
    ]);
    expect(allSteps(plan).map(({ number }) => number)).toEqual([...allSteps(plan).keys()]);
  });

  test("for some instances only leaves current where it is", () => {
    const plan = planSteps({ ...input, isWhole: false, instances: [instance("dht0")] });
    expect(allSteps(plan).some(({ kind }) => kind === "current" || kind === "prune")).toBe(false);
  });
});

test("a leader is one by its own word", () => {
  expect(isLeader({ shard: { isPrimary: true } }, "shard")).toBe(true);
  expect(isLeader({ shard: { isPrimary: false } }, "shard")).toBe(false);
  expect(isLeader({ shard: null }, "shard")).toBe(false);
  expect(isLeader(undefined, "shard")).toBe(false);
});
