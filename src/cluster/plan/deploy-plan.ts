/**
 * What has to happen so that the hosts have what the files say: a comparison of a release with the hosts' inventories.
 *
 * Invariant: pure functions over plain data, and the plan that is shown is the plan that is performed. An instance is
 * replaced only when something that it uses differs: the executable, its own files, its own service. So a change of one
 * instance's file restarts that instance, and doing nothing twice is doing nothing.
 */
import type { InstanceState, Inventory, ReleaseManifest } from "../agent/messages.ts";
import type { Action, PlannedInstance } from "../rollout/steps.ts";
import { isLeader } from "../rollout/steps.ts";
import { namedFilePath } from "../topology/layout.ts";
import type { Cluster, Instance } from "../topology/types.ts";

export type Change = "add" | "change" | "remove";

export interface ItemChange {
  change: Change;
  /** `executable`, `configs/p.dht0.json`, `service p.dht0`. */
  item: string;
  /** Digests, shortened, where the item has one. */
  before?: string;
  after?: string;
}

export interface HostChanges {
  host: string;
  /** The release that it has, and the one it gets; equal when nothing is sent. */
  from: string | undefined;
  to: string;
  items: ItemChange[];
}

export interface DeployPlan {
  release: string;
  hosts: HostChanges[];
  /** With something to do, in start order; those that leave first. */
  instances: PlannedInstance[];
  /** Instances that stay as they are. */
  unchanged: string[];
}

/** `deploy`: everything becomes what the files say. `start`: what runs is left alone, only what is down is brought up. */
export type Intent = "deploy" | "start";

export interface DeployInput {
  cluster: Cluster;
  /** Those that the command is about. */
  selected: readonly Instance[];
  isWhole: boolean;
  intent: Intent;
  release: string;
  manifests: ReadonlyMap<string, ReleaseManifest>;
  inventories: ReadonlyMap<string, Inventory>;
}

const DIGEST_SHOWN = 12;

export function planDeploy(input: DeployInput): DeployPlan {
  const { cluster, selected, isWhole, intent, release, manifests, inventories } = input;
  const planned: PlannedInstance[] = [];
  const unchanged: string[] = [];
  for (const instance of selected) {
    const inventory = inventories.get(instance.host);
    const manifest = manifests.get(instance.host);
    if (inventory === undefined || manifest === undefined) continue;
    const state = inventory.instances.find(({ service }) => service.instance === instance.name);
    const guard = inventory.guards.find((candidate) => candidate.instance === instance.name);
    if (guard !== undefined) {
      // A rollout ended in its midst: this one takes it over, with the same release to fall back to.
      const { from: _, ...unfinished } = plannedOf(instance, state, "replace");
      const { previous } = guard;
      planned.push(previous === undefined ? unfinished : { ...unfinished, from: previous });
      continue;
    }
    const action = actionFor(instance, state, inventory, manifest, intent);
    if (action === undefined) unchanged.push(instance.name);
    else planned.push(plannedOf(instance, state, action));
  }
  const leaving = isWhole && intent === "deploy" ? leavingOf(cluster, inventories) : [];
  const busy = new Set(planned.filter(({ action }) => action === "replace").map(({ host }) => host));
  const hosts = [...busy].map((host) => changesOf(host, input));
  return { release, hosts, instances: [...leaving, ...planned], unchanged };
}

export function hasWork({ instances }: DeployPlan): boolean {
  return instances.length > 0;
}

function actionFor(
  instance: Instance,
  state: InstanceState | undefined,
  inventory: Inventory,
  manifest: ReleaseManifest,
  intent: Intent,
): Action | undefined {
  const isUp = isRunning(state);
  const known = inventory.releases.find(({ id }) => id === state?.activeRelease);
  const isSame = known !== undefined && partsOf(instance, known) === partsOf(instance, manifest);
  // A process that still runs what the link no longer points to was not restarted: a crash came in between.
  const runs = inventory.releases.find(({ id }) => id === state?.runningRelease);
  const isStale = isUp && runs !== undefined && partsOf(instance, runs) !== partsOf(instance, manifest);
  if (isUp && intent === "start") return undefined;
  if (!isSame) return "replace";
  if (isStale) return "restart";
  return isUp ? undefined : "start";
}

/** Everything of a release that can make a difference to one instance. */
function partsOf(
  { name, files, namedFiles }: Instance,
  { executable, files: all, services }: ReleaseManifest,
): string {
  const names = new Set([
    ...files.map((file) => `configs/${file.name}`),
    ...namedFiles.map(({ key }) => namedFilePath(name, key)),
  ]);
  return JSON.stringify([
    executable.sha256,
    all.filter((file) => names.has(file.name)).map(({ name: file, sha256 }) => [file, sha256]),
    services.find((service) => service.instance === name),
  ]);
}

export function isRunning(state: InstanceState | undefined): boolean {
  return state !== undefined && state.service.state !== "stopped";
}

export function plannedOf(
  { name, role, host, group, index, rollout }: Instance,
  state: InstanceState | undefined,
  action: Action,
): PlannedInstance {
  const from = state?.activeRelease;
  return {
    name,
    role,
    host,
    group,
    index,
    rollout,
    action,
    isRunning: isRunning(state),
    isLeader: isLeader(state?.health.stats, role),
    ...(from !== undefined && { from }),
  };
}

/** Instances that a host still has and that the files no longer place there. */
function leavingOf(
  { prefix, instances }: Cluster,
  inventories: ReadonlyMap<string, Inventory>,
): PlannedInstance[] {
  return [...inventories].flatMap(([host, inventory]) =>
    inventory.instances
      .filter(
        ({ service }) => !instances.some(({ name, host: at }) => name === service.instance && at === host),
      )
      .map((state): PlannedInstance => {
        const role = roleOf(state.service.instance, prefix, inventory);
        return {
          name: state.service.instance,
          role,
          host,
          group: undefined,
          index: 0,
          rollout: { unavailableMax: 1, healthyForMs: 0, readyTimeoutMs: 0, stopTimeoutMs: 0 },
          action: "forget",
          isRunning: isRunning(state),
          isLeader: false,
          ...(state.activeRelease !== undefined && { from: state.activeRelease }),
        };
      }),
  );
}

function roleOf(instance: string, prefix: string, { releases }: Inventory): string {
  const known = releases.flatMap(({ services }) => services).find((service) => service.instance === instance);
  return known?.role ?? instance.slice(prefix.length + 1).replace(/[0-9.]+$/, "");
}

function changesOf(host: string, { release, manifests, inventories }: DeployInput): HostChanges {
  const inventory = inventories.get(host);
  const next = manifests.get(host) as ReleaseManifest;
  const from = inventory?.currentRelease;
  const previous = inventory?.releases.find(({ id }) => id === from);
  const items = [
    ...compare(previous === undefined ? [] : [["executable", previous.executable.sha256]], [
      ["executable", next.executable.sha256],
    ]),
    ...compare(digestsOf(previous, "open"), digestsOf(next, "open")),
    // Of what is private even a digest is nobody's business.
    ...compare(digestsOf(previous, "private"), digestsOf(next, "private")).map(({ change, item }) => ({
      change,
      item,
    })),
    ...compare(servicesOf(previous), servicesOf(next)).map(({ change, item }) => ({ change, item })),
  ];
  return { host, from, to: release, items };
}

function digestsOf(manifest: ReleaseManifest | undefined, kind: "open" | "private"): [string, string][] {
  const files = manifest?.files ?? [];
  return files
    .filter(({ salt }) => (salt === undefined) === (kind === "open"))
    .map(({ name, sha256 }) => [name, sha256]);
}

function servicesOf(manifest: ReleaseManifest | undefined): [string, string][] {
  return manifest?.services.map((service) => [`service ${service.instance}`, JSON.stringify(service)]) ?? [];
}

function compare(
  before: readonly (readonly string[])[],
  after: readonly (readonly string[])[],
): ItemChange[] {
  const [old, fresh] = [new Map(before as [string, string][]), new Map(after as [string, string][])];
  const shown = (digest: string | undefined) => digest?.slice(0, DIGEST_SHOWN);
  return [...new Set([...old.keys(), ...fresh.keys()])].sort().flatMap((item): ItemChange[] => {
    const [was, is] = [shown(old.get(item)), shown(fresh.get(item))];
    if (old.get(item) === fresh.get(item)) return [];
    const change = was === undefined ? "add" : is === undefined ? "remove" : "change";
    return [
      { change, item, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) },
    ];
  });
}
