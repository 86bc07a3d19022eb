/**
 * What every verb of a cluster does first: read the prefix, choose instances, talk to their hosts.
 *
 * Invariant: every mistake of the files is told before a host is touched, and every connection is closed again, however the verb
 * ends.
 */
import { randomUUID } from "node:crypto";
import { NxError } from "../../core/errors.ts";
import { LiveLines } from "../../core/live-lines.ts";
import { ownCommand } from "../../core/own-command.ts";
import type { AgentClient } from "../../cluster/agent/client.ts";
import type { OperatorPlace } from "../../cluster/operator/place.ts";
import type { Executable } from "../../cluster/release/executable.ts";
import type { Operator } from "../../cluster/rollout/session.ts";
import type { Cluster, Host, Instance } from "../../cluster/topology/types.ts";
import { usageError } from "../strict.ts";
import type { TopologyResult } from "../../cluster/topology/read.ts";
import type { Output, Surroundings } from "../verb.ts";
import { confirm } from "./confirm.ts";

export const prefixArg = {
  type: "positional",
  required: true,
  description: "The cluster's prefix: configs/local means the files configs/local.*",
} as const;

export const selectionArgs = {
  only: {
    type: "string",
    valueHint: "NAME",
    description: "Only these: an instance (dht0), a role, a host or a host's @tag; may be repeated",
  },
  role: { type: "string", valueHint: "ROLE", description: "Only instances of this role" },
  shards: {
    type: "string",
    valueHint: "N",
    description: "Only the first N shards; other roles as without it",
  },
  frontends: {
    type: "string",
    valueHint: "N",
    description: "Only the first N frontends; other roles as without it",
  },
} as const;

export const jsonArg = { type: "boolean", description: "Print JSON" } as const;

export const assentArgs = {
  plan: { type: "boolean", description: "Show what would be done and end; exit code 2 if there is anything" },
  yes: { type: "boolean", alias: "y", description: "Do not ask" },
  json: jsonArg,
} as const;

export interface SelectionWords {
  role?: string | undefined;
  shards?: string | undefined;
  frontends?: string | undefined;
}

/** A whole number of at least `min` from the command line. Throws NX_USAGE. */
export function numberOf(
  text: string | undefined,
  option: string,
  verb: string,
  min = 1,
): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text) || Number(text) < min)
    throw usageError(`${option}: wanted a number of at least ${min}, got "${text}"`, [verb]);
  return Number(text);
}

export interface ClusterContext {
  cluster: Cluster;
  selected: Instance[];
  isWhole: boolean;
  place: OperatorPlace;
  operator: Operator;
}

/** Verbs that bring files to hosts. For all others secrets need not be here. */
const DEPLOYING: readonly string[] = ["deploy", "start", "upgrade", "move"];

/** The cluster of the prefix and the chosen instances. Throws ConfigInvalidError with every mistake, NX_USAGE. */
export async function openCluster(
  verb: string,
  prefix: string,
  { role, shards, frontends }: SelectionWords,
  only: readonly string[],
  surroundings: Surroundings,
  { acceptsMistakes = false } = {},
): Promise<ClusterContext> {
  const { environment, workingDirectory, stderr } = surroundings;
  const [{ readCluster, tryReadCluster }, { isWhole, select }, { schemaCatalog }, { operatorName }, place] =
    await Promise.all([
      import("../../cluster/topology/read.ts"),
      import("../../cluster/plan/selection.ts"),
      import("../../roles.ts"),
      import("../../cluster/operator/place.ts"),
      placeOf(surroundings),
    ]);
  const directory = environment.DIAMOND_WORKING_DIR;
  if (directory !== undefined && !directory.startsWith("/"))
    throw usageError(`DIAMOND_WORKING_DIR: wanted an absolute path, got "${directory}"`, [verb]);
  const ignoresNamedFiles = !DEPLOYING.includes(verb);
  const sources = { prefix, workingDirectory, environment, catalog: schemaCatalog, ignoresNamedFiles };
  const cluster = acceptsMistakes
    ? await readable(await tryReadCluster(sources), stderr)
    : await readCluster(sources);
  for (const notice of cluster.notices) stderr.write(`${notice}\n`);
  const shardCount = numberOf(shards, "--shards", verb);
  const frontendCount = numberOf(frontends, "--frontends", verb);
  const selection = {
    only,
    ...(role !== undefined && { role }),
    ...(shardCount !== undefined && { shards: shardCount }),
    ...(frontendCount !== undefined && { frontends: frontendCount }),
  };
  return {
    cluster,
    selected: select(cluster, selection),
    isWhole: isWhole(selection),
    place,
    operator: { name: operatorName(), why: `node-x ${verb} ${prefix}`, operation: randomUUID() },
  };
}

/** What can be read of it; the mistakes are told all the same. */
async function readable({ partial, problems }: TopologyResult, stderr: Output): Promise<Cluster> {
  const { problemText } = await import("../../core/config/problem.ts");
  for (const problem of problems) stderr.write(`${problemText(problem)}\n`);
  return partial;
}

async function placeOf({ environment, workingDirectory }: Surroundings): Promise<OperatorPlace> {
  const [{ RealDisk }, { lockFile }, { realClock }] = await Promise.all([
    import("../../core/seams/disk-real.ts"),
    import("../../native/system.ts"),
    import("../../core/seams/clock.ts"),
  ]);
  return { disk: new RealDisk(lockFile), clock: realClock, environment, workingDirectory };
}

/** The hosts of these instances, in the cluster's order. */
export function hostsOf(cluster: Cluster, instances: readonly Instance[]): Host[] {
  const names = new Set(instances.map(({ host }) => host));
  return cluster.hosts.filter(({ name }) => names.has(name));
}

export type Agents = ReadonlyMap<string, AgentClient>;

/**
 * What happens with hosts that have no agent of this version: they are given this executable, those without any count as
 * empty, those with another one are asked all the same, or they are refused.
 */
export type WithoutAgent = Executable | "counts as empty" | "any version will do" | undefined;

/** Connects to these hosts at once, works, closes. */
export async function withAgents<Result>(
  { cluster, place }: Pick<ClusterContext, "cluster" | "place">,
  hosts: readonly Host[],
  surroundings: Surroundings,
  withoutAgent: WithoutAgent,
  work: (agents: Agents) => Promise<Result>,
): Promise<Result> {
  const session = await connectTo(cluster, place, hosts, surroundings, withoutAgent);
  try {
    return await work(session.agents);
  } finally {
    session.close();
  }
}

export async function connectTo(
  cluster: Cluster,
  place: OperatorPlace,
  hosts: readonly Host[],
  surroundings: Surroundings,
  withoutAgent: WithoutAgent,
) {
  const [{ connectAgent }, { connectAll }, { realRandom }, { makeStateDirectory, sshSettings, stateDirectory }] =
    await Promise.all([
      import("../../cluster/ssh/connect.ts"),
      import("../../cluster/rollout/session.ts"),
      import("../../core/seams/random.ts"),
      import("../../cluster/operator/place.ts"),
    ]);
  const { stderr } = surroundings;
  const arrivals = new LiveLines(stderr, place.clock);
  const needsSsh = hosts.some(({ access }) => access.kind === "ssh");
  // Before anything changes. Who looks or kills is not kept from it by a home where nothing can be written.
  if (typeof withoutAgent !== "string") await makeStateDirectory(place);
  const options = {
    disk: place.disk,
    random: realRandom,
    settings: needsSsh ? await sshSettings(place) : { program: "ssh", connectTimeoutSeconds: 5 },
    environment: surroundings.environment,
    directory: stateDirectory(place),
    prefix: cluster.prefix,
    localAgent: [...ownCommand(), "agent", "--stdio"],
    ...(withoutAgent === "counts as empty" && { isReadOnly: true, takesAnyProtocol: true }),
    ...(withoutAgent === "any version will do" && { takesAnyProtocol: true }),
    ...(typeof withoutAgent === "object" && { executable: withoutAgent }),
    confirmKeys: async (host: string, keys: readonly { type: string; fingerprint: string }[]) => {
      arrivals.end();
      stderr.write(`${host} is not known. It shows\n`);
      for (const { type, fingerprint } of keys) stderr.write(`  ${fingerprint} (${type})\n`);
      return await confirm(`Is this ${host}? Compare with what its console says`, surroundings);
    },
    onProgress: (host: string, phase: string, detail: string) =>
      arrivals.set(host, phase, stderr.isTty ? detail : ""),
  };
  try {
    return await connectAll(hosts, (host) => connectAgent(host, options));
  } finally {
    arrivals.end();
  }
}

/** Ends a command that is no rollout in the audit logs of both ends. */
export async function noteAtBothEnds(
  { place, cluster, operator }: ClusterContext,
  agents: Agents,
  what: string,
): Promise<void> {
  const [{ witnessEachOther }, { ownAudit }] = await Promise.all([
    import("../../cluster/rollout/session.ts"),
    import("../../cluster/operator/place.ts"),
  ]);
  await witnessEachOther(agents, ownAudit(place, cluster), { ...operator, why: what }, "ok");
}

/** Aborted by Ctrl-C; a second one ends the process, and hosts undo by themselves what was under way. */
export function onInterrupt(say: (text: string) => void): { signal: AbortSignal; close(): void } {
  const controller = new AbortController();
  const handle = () => {
    if (controller.signal.aborted) process.exit(130);
    say(
      "stopping after the steps that are under way; once more to end at once (hosts then undo by themselves)",
    );
    controller.abort(new NxError("NX_ROLLOUT_FAILED", "stopped on request"));
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return {
    signal: controller.signal,
    close() {
      process.off("SIGINT", handle);
      process.off("SIGTERM", handle);
    },
  };
}
