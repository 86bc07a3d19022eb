/** What is planned: which instances, which actions, and that doing it leaves nothing to do. */
import { describe, expect, test } from "bun:test";
import type { InstanceState, Inventory, ReleaseManifest } from "../../../src/cluster/agent/messages.ts";
import { hasWork, planDeploy, type Intent } from "../../../src/cluster/plan/deploy-plan.ts";
import { withLaunchOptions } from "../../../src/cluster/plan/launch-options.ts";
import { planRollback, planRun, rollbackTarget } from "../../../src/cluster/plan/run-plan.ts";
import { isWhole, select, type Selection } from "../../../src/cluster/plan/selection.ts";
import { serviceOf } from "../../../src/cluster/release/make.ts";
import { inStartOrder, missingRoles, startSteps } from "../../../src/cluster/topology/order.ts";
import type { Cluster, Host } from "../../../src/cluster/topology/types.ts";
import { clusterOf } from "../topology/directory.ts";

const diamond = {
  "p.cluster.json": { hosts: { a: { tags: ["rack1"] }, b: { tags: ["rack2"] } } },
  "p.tss.config": "host a:1\n",
  "p0.config": "host a:2\nhost b:2\nhost a:3\n",
  "p1.config": "host b:3\n",
  "p.frontend0.config": "host a:4\n",
  "p.frontend1.config": "host b:4\n",
};
const cluster = await clusterOf(diamond);

describe("selection", () => {
  const chosen = (selection: Partial<Selection>) =>
    select(cluster, { only: [], ...selection }).map(({ name }) => name.slice(2));

  test.each<[string, Partial<Selection>, string[]]>([
    ["nothing said", {}, ["tss.0", "shard0.0", "shard0.1", "shard0.2", "shard1.0", "frontend0", "frontend1"]],
    ["an instance by its short or whole name", { only: ["shard0.1", "p.tss.0"] }, ["tss.0", "shard0.1"]],
    ["a group", { only: ["shard0"] }, ["shard0.0", "shard0.1", "shard0.2"]],
    ["a role as --only and as --role", { only: ["frontend"], role: "frontend" }, ["frontend0", "frontend1"]],
    ["a host", { only: ["b"] }, ["shard0.1", "shard1.0", "frontend1"]],
    ["a tag", { only: ["@rack2"], role: "shard" }, ["shard0.1", "shard1.0"]],
    ["the first shards and frontends", { shards: 1, frontends: 1 }, ["tss.0", "shard0.0", "shard0.1", "shard0.2", "frontend0"]],
  ])("%s", (_, selection, names) => expect(chosen(selection)).toEqual(names)); // prettier-ignore

  test.each<[string, Partial<Selection>, string, string]>([
    ["an unknown instance", { only: ["shrad0"] }, "--only shrad0", 'did you mean "shard"?'],
    ["an unknown tag", { only: ["@rack3"] }, "--only @rack3", 'did you mean "@rack1"?'],
    ["an unknown role", { role: "sahrd" }, "--role sahrd", 'did you mean "shard"?'],
    ["more shards than there are", { shards: 3 }, "--shards 3: p has 2 of them", ""],
  ])("refuses %s with the nearest", (_, selection, message, hint) => {
    const refused = (() => {
      try {
        return chosen(selection);
      } catch (error) {
        return error as { message: string; hint: string };
      }
    })() as { message: string; hint: string };
    expect(refused.message).toStartWith(message);
    expect(refused.hint).toContain(hint);
  }); // prettier-ignore

  test("only nothing said is all of it", () => {
    expect(isWhole({ only: [] })).toBe(true);
    for (const selection of [
      { only: ["a"] },
      { only: [], role: "x" },
      { only: [], shards: 1 },
      { only: [], frontends: 1 },
    ])
      expect(isWhole(selection)).toBe(false);
  });
});

test("starts happen in steps: a role waits for those before it, roles of no family for nobody", () => {
  const at = (role: string, index = 0) => ({ role, index, replica: undefined });
  const items = [
    at("hub"),
    at("frontend"),
    at("shard", 1),
    at("storage"),
    at("tss"),
    at("shard"),
    at("archive"),
  ];
  expect(startSteps(items, ["hub"]).map((step) => step.map(({ role, index }) => `${role}${index}`))).toEqual([
    ["archive0", "tss0", "hub0"],
    ["shard0", "shard1"],
    ["storage0", "frontend0"],
  ]);
  expect(inStartOrder(items, ["hub"]).map(({ role }) => role)).toEqual([
    "archive",
    "storage",
    "tss",
    "shard",
    "shard",
    "frontend",
    "hub",
  ]);
  expect(missingRoles(new Set(["lookup"]))).toEqual([{ role: "regserver", neededBy: "lookup" }]);
});

test("Diamond's words become part of every shard, and of nobody else", async () => {
  const file = { path: "/k", name: "k", sha256: "00", bytes: 1 };
  const { instances } = withLaunchOptions(cluster, { batch: 8, keys: { file, count: 5 }, isDebug: true });
  const shard = instances.find(({ role }) => role === "shard");
  expect(shard?.words.slice(-8)).toEqual(["-B", "8", "-N", "2", "-k", "5", "-f", "{configs}/keys.txt"]);
  expect(shard?.files.at(-1)).toEqual({ ...file, name: "keys.txt" });
  expect(shard?.environment).toEqual({ DEBUG: "all", NODE_X_SHARD_LOG_LEVEL: "trace" });
  expect(instances.find(({ role }) => role === "tss")?.words).not.toContain("-B");
  const dht = await clusterOf({ "p.dht0.json": {} });
  expect(() => withLaunchOptions(dht, { batch: 1, isDebug: false })).toThrow("p has no shards");
});

// --- deploys ----------------------------------------------------------------------------------------------------

const EXECUTABLE = "e".repeat(64);
const dhts = await clusterOf({
  "p.dht0.json": { host: "a" },
  "p.dht1.json": { host: "b" },
  "p.hub0.json": { host: "b" },
});

function manifestOf(of: Cluster, host: Host, id: string, executable = EXECUTABLE): ReleaseManifest {
  const instances = of.instances.filter((instance) => instance.host === host.name);
  const files = new Map(instances.flatMap((instance) => instance.files.map((file) => [file.name, file])));
  return {
    id,
    digest: "d".repeat(64),
    createdAtMs: Number(id.slice(1)),
    madeBy: "me",
    version: "1",
    executable: { sha256: executable, bytes: 1 },
    files: [...files.values()].map(({ name, sha256, bytes }) => ({ name: `configs/${name}`, sha256, bytes })),
    services: instances.map((instance) => serviceOf(of, host, instance)),
  };
}

interface Running {
  active?: string;
  running?: string;
  state?: "running" | "stopped";
}

/** What a host has: releases, and its instances with what they run. */
function inventoryOf(
  releases: ReleaseManifest[],
  instances: Record<string, Running>,
  current?: string,
): Inventory {
  const states = Object.entries(instances).map(
    ([instance, { active = "r1", running, state = "running" }]): InstanceState => ({
      service: { instance, state, restarts: 0 },
      health: { isAlive: state === "running", isReady: true, reasons: [] },
      activeRelease: active,
      ...(state === "running" && { runningRelease: running ?? active }),
    }),
  );
  return {
    facts: {
      hostname: "x",
      machine: "x86_64",
      libc: "glibc",
      kernel: "6",
      cpuFlags: [],
      cpuCount: 1,
      memoryBytes: 1,
      freeBytes: 1,
      user: "u",
      isRoot: true,
      nowMs: 0,
    },
    servicesKind: "supervisor",
    lock: { generation: 0, isExpired: false },
    releases: releases.map((release) => ({ ...release, isBad: false })),
    foreignReleases: [],
    ...(current !== undefined && { currentRelease: current }),
    instances: states,
    guards: [],
    auditHead: { sequence: 0, hash: "0".repeat(64) },
  };
}

interface PlanOptions {
  of: Cluster;
  executable: string;
  intent: Intent;
  whole: boolean;
}

/** The plan of bringing `of` with `executable` to hosts that have `instances` of release r1, made of `dhts`. */
function plan(instances: Record<string, Record<string, Running>>, options: Partial<PlanOptions> = {}) {
  const { of = dhts, executable = EXECUTABLE, intent = "deploy", whole = true } = options;
  const only = of.instances;
  const manifests = new Map(of.hosts.map((host) => [host.name, manifestOf(of, host, "r2", executable)]));
  const inventories = new Map(
    dhts.hosts.map((host) => [
      host.name,
      inventoryOf([manifestOf(dhts, host, "r1")], instances[host.name] ?? {}, "r1"),
    ]),
  );
  return planDeploy({
    cluster: of,
    selected: only,
    isWhole: whole,
    intent,
    release: "r2",
    manifests,
    inventories,
  });
}

const actions = ({ instances }: { instances: { name: string; action: string }[] }) =>
  Object.fromEntries(instances.map(({ name, action }) => [name, action]));
const all = { a: { "p.dht0": {} }, b: { "p.dht1": {}, "p.hub0": {} } };

describe("a deploy's plan", () => {
  test("has nothing to do when all is as it should be", () => {
    const same = plan(all);
    expect([hasWork(same), same.hosts, same.unchanged]).toEqual([false, [], ["p.dht0", "p.dht1", "p.hub0"]]);
  });

  test("replaces what was never there, starts what is down, leaves the rest", () => {
    expect(actions(plan({ a: {}, b: { "p.dht1": { state: "stopped" }, "p.hub0": {} } }))).toEqual({
      "p.dht0": "replace",
      "p.dht1": "start",
    });
  });

  test("another executable replaces everything", () => {
    const changed = plan(all, { executable: "f".repeat(64) });
    expect(actions(changed)).toEqual({ "p.dht0": "replace", "p.dht1": "replace", "p.hub0": "replace" });
    expect(changed.hosts[0]?.items).toEqual([
      { change: "change", item: "executable", before: "e".repeat(12), after: "f".repeat(12) },
    ]);
  });

  test("another file replaces only those that read it, other words their instance", async () => {
    const one = await clusterOf({
      "p.dht0.json": { host: "a" },
      "p.dht1.json": { host: "b", port: 7 },
      "p.hub0.json": { host: "b" },
    });
    // The hub reads the files of all whom it shows.
    expect(actions(plan(all, { of: one }))).toEqual({ "p.dht1": "replace", "p.hub0": "replace" });
    const debug = withLaunchOptions(dhts, { isDebug: true });
    expect(Object.keys(actions(plan(all, { of: debug })))).toHaveLength(3);
  });

  test("a private file that changed replaces its instance, and not even a digest of it is told", () => {
    const ofSalt = (salt: string) => (of: Host, id: string) => {
      const manifest = manifestOf(dhts, of, id);
      const file = { name: "files/p.dht0/tls.key", sha256: salt.repeat(32), bytes: 1, salt: salt.repeat(16) };
      return of.name === "a" ? { ...manifest, files: [...manifest.files, file] } : manifest;
    };
    const instances = dhts.instances.map((one) =>
      one.name === "p.dht0" ? { ...one, namedFiles: [{ key: "tls.key", path: "/k" }] } : one,
    );
    const planOf = (salt: string) =>
      planDeploy({
        cluster: { ...dhts, instances },
        selected: instances,
        isWhole: true,
        intent: "deploy",
        release: "r2",
        manifests: new Map(dhts.hosts.map((host) => [host.name, ofSalt(salt)(host, "r2")])),
        inventories: new Map(
          dhts.hosts.map((host) => [
            host.name,
            inventoryOf([ofSalt("ab")(host, "r1")], all[host.name as "a"], "r1"),
          ]),
        ),
      });
    expect(actions(planOf("ab"))).toEqual({});
    expect(actions(planOf("cd"))).toEqual({ "p.dht0": "replace" });
    expect(planOf("cd").hosts[0]?.items).toEqual([{ change: "change", item: "files/p.dht0/tls.key" }]);
  });

  test("a process that still runs what its link left behind is restarted", () => {
    const manifests = new Map(dhts.hosts.map((host) => [host.name, manifestOf(dhts, host, "r2")]));
    const old = dhts.hosts.map(
      (host) =>
        [
          host.name,
          inventoryOf(
            [manifestOf(dhts, host, "r1", "0".repeat(64)), manifestOf(dhts, host, "r2")],
            Object.fromEntries(
              dhts.instances
                .filter((one) => one.host === host.name)
                .map(({ name }) => [name, { active: "r2", running: "r1" }]),
            ),
          ),
        ] as const,
    );
    const stale = planDeploy({
      cluster: dhts,
      selected: dhts.instances,
      isWhole: true,
      intent: "deploy",
      release: "r2",
      manifests,
      inventories: new Map(old),
    });
    expect(actions(stale)).toEqual({ "p.dht0": "restart", "p.dht1": "restart", "p.hub0": "restart" });
  });

  test("what is no longer in the files is forgotten, but only by a deploy of the whole", async () => {
    const fewer = await clusterOf({ "p.dht0.json": { host: "a" }, "p.dht1.json": { host: "b" } });
    expect(actions(plan(all, { of: fewer }))).toEqual({ "p.hub0": "forget" });
    expect(actions(plan(all, { of: fewer, whole: false }))).toEqual({});
    expect(actions(plan(all, { of: fewer, intent: "start" }))).toEqual({});
  });

  test("a start leaves alone what runs, whatever it runs", () => {
    const started = plan(
      { a: { "p.dht0": {} }, b: { "p.dht1": { state: "stopped" } } },
      { intent: "start", executable: "f".repeat(64) },
    );
    expect(actions(started)).toEqual({ "p.dht1": "replace", "p.hub0": "replace" });
  });
});

describe("other plans", () => {
  const at = (instances: Record<string, Record<string, Running>>) =>
    new Map(
      dhts.hosts.map((host) => [
        host.name,
        inventoryOf([manifestOf(dhts, host, "r1")], instances[host.name] ?? {}),
      ]),
    );

  test("stop takes what runs, restart also starts what is down, neither what was never deployed", () => {
    const known = at({ a: { "p.dht0": {} }, b: { "p.dht1": { state: "stopped" } } });
    expect(actions({ instances: planRun("stop", dhts.instances, known) })).toEqual({ "p.dht0": "stop" });
    expect(actions({ instances: planRun("restart", dhts.instances, known) })).toEqual({
      "p.dht0": "restart",
      "p.dht1": "start",
    });
  });

  test("rollback goes to the newest good release before the current one that all hosts have", () => {
    const releases =
      (...ids: string[]) =>
      (host: Host) =>
        ids.map((id) => manifestOf(dhts, host, id));
    const [a, b] = dhts.hosts as [Host, Host];
    const inventories = (bad: string[] = []) =>
      new Map(
        [
          ["a", inventoryOf(releases("r1", "r2", "r3", "r4")(a), { "p.dht0": { active: "r4" } }, "r4")],
          [
            "b",
            inventoryOf(
              releases("r1", "r2", "r4")(b),
              { "p.dht1": { active: "r4" }, "p.hub0": { active: "r2" } },
              "r4",
            ),
          ],
        ].map(([host, inventory]) => [
          host as string,
          {
            ...(inventory as Inventory),
            releases: (inventory as Inventory).releases.map((one) => ({
              ...one,
              isBad: bad.includes(one.id),
            })),
          },
        ]),
      );
    expect(rollbackTarget(inventories(), undefined).release).toBe("r2");
    expect(rollbackTarget(inventories(["r2"]), undefined).release).toBe("r1");
    expect(rollbackTarget(inventories(), "r1").release).toBe("r1");
    expect(() => rollbackTarget(inventories(["r1", "r2"]), undefined)).toThrow("no earlier good release");
    expect(() => rollbackTarget(inventories(), "r3")).toThrow("not every host has r3");
    expect(actions({ instances: planRollback("r2", dhts.instances, inventories()) })).toEqual({
      "p.dht0": "replace",
      "p.dht1": "replace",
    });
  });
});
