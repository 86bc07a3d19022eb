/** `deploy`, `start` and `upgrade`: bring releases to hosts, and instances to what the files say. */
import { resolve } from "node:path";
import { buildInfo } from "../../core/build-info.ts";
import { NxError } from "../../core/errors.ts";
import type { Intent } from "../../cluster/plan/deploy-plan.ts";
import type { Executable } from "../../cluster/release/executable.ts";
import type { Salts } from "../../cluster/release/salted.ts";
import type { LaunchOptions } from "../../cluster/plan/launch-options.ts";
import { usageError } from "../strict.ts";
import { defineVerb, type Call } from "../verb.ts";
import {
  assentArgs,
  hostsOf,
  numberOf,
  openCluster,
  prefixArg,
  selectionArgs,
  withAgents,
  type Agents,
  type ClusterContext,
} from "./context.ts";
import { roll, type Planned } from "./roll.ts";

const executableArg = {
  type: "string",
  valueHint: "PATH",
  description: "The executable to send [DIAMOND_SRC_DIR/dist/node-x, else this one]",
} as const;

const launchArgs = {
  batch: {
    type: "string",
    valueHint: "N",
    description: "Batch size of every shard, as in Diamond's scripts",
  },
  keys: { type: "string", valueHint: "FILE", description: "Keys that every shard loads; with --numkeys" },
  numkeys: { type: "string", valueHint: "N", description: "How many of them; with --keys" },
  debug: { type: "boolean", description: "Instances log everything (DEBUG=all)" },
} as const;

const deployArgs = {
  prefix: prefixArg,
  ...selectionArgs,
  ...assentArgs,
  executable: executableArg,
  ...launchArgs,
} as const;

const environmentText =
  "DIAMOND_WORKING_DIR is the directory on the hosts that holds releases and data (else prefix.cluster.json says it, else " +
  "/var/lib/node-x; without ssh the current directory). DIAMOND_SRC_DIR names the checkout whose dist/node-x is sent.";

export const deployVerb = defineVerb({
  name: "deploy",
  summary: "Make the hosts of a cluster what its files say",
  description:
    "Compares the files of the prefix with what the hosts have, shows the plan and asks. Then, under a lock on all hosts: sends the blocks of " +
    "the executable that are not there yet, and replaces what differs in start order and in waves, each instance drained, stopped, swapped, started and " +
    "watched until it was ready for a while. The first failure stops it, shows the instance's last lines and puts that instance back. " +
    `If this machine disappears, the hosts do so by themselves. ${environmentText}`,
  args: deployArgs,
  repeatable: ["only"],
  examples: [
    {
      command: "node-x deploy configs/local --plan",
      shows: "Show what would be done; exit code 2 if there is anything",
    },
    { command: "node-x deploy configs/local -y", shows: "Do it without asking" },
    { command: "node-x deploy configs/prod --only dht0", shows: "One instance first" },
  ],
  run: (call) => bring("deploy", "deploy", call),
});

export const startVerb = defineVerb({
  name: "start",
  summary: "Start a cluster, deploying it first where needed",
  description:
    "Brings up what is down, in start order: timestamp servers, shards, frontends; archives, proxies, storages; regservers, lookups. What was " +
    `not deployed yet, or differs from the files, is deployed first; what runs is left alone. ${environmentText}`,
  args: deployArgs,
  repeatable: ["only"],
  examples: [
    { command: "node-x start configs/local", shows: "Start everything that is down" },
    {
      command:
        "DIAMOND_WORKING_DIR=/srv/diamond node-x start ../platform/test/myconfig --shards 1 --frontends 1",
      shows: "As with manage-servers.py: only the first shard and the first frontend",
    },
  ],
  run: (call) => bring("start", "start", call),
});

export const upgradeVerb = defineVerb({
  name: "upgrade",
  summary: "Replace the executable of a cluster, and nothing else",
  description:
    "Like deploy, but refuses when files of the prefix differ from what the hosts have: so that a new executable is the only thing that changes.",
  args: { prefix: prefixArg, ...selectionArgs, ...assentArgs, executable: executableArg },
  repeatable: ["only"],
  examples: [
    { command: "node-x upgrade configs/prod --executable ./node-x", shows: "Roll out a new executable" },
  ],
  run: (call) => bring("upgrade", "deploy", call as never),
});

type DeployCall = Call<typeof deployArgs>;

export async function bring(
  verb: "deploy" | "start" | "upgrade",
  intent: Intent,
  call: DeployCall,
): Promise<number> {
  const { args } = call;
  const opened = await openCluster(verb, args.prefix, args, call.all("only"), call);
  const context = await withLaunch(opened, await launchOptions(verb, call, opened));
  const [{ Executable: Reader }, { Salts }, { realRandom }, { executablePath }] = await Promise.all([
    import("../../cluster/release/executable.ts"),
    import("../../cluster/release/salted.ts"),
    import("../../core/seams/random.ts"),
    import("../../cluster/operator/place.ts"),
  ]);
  const executable = await Reader.read(
    context.place.disk,
    await executablePath(context.place, args.executable),
  );
  const hosts = context.isWhole ? context.cluster.hosts : hostsOf(context.cluster, context.selected);
  const withoutAgent = args.plan === true ? "counts as empty" : executable;
  return await withAgents(context, hosts, call, withoutAgent, async (agents) => {
    const drawn = { nowMs: context.place.clock.nowMs(), salts: new Salts(realRandom.bytes(32)) };
    const makePlan = () => planFor(context, agents, executable, intent, drawn);
    if (verb === "upgrade") refuseOtherChanges(await makePlan());
    return await roll(
      {
        context,
        agents,
        makePlan,
        executable,
        assent: args,
        isHarmless: intent === "start",
        done: intent === "start" ? "started" : "as their files say",
      },
      call,
    );
  });
}

async function withLaunch(context: ClusterContext, launch: LaunchOptions): Promise<ClusterContext> {
  const isPlain = launch.batch === undefined && launch.keys === undefined && !launch.isDebug;
  if (isPlain) return context;
  const { withLaunchOptions } = await import("../../cluster/plan/launch-options.ts");
  const cluster = withLaunchOptions(context.cluster, launch);
  const names = new Set(context.selected.map(({ name }) => name));
  return { ...context, cluster, selected: cluster.instances.filter(({ name }) => names.has(name)) };
}

async function launchOptions(
  verb: string,
  call: DeployCall,
  { place }: ClusterContext,
): Promise<LaunchOptions> {
  const { batch, keys, numkeys, debug } = call.args;
  if ((keys === undefined) !== (numkeys === undefined))
    throw usageError("--keys and --numkeys belong together", [verb]);
  const batchSize = numberOf(batch, "--batch", verb);
  const keyCount = numberOf(numkeys, "--numkeys", verb);
  const launch: LaunchOptions = {
    isDebug: debug === true,
    ...(batchSize !== undefined && { batch: batchSize }),
  };
  if (keys === undefined || keyCount === undefined) return launch;
  const { readWhole } = await import("../../cluster/release/files.ts");
  const path = resolve(call.workingDirectory, keys);
  const bytes = await readWhole(place.disk, path, KEYS_BYTES_MAX);
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return {
    ...launch,
    keys: { file: { path, name: "keys.txt", sha256, bytes: bytes.byteLength }, count: keyCount },
  };
}

const KEYS_BYTES_MAX = 8 * 1024 * 1024;

async function planFor(
  { cluster, selected, isWhole, operator, place }: ClusterContext,
  agents: Agents,
  executable: Executable,
  intent: Intent,
  drawn: { nowMs: number; salts: Salts },
): Promise<Planned> {
  const [{ inventories }, { makeRelease }, { planDeploy }, { planSteps }] = await Promise.all([
    import("../../cluster/rollout/session.ts"),
    import("../../cluster/release/make.ts"),
    import("../../cluster/plan/deploy-plan.ts"),
    import("../../cluster/rollout/steps.ts"),
  ]);
  const known = await inventories(agents);
  for (const [host, { facts }] of known) executable.assertFits(host, facts);
  const release = await makeRelease({
    cluster: { ...cluster, hosts: cluster.hosts.filter(({ name }) => agents.has(name)) },
    executable,
    version: buildInfo.version,
    madeBy: operator.name,
    ...drawn,
    disk: place.disk,
    known: [...known.values()],
  });
  const manifests = new Map([...release.hosts].map(([host, { manifest }]) => [host, manifest]));
  const deploy = planDeploy({
    cluster,
    selected,
    isWhole,
    intent,
    release: release.id,
    manifests,
    inventories: known,
  });
  const plan = planSteps({
    operation: operator.operation,
    prefix: cluster.prefix,
    release: release.id,
    hosts: deploy.hosts.map(({ host }) => host),
    instances: deploy.instances,
    isWhole,
  });
  return { plan, deploy, releases: release.hosts };
}

/** Throws NX_CONFIG_INVALID when more than the executable would change. */
function refuseOtherChanges({ deploy }: Planned): void {
  const others = (deploy?.hosts ?? []).flatMap(({ host, items }) =>
    items.filter(({ item }) => item !== "executable").map(({ item }) => `${host}: ${item}`),
  );
  if (others.length === 0) return;
  throw new NxError(
    "NX_CONFIG_INVALID",
    `not only the executable differs: ${others.slice(0, 10).join(", ")}`,
    {
      hint: "`node-x deploy` brings both",
    },
  );
}
