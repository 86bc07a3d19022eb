/** The simulation of many hosts: it comes near what was measured on one, keeps to the arithmetic, and notices other costs. */
import { describe, expect, test } from "bun:test";
import { type CostName, costs, costValues } from "../../src/scale/costs.ts";
import { type Family, scaleFamilies } from "../../src/scale/families.ts";
import { compared, scaled } from "../../src/scale/run.ts";
import { simulate, type Station } from "../../src/scale/simulate.ts";
import { cli } from "../cli/helpers.ts";

const familyOf = (name: string) => scaleFamilies.find((family) => family.name === name) as Family;
const measured = scaleFamilies.flatMap(({ name, measured: all }) => all.map((each) => ({ name, each })));

describe("one machine", () => {
  test.each(measured)("$name: $each.what comes near what was measured", ({ each }) => {
    const { deviation } = compared(each, costValues());
    expect(Math.abs(deviation)).toBeLessThanOrEqual(each.tolerance);
  });

  test.each(measured)("$name: $each.what is missed when every cost is half as much again", ({ each }) => {
    const slower = Object.fromEntries(
      (Object.keys(costs) as CostName[]).map((name) => {
        const { unit, value } = costs[name];
        const isRate = unit === "MB/s" || unit === "bytes/s";
        const isCost = unit === "µs" || unit === "ms";
        return [name, isRate ? value / 1.5 : isCost ? value * 1.5 : value];
      }),
    );
    const { deviation } = compared(each, costValues(slower));
    expect(Math.abs(deviation)).toBeGreaterThan(each.tolerance);
  });
});

test.each(scaleFamilies.map(({ name }) => name))("%s keeps to the arithmetic at every size", (name) => {
  for (const hosts of [1, 10, 100]) {
    const { unitsPerSecond, bounds, asked, bottleneck } = scaled(familyOf(name), hosts, costValues());
    const most = Math.min(bounds[0]?.unitsPerSecond ?? 0, asked ?? Number.POSITIVE_INFINITY);
    // A little more gets through in a short time than on average, and callers begin spread over their period.
    expect(unitsPerSecond).toBeLessThan(most * 1.4);
    if (bottleneck !== undefined) expect(unitsPerSecond).toBeGreaterThan(most * 0.7);
  }
});

test("a cost that is doubled moves what saturates first", () => {
  const at = (name: string, hosts: number, changed = {}) =>
    scaled(familyOf(name), hosts, costValues(changed)).bottleneck;
  expect(at("reactive", 5)).toBe("CPU of the hosts");
  expect(at("reactive", 5, { commitTss: costs.commitTss.value * 2 })).toContain("timestamp servers' leader");
  expect(at("reactive", 12)).toContain("timestamp servers' leader");
  expect(at("reactive", 12, { commitShard: 4 * costs.commitShard.value, commitTss: 8 })).toBe(
    "CPU of the hosts",
  );
  expect(at("channels-get", 10)).toBe("network of the nodes");
  expect(at("channels-get", 10, { networkBytes: 4 * costs.networkBytes.value })).toBe("CPU of the nodes");
  expect(at("hub", 400)).toBeUndefined();
  expect(at("hub", 400, { hubScrape: 2 * costs.hubScrape.value })).toContain("CPU of the hub");
});

describe("the queues", () => {
  const station = (kind: Station["kind"], servers = 1): Station => ({
    name: "s",
    resource: "s",
    kind,
    servers,
  });
  const run = (at: Station, callers: number, thinkUs = 0) =>
    simulate(
      { callers, thinkUs, units: 1, stations: [at], steps: () => [{ at, us: 100 }] },
      { seed: 3, requests: 8000 },
    );

  test("a server does what its time allows, two do twice that, and who waits waits for all before him", () => {
    const one = run(station("queue"), 10);
    expect(one.unitsPerSecond).toBeCloseTo(10_000, -3);
    expect(one.p50Us).toBeCloseTo(1000, -2);
    expect(run(station("queue", 2), 10).unitsPerSecond).toBeCloseTo(20_000, -3);
  });

  test("a run of a group serves all that wait", () => {
    // While one run serves half of the callers, the others gather.
    expect(run(station("group"), 100).unitsPerSecond).toBeGreaterThan(400_000);
    expect(run(station("group"), 1).unitsPerSecond).toBeCloseTo(10_000, -3);
  });

  test("callers who pause ask no more than that", () => {
    const { unitsPerSecond, used } = run(station("queue"), 10, 10_000);
    expect(unitsPerSecond).toBeCloseTo(10 / 0.0101, -2);
    expect(used[0]?.share).toBeCloseTo(0.1, 1);
  });

  test("paths that are walked at once end with the longest", () => {
    const [a, b] = [station("queue"), station("queue")];
    const steps = [{ all: [[{ at: a, us: 100 }], [{ at: b, us: 300 }]] }];
    const load = { callers: 1, thinkUs: 0, units: 1, stations: [a, b], steps: () => steps };
    expect(simulate(load, { seed: 3, requests: 4000 }).p50Us).toBeCloseTo(300, -2);
  });

  test("one seed gives one outcome, another one nearly the same", () => {
    const at = (seed: number) => scaled(familyOf("reactive"), 5, costValues(), seed);
    expect(at(7)).toEqual(at(7));
    expect(at(8)).not.toEqual(at(7));
    expect(at(8).unitsPerSecond / at(7).unitsPerSecond).toBeCloseTo(1, 1);
  });
});

describe("node-x scale", () => {
  test("prints a family at sizes that are asked for, for people and for programs", async () => {
    const table = await cli(["scale", "--family", "hub", "--hosts", "10,1000"], { isTty: true });
    expect([table.code, table.stdout]).toEqual([0, expect.stringContaining("CPU of the hub (one thread)")]);
    const { stdout } = await cli(["scale", "--family", "hub", "--hosts", "10,1000", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject([
      { family: "hub", hosts: 10, asked: 40 },
      { family: "hub", hosts: 1000, asked: 4000, bottleneck: "CPU of the hub (one thread)" },
    ]);
  });

  test("takes other costs, and says which there are and where they come from", async () => {
    const words = ["scale", "--family", "hub", "--hosts", "1000", "--json"];
    const { stdout } = await cli([...words, "--set", "hubScrape=100", "--set", "instancesPerHost=2"]);
    expect(JSON.parse(stdout)).toMatchObject(
      [{ asked: 2000, bottleneck: null }].map(({ asked }) => ({ asked })),
    );
    const listed = JSON.parse((await cli(["scale", "--costs", "--json"])).stdout);
    expect(Object.keys(listed)).toEqual(Object.keys(costs));
    const compare = await cli(["scale", "--measured", "--family", "presence", "--json"]);
    expect(JSON.parse(compare.stdout)).toMatchObject([{ measured: 165, source: "bun run bench presence" }]);
  });

  test.each([
    [["--family", "hup"], 'there is no family "hup"'],
    [["--hosts", "0"], "--hosts: wanted a number from 1 to 10000"],
    [["--set", "hubScrap=3"], 'did you mean "hubScrape"?'],
    [["--set", "hubScrape=x"], "wanted COST=NUMBER"],
  ])("refuses %j", async (words, message) => {
    const { code, stderr } = await cli(["scale", ...words]);
    expect([code, stderr]).toEqual([64, expect.stringContaining(message)]);
  });
});

test("every cost names the command that measured it, or says that it is given or assumed", () => {
  for (const cost of Object.values(costs) as { source: string; isAssumed?: true }[])
    expect(cost.source).toMatch(
      cost.isAssumed === true ? /no measurement|sample/ : /bun run bench|as above|docs\/|--set/,
    );
});
