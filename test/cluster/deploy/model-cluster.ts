/** A cluster of model hosts, with releases to roll out to it. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentClient } from "../../../src/cluster/agent/client.ts";
import type { InstanceState } from "../../../src/cluster/agent/messages.ts";
import { Executable } from "../../../src/cluster/release/executable.ts";
import { Salts } from "../../../src/cluster/release/salted.ts";
import { makeRelease, type Release } from "../../../src/cluster/release/make.ts";
import type { Fence } from "../../../src/cluster/release/upload.ts";
import { runRollout, type EngineOptions, type StepExecutor } from "../../../src/cluster/rollout/engine.ts";
import { AgentExecutor } from "../../../src/cluster/rollout/executor.ts";
import { JournalWriter, readJournal } from "../../../src/cluster/rollout/journal.ts";
import { connectAll, inventories, lockAll } from "../../../src/cluster/rollout/session.ts";
import { planSteps, type PlannedInstance, type RolloutPlan } from "../../../src/cluster/rollout/steps.ts";
import type { Cluster, Instance } from "../../../src/cluster/topology/types.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { lockFile } from "../../../src/native/system.ts";
import { FastClock, memoryDirectory, ModelHost } from "./model-host.ts";

/** Some seconds of the machine's time: longer than any of its hiccups. */
export const SILENCE_MS = 100_000;
const disk = new RealDisk(lockFile);

/** A file with the header of a program for x86-64 and contents that differ in their middle. */
export function programBytes(seed: number): Uint8Array {
  const header = Buffer.alloc(64);
  header.writeUInt32BE(0x7f454c46, 0);
  header[4] = 2;
  header.writeUInt16LE(0x3e, 18);
  header.writeBigUInt64LE(64n, 32);
  return Buffer.concat([
    header,
    seededRandom(1).bytes(150_000),
    seededRandom(seed).bytes(5000),
    seededRandom(2).bytes(150_000),
  ]);
}

export interface Content {
  /** Of the executable. */
  seed: number;
  /** By instance: see ModelProcess. */
  fates?: Record<string, string>;
}

export class ModelCluster implements Disposable {
  readonly clock = new FastClock(20);
  readonly directory = mkdtempSync(join(memoryDirectory(), "node-x-operator-"));
  readonly hosts: ModelHost[];
  readonly #instances: { name: string; host: string }[];

  /** `instancesPerHost` instances on each of `hostCount` hosts. */
  constructor(hostCount: number, instancesPerHost: number) {
    this.hosts = Array.from({ length: hostCount }, (_, index) => new ModelHost(`h${index}`, this.clock));
    this.#instances = this.hosts.flatMap(({ name }, host) =>
      Array.from({ length: instancesPerHost }, (_, index) => ({
        name: `m.dht${host * instancesPerHost + index}`,
        host: name,
      })),
    );
  }

  async release({
    seed,
    fates = {},
  }: Content): Promise<{ cluster: Cluster; executable: Executable; release: Release }> {
    const place = join(this.directory, `content-${seed}-${JSON.stringify(fates).length}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "node-x"), programBytes(seed));
    const executable = await Executable.read(disk, join(place, "node-x"));
    const instances = this.#instances.map(({ name, host }, index): Instance => {
      const path = join(place, `${name}.json`);
      const text = JSON.stringify({ fate: fates[name] ?? "ready" });
      writeFileSync(path, text);
      const sha256 = createHash("sha256").update(text).digest("hex");
      return {
        name,
        role: "dht",
        index,
        replica: undefined,
        group: undefined,
        host,
        files: [{ path, name: `${name}.json`, sha256, bytes: text.length }],
        namedFiles: [],
        privileges: [],
        words: ["dht", "--config", `{configs}/${name}.json`],
        dataDir: join(this.directory, name),
        ports: [],
        environment: {},
        outputFile: `${name}.txt`,
        rollout: { unavailableMax: 1, healthyForMs: 300, readyTimeoutMs: 3000, stopTimeoutMs: 1000 },
      };
    });
    const cluster: Cluster = {
      prefix: "m",
      directory: place,
      instances,
      hosts: this.hosts.map(({ host }) => host),
      notices: [],
    };
    const release = await makeRelease({
      cluster,
      executable,
      version: `${seed}`,
      madeBy: "test",
      nowMs: this.clock.nowMs(),
      disk,
      known: [],
      salts: new Salts(new Uint8Array(32)),
    });
    return { cluster, executable, release };
  }

  async connect(): Promise<Map<string, AgentClient>> {
    const { agents } = await connectAll(this.hosts, (host) => host.connect("m"));
    return new Map(agents);
  }

  /** What every instance is, as the hosts say; undefined where there is none. */
  async states(): Promise<Record<string, InstanceState | undefined>> {
    const agents = await this.connect();
    const found: Record<string, InstanceState | undefined> = {};
    for (const { name } of this.#instances) found[name] = undefined;
    for (const { instances } of (await inventories(agents)).values()) {
      for (const state of instances) found[state.service.instance] = state;
    }
    for (const agent of agents.values()) agent.close();
    return found;
  }

  async plan(content: Content, operation: string): Promise<RolloutPlan> {
    const { cluster, release } = await this.release(content);
    const states = await this.states();
    const instances = cluster.instances.map((instance): PlannedInstance => {
      const from = states[instance.name]?.activeRelease;
      const isRunning = states[instance.name]?.service.state === "running";
      return {
        ...instance,
        action: "replace",
        isRunning,
        isLeader: false,
        ...(from !== undefined && { from }),
      };
    });
    const hosts = this.hosts.map(({ name }) => name);
    return planSteps({ operation, prefix: "m", release: release.id, hosts, instances, isWhole: true });
  }

  journalOf(operation: string): string {
    return join(this.directory, `${operation}.jsonl`);
  }

  /** Performs a plan in a session of its own; `wrap` may cut it short. */
  async perform(
    content: Content,
    plan: RolloutPlan,
    wrap: (executor: StepExecutor, agents: ReadonlyMap<string, AgentClient>) => StepExecutor = (executor) =>
      executor,
    onEvent: EngineOptions["onEvent"] = () => undefined,
  ): Promise<void> {
    const { executable, release } = await this.release(content);
    const agents = await this.connect();
    const path = this.journalOf(plan.operation);
    const earlier = await readJournal(disk, path);
    const journal = await JournalWriter.open(disk, this.clock, path, plan);
    const operator = { name: "me@here", why: "deploy m", operation: plan.operation };
    const lock = await lockAll(agents, { clock: this.clock, operator, isForced: true });
    const releases = new Map(
      [...release.hosts].map(([host, { manifest, files }]) => {
        const id = plan.release ?? manifest.id;
        return [host, { manifest: { ...manifest, id }, files }];
      }),
    );
    const executor = new AgentExecutor({
      plan,
      agents,
      fence: lock.fence,
      releases,
      executable,
      silenceMs: SILENCE_MS,
      keepReleases: 5,
    });
    try {
      await runRollout({
        plan,
        executor: wrap(executor, agents),
        journal,
        ...(earlier !== undefined && { earlier }),
        onEvent,
        signal: lock.lost,
      });
    } finally {
      await lock.release();
      await journal.close();
      for (const agent of agents.values()) agent.close();
    }
  }

  async deploy(content: Content, operation: string): Promise<string> {
    const plan = await this.plan(content, operation);
    await this.perform(content, plan);
    return plan.release as string;
  }

  /** The operator is silent for so long that every guard fires. */
  async fallSilent(): Promise<void> {
    while (this.isWatched) {
      this.clock.skip(SILENCE_MS);
      await Bun.sleep(5);
    }
  }

  get isWatched(): boolean {
    return this.hosts.some(({ isWatched }) => isWatched);
  }

  fenceFor(generation: number): Fence {
    return { generation, operation: "op", operator: "me@here" };
  }

  [Symbol.dispose](): void {
    for (const host of this.hosts) host[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
