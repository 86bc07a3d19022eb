/**
 * One deployment on a host, with everything that belongs to it: releases, services, lock, guards, audit log.
 *
 * Invariant: what it does to instances it does through `HostServices`, which touches no other deployment, and
 * every step may be repeated: it looks at what is before it changes anything. A crash between two steps
 * leaves a state from which the same request goes on.
 */
import { dirname, join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { removeTree } from "../../core/seams/durable-files.ts";
import { AuditLog } from "../audit/chain.ts";
import { HostLock } from "../lock/host-lock.ts";
import { listIfAny } from "../release/files.ts";
import type { RunProgram } from "../release/incoming.ts";
import { ReleaseStore, type KnownRelease } from "../release/store.ts";
import { Guards } from "../rollout/guards.ts";
import type { HostServices, ServiceSpec, ServiceStatus } from "../services/services.ts";
import { deploymentPaths, ownPaths, type DeploymentPaths } from "../topology/layout.ts";
import { healthOf, processFacts, type AskAdmin } from "./health.ts";
import type { GuardState, HostFacts, InstanceState, Inventory } from "./messages.ts";

/** A host as its agent sees it: the seams, and what differs between a real one and a test's. */
export interface HostWorld {
  disk: LinkingDisk;
  clock: Clock;
  run: RunProgram;
  ask: AskAdmin;
  facts(workingDirectory: string): Promise<HostFacts>;
  /** See messages.ts, `hello`. */
  machineId(): Promise<string>;
  services(workingDirectory: string, prefix: string): Promise<HostServices>;
  /** Starts a watcher of guards that outlives this process. */
  startWatcher(workingDirectory: string, prefix: string): void;
  /** The executable that this agent is, unless it runs from sources. */
  ownExecutable: string | undefined;
}

export class Deployment {
  readonly workingDirectory: string;
  readonly prefix: string;
  readonly paths: DeploymentPaths;
  readonly store: ReleaseStore;
  readonly lock: HostLock;
  readonly guards: Guards;
  readonly audit: AuditLog;
  readonly services: HostServices;
  readonly world: HostWorld;
  #installing: Promise<void> = Promise.resolve();

  private constructor(world: HostWorld, workingDirectory: string, prefix: string, services: HostServices) {
    const { disk, clock, run, ownExecutable } = world;
    this.world = world;
    this.workingDirectory = workingDirectory;
    this.prefix = prefix;
    this.services = services;
    this.paths = deploymentPaths(workingDirectory, prefix);
    this.store = new ReleaseStore({ disk, run, ownExecutable, workingDirectory, paths: this.paths });
    this.lock = new HostLock(disk, clock, this.paths.lock);
    this.guards = new Guards(disk, clock, this.paths.guards);
    this.audit = new AuditLog(disk, clock, this.paths.audit);
  }

  static async open(
    world: HostWorld,
    workingDirectory: string,
    prefix: string,
    { startsWatcher = true } = {},
  ): Promise<Deployment> {
    const services = await world.services(workingDirectory, prefix);
    const deployment = new Deployment(world, workingDirectory, prefix, services);
    // Guards whose watcher is gone, after a reboot for example, must not be forgotten.
    if (startsWatcher && (await deployment.guards.list()).length > 0)
      world.startWatcher(workingDirectory, prefix);
    return deployment;
  }

  async inventory(): Promise<Inventory> {
    const { releases, foreign } = await this.store.list();
    const current = await this.store.current();
    return {
      facts: await this.world.facts(this.workingDirectory),
      servicesKind: this.services.kind,
      lock: await this.lock.state(),
      releases,
      foreignReleases: foreign,
      ...(current !== undefined && { currentRelease: current }),
      instances: await this.states(),
      guards: await this.guards.list(),
      auditHead: await this.audit.head(),
    };
  }

  /** Of these instances, or of all that have a link here. */
  async states(names?: readonly string[]): Promise<InstanceState[]> {
    const known = await this.store.instances();
    const services = new Map((await this.services.status()).map((status) => [status.instance, status]));
    const wanted = names === undefined ? known : known.filter((name) => names.includes(name));
    // Read once: each instance looks into all of them.
    const { releases } = await this.store.list();
    return Promise.all(wanted.map((name) => this.#state(name, services.get(name) ?? absent(name), releases)));
  }

  async state(name: string): Promise<InstanceState> {
    const [state] = await this.states([name]);
    if (state !== undefined) return state;
    throw new NxError("NX_NOT_RUNNING", `${name} is not deployed on this host`);
  }

  async #state(
    name: string,
    service: ServiceStatus,
    releases: readonly KnownRelease[],
  ): Promise<InstanceState> {
    const spec = await this.specOf(name, releases);
    const health =
      spec === undefined
        ? { isAlive: false, isReady: false, reasons: ["no release describes it"] }
        : await healthOf(spec.dataDir, this.world.ask);
    const active = await this.store.active(name);
    const facts = service.pid === undefined ? {} : await processFacts(this.world.disk, service.pid);
    const uptimeMs = (health.stats?.process as { uptimeMs?: number } | undefined)?.uptimeMs;
    return {
      service,
      health,
      ...(active !== undefined && { activeRelease: active }),
      ...(facts.release !== undefined && { runningRelease: facts.release }),
      ...(facts.residentBytes !== undefined && { residentBytes: facts.residentBytes }),
      ...(typeof uptimeMs === "number" && { uptimeMs }),
    };
  }

  /** As its release describes it; a release that somebody made by hand leaves that to the newest of ours. */
  async specOf(instance: string, known?: readonly KnownRelease[]): Promise<ServiceSpec | undefined> {
    const active = await this.store.active(instance);
    const releases = known ?? (await this.store.list()).releases;
    const ordered = releases.toSorted((a, b) => Number(b.id === active) - Number(a.id === active));
    for (const { services } of ordered) {
      const spec = services.find((candidate) => candidate.instance === instance);
      if (spec !== undefined) return spec;
    }
    return undefined;
  }

  /** Points the instance at a release, and makes its service what that release says. */
  async swap(instance: string, release: string): Promise<string | undefined> {
    const previous = await this.store.swap(instance, release);
    await this.#install();
    return previous;
  }

  /**
   * One after the other: what is installed last must be what the links say then, however many swap at the
   * same time.
   */
  #install(): Promise<void> {
    const done = this.#installing.then(() => this.#installAll());
    this.#installing = done.catch(() => undefined);
    return done;
  }

  async #installAll(): Promise<void> {
    const specs: ServiceSpec[] = [];
    const { releases } = await this.store.list();
    for (const name of await this.store.instances()) {
      const spec = await this.specOf(name, releases);
      if (spec !== undefined) specs.push(spec);
    }
    await this.services.install(specs);
  }

  async start(instances: readonly string[]): Promise<void> {
    for (const name of instances) await this.services.start(name);
  }

  async stop(instances: readonly string[]): Promise<void> {
    for (const name of instances) await this.services.stop(name);
  }

  /** Without names: everything of this deployment. */
  async kill(names?: readonly string[]): Promise<string[]> {
    const all = (await this.services.status()).map(({ instance }) => instance);
    const wanted = names === undefined ? all : names.filter((name) => all.includes(name));
    await this.services.kill(wanted);
    // A guard would bring them back. One that does so at this moment is waited for, so once more.
    for (const name of wanted) await this.guards.drop(name);
    await this.services.kill(wanted);
    return wanted;
  }

  async forget(instances: readonly string[]): Promise<void> {
    for (const name of instances) {
      await this.services.stop(name).catch(() => undefined);
      await this.store.forget(name);
      await this.guards.drop(name);
    }
    await this.#install();
  }

  /** What a guard does when it fires: back to the release before, running. */
  async undo(guard: GuardState): Promise<void> {
    const { instance, previous, operation, operator } = guard;
    const startedAtMs = this.world.clock.monotonicMs();
    await this.audit.append({
      operation,
      operator,
      action: "guard fires",
      instance,
      before: guard.next,
      ...(previous !== undefined && { after: previous }),
      result: `the operator was silent for ${guard.silenceMs / 1000} s`,
    });
    const result = await this.#goBack(instance, previous).then(
      () => "ok",
      (error: Error) => error.message,
    );
    const durationMs = this.world.clock.monotonicMs() - startedAtMs;
    await this.audit.append({
      operation,
      operator: "guard",
      action: "roll back",
      instance,
      result,
      durationMs,
    });
  }

  async #goBack(instance: string, previous: string | undefined): Promise<void> {
    if (previous === undefined) return this.forget([instance]);
    const { service, runningRelease, activeRelease } = await this.state(instance);
    const isBack = service.state === "running" && (runningRelease ?? activeRelease) === previous;
    if (isBack && activeRelease === previous) return;
    await this.services.stop(instance);
    await this.swap(instance, previous);
    await this.services.start(instance);
  }

  async watchGuards(): Promise<void> {
    await this.guards.watch((guard) => this.undo(guard));
  }

  /** The data of an instance that moved away gets another name; a copy that is even older goes. */
  async retire(dataDir: string): Promise<string> {
    const { disk } = this.world;
    const aside = `${dataDir}.moved-away`;
    if (!(await disk.exists(dataDir))) return aside;
    await removeTree(disk, aside);
    await disk.rename(dataDir, aside);
    await disk.syncDirectory(dirname(dataDir));
    return aside;
  }

  /**
   * Stops and removes everything, data only when asked for. Of its directory only what is its own: the data of an instance
   * may lie beside that.
   */
  async destroy(withData: boolean): Promise<string[]> {
    const { disk } = this.world;
    const removed: string[] = [];
    const instances = await this.store.instances();
    const dataDirs: string[] = [];
    for (const name of instances) dataDirs.push((await this.specOf(name))?.dataDir ?? "");
    for (const name of instances.toReversed()) await this.services.stop(name);
    await this.services.install([]);
    const { root } = this.paths;
    const own = new Set(ownPaths(this.paths));
    for (const { name, kind } of await listIfAny(disk, root)) {
      const path = join(root, name);
      if (!own.has(path)) continue;
      if (kind === "directory") await removeTree(disk, path);
      else await disk.remove(path);
      removed.push(path);
    }
    if (withData) {
      for (const path of dataDirs.filter((dir) => dir !== "")) {
        await removeTree(disk, path);
        removed.push(path);
      }
    }
    if ((await listIfAny(disk, root)).length > 0) return removed;
    await removeTree(disk, root);
    return [root, ...removed.filter((path) => dirname(path) !== root)];
  }
}

function absent(instance: string): ServiceStatus {
  return { instance, state: "stopped", pid: undefined, restarts: 0, lastEnd: undefined };
}
