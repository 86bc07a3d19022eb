/**
 * The cluster as the hub knows it: who there is, how everybody is, what happened.
 *
 * Invariant: instances that appear in the cluster's files appear here within half a minute, and those that go, go; files that
 * cannot be read leave what is known. Every round of answers is recorded once, then told to whoever listens.
 */
import { buildInfo } from "../core/build-info.ts";
import type { ClusterMember, RoleContext } from "../core/role.ts";
import type { Timer } from "../core/seams/clock.ts";
import { buildOf, oddBuilds } from "../core/watch/builds.ts";
import { type Asked, Scraper } from "../core/watch/scraper.ts";
import type { Watched } from "../core/watch/watched.ts";
import { concernsOf } from "./concerns.ts";
import { detailsOf } from "./details.ts";
import { MetricsPoll } from "./federation/metrics-poll.ts";
import type { History, Values } from "./history/history.ts";
import { DAY_MS } from "./history/levels.ts";
import {
  families,
  type Concern,
  type Family,
  type FullMessage,
  type Happening,
  type HubFacts,
  type ShownInstance,
  type TickMessage,
} from "./messages.ts";
import { lagOf, newestEpochOf } from "./lags.ts";
import { HappeningsWatch, valuesOf } from "./recorder.ts";
import { ReplicationWatch } from "./replication-lag.ts";
import type { StreamApplications } from "./stream/applications.ts";
import { targetsOf, type AskKeys } from "./targets.ts";

export interface ClusterKeys extends AskKeys {
  cluster?: string | undefined;
  scrapePeriodMs: number;
  metricsPeriodMs: number;
  allowsActions: boolean;
}

export interface ClusterViewOptions {
  context: RoleContext<unknown>;
  history: History;
  streams: StreamApplications;
  onRound(): void;
}

const DISCOVER_MS = 30_000;
const RESTARTS_COUNTED_MAX = 1000;

export class ClusterView {
  readonly #options: ClusterViewOptions;
  readonly #scraper: Scraper;
  /** What every instance tells of its metrics. */
  readonly metrics: MetricsPoll;
  readonly #happenings = new HappeningsWatch();
  readonly #discovery: Timer;
  #keys: ClusterKeys;
  #members: ClusterMember[] = [];
  #problems: string[] = [];
  #prefix: string | undefined;
  #restarts = new Map<string, number>();
  readonly #replication = new ReplicationWatch();

  constructor(keys: ClusterKeys, options: ClusterViewOptions) {
    this.#options = options;
    this.#keys = keys;
    const { clock, random, log } = options.context;
    this.metrics = new MetricsPoll({ clock, random, log, periodMs: keys.metricsPeriodMs });
    this.#scraper = new Scraper({ clock, periodMs: keys.scrapePeriodMs, onRound: () => this.#safeRound() });
    this.#discovery = clock.every(DISCOVER_MS, () => void this.discover());
  }

  get asked(): readonly Asked[] {
    return this.#scraper.asked;
  }

  get targets() {
    return this.#scraper.targets;
  }

  get watched(): Watched[] {
    return this.#scraper.watched;
  }

  find(instance: string): Watched | undefined {
    return this.watched.find(({ identity }) => identity.name === instance);
  }

  get readyCount(): number {
    return this.#scraper.snapshots.filter(({ condition }) => condition === "ready").length;
  }

  /** Reads the cluster's files and asks everybody once, for figures and for metrics. */
  async start(): Promise<void> {
    this.#setTargets(this.#keys); // what is wrong with secrets keeps the hub from starting
    await this.discover();
    await this.#scraper.round();
    await this.metrics.settled();
  }

  /** Throws what is wrong with the keys; then nothing is changed. */
  async reload(keys: ClusterKeys): Promise<void> {
    this.#setTargets(keys);
    this.#scraper.setPeriod(keys.scrapePeriodMs);
    this.metrics.setPeriod(keys.metricsPeriodMs);
    this.#keys = keys;
    await this.discover();
  }

  #setTargets(keys: ClusterKeys): void {
    this.#scraper.setTargets(targetsOf(keys, this.#members, this.#options.context.tls));
  }

  /** Reads the cluster's files again. */
  async discover(): Promise<void> {
    const { clusterMembers, log } = this.#options.context;
    const { cluster, instances } = this.#keys;
    if (clusterMembers === undefined || (cluster === undefined && instances.length > 0)) return;
    try {
      const { prefix, members, problems } = await clusterMembers(cluster);
      this.#prefix = prefix;
      this.#members = members;
      this.#problems = problems;
      this.#setTargets(this.#keys);
    } catch (error) {
      const reason = (error as Error).message;
      if (!this.#problems.includes(reason)) log.warn(`the cluster's files cannot be read: ${reason}`);
      this.#problems = [reason];
    }
  }

  /** A defect of ours must not end the hub: the next round comes in a second. */
  #safeRound(): void {
    try {
      this.#round();
    } catch (error) {
      const { message, stack } = error as Error;
      this.#options.context.log.error(`a round could not be recorded: ${message}`, { stack });
    }
  }

  #round(): void {
    const { history, streams, onRound, context } = this.#options;
    const atMs = context.clock.nowMs();
    this.metrics.round(this.asked);
    this.#replication.round(this.watched);
    const values: Values = new Map([
      ...this.watched.map((each) => [each.identity.name, valuesOf(each)] as const),
      ...streams.rates(),
    ]);
    history.record(atMs, values);
    const happenings = this.#happenings.round(this.watched, atMs);
    for (const happening of happenings) history.addHappening(happening);
    if (happenings.length > 0 || this.#restarts.size === 0) this.#countRestarts(atMs);
    onRound();
  }

  #countRestarts(atMs: number): void {
    const restarts = this.#options.history
      .happenings(atMs - DAY_MS, RESTARTS_COUNTED_MAX)
      .filter(({ kind }) => kind === "restarted");
    this.#restarts = new Map(
      [...Map.groupBy(restarts, ({ instance }) => instance)].map(([name, list]) => [name, list.length]),
    );
  }

  /** Something that was done from the page. */
  note(instance: string, text: string): void {
    const { history, context } = this.#options;
    const happening: Happening = { atMs: context.clock.nowMs(), instance, kind: "action", text };
    history.addHappening(happening);
  }

  get instances(): ShownInstance[] {
    const odd = oddBuilds(this.watched);
    const newestEpoch = newestEpochOf(this.watched);
    return this.watched.map((each) => ({
      ...each.snapshot,
      restarts: this.#restarts.get(each.identity.name) ?? 0,
      isOdd: odd.has(buildOf(each.snapshot) ?? ""),
      lag: this.#replication.textOf(each.identity.name) ?? lagOf(each, newestEpoch),
    }));
  }

  get concerns(): Concern[] {
    return concernsOf({
      watched: this.watched,
      restartsOf: (instance) => this.#restarts.get(instance) ?? 0,
      problems: this.#problems,
    });
  }

  #facts(): HubFacts {
    const { instance, clock } = this.#options.context;
    return {
      name: instance,
      prefix: this.#prefix,
      version: buildInfo.version,
      scrapePeriodMs: this.#scraper.periodMs,
      allowsActions: this.#keys.allowsActions,
      streamCount: this.#options.streams.count,
      nowMs: clock.nowMs(),
    };
  }

  /** `view` is a family, or anything else for the overview alone. */
  tick(view: string): TickMessage {
    const family = families.find((name) => name === view);
    return {
      hub: this.#facts(),
      instances: this.instances,
      concerns: this.concerns,
      ...(family !== undefined && this.#family(family)),
    };
  }

  #family(family: Family): Partial<TickMessage> {
    const details = detailsOf(this.watched, family);
    return family === "stream" ? { details, stream: this.#options.streams.tables() } : { details };
  }

  full(view: string): FullMessage {
    const histories = Object.fromEntries(
      this.#scraper.histories.map(({ snapshot, history }) => [snapshot.target, history]),
    );
    return { ...this.tick(view), histories };
  }

  close(): void {
    this.#discovery.cancel();
    this.#scraper.close();
  }
}
