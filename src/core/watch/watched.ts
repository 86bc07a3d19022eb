/**
 * One instance, watched over time: figures per second need the answer before.
 *
 * Invariant: no figure is made across a restart, when counters begin again, nor across a time without answers.
 */
import type { Answer } from "./answer.ts";
import { HISTORY_LENGTH, sparkFigure, type History, type InstanceSnapshot } from "./snapshot.ts";

/** What is known of an instance before it is asked. */
export interface WatchedIdentity {
  /** Unique and stable. */
  name: string;
  role?: string;
  host?: string;
  group?: string;
}

interface Reading {
  answer: Answer;
  atMs: number;
}

export class Watched {
  readonly identity: WatchedIdentity;
  snapshot: InstanceSnapshot;
  readonly history: History = [];
  /** The newest answer; undefined while nobody answers. */
  latest: Reading | undefined;
  /** The answer before it, of the same life of the instance. */
  before: Reading | undefined;

  constructor(identity: WatchedIdentity) {
    this.identity = identity;
    this.snapshot = this.#unreachable("not asked yet");
  }

  accept(received: Answer, atMs: number): void {
    const isSameLife =
      this.latest !== undefined &&
      this.latest.answer.uptimeSeconds <= received.uptimeSeconds &&
      this.latest.answer.pid === received.pid;
    this.before = isSameLife ? this.latest : undefined;
    this.latest = { answer: received, atMs };
    const { process, throughput } = received;
    const { throughput: earlier } = this.before?.answer ?? {};
    this.snapshot = {
      target: this.identity.name,
      condition: received.ready ? "ready" : "not ready",
      reasons: received.reasons,
      name: received.instance,
      role: received.role,
      host: this.identity.host,
      group: typeof received.own.group === "string" ? received.own.group : this.identity.group,
      state: received.state,
      version: received.version,
      commit: received.commit,
      uptimeSeconds: received.uptimeSeconds,
      ports: received.ports,
      keyFigure: received.keyFigure,
      rssBytes: process.rssBytes,
      cpuPercent: this.before && 100 * this.#perSecond(cpuOf(received), cpuOf(this.before.answer)),
      throughput:
        earlier != null && throughput != null
          ? { perSecond: this.#perSecond(throughput.total, earlier.total), unit: throughput.unit }
          : undefined,
    };
  }

  #perSecond(to: number, from: number): number {
    const { latest, before } = this;
    if (latest === undefined || before === undefined || latest.atMs <= before.atMs) return 0;
    return Math.max(0, (to - from) / ((latest.atMs - before.atMs) / 1000));
  }

  fail(reason: string): void {
    // What it was called stays: the operator looks for the name, not for a path.
    const { name, role } = this.snapshot;
    this.snapshot = { ...this.#unreachable(reason), name, role };
    this.latest = undefined;
    this.before = undefined;
  }

  /** Adds the current figure to the history. */
  remember(): void {
    this.history.push(sparkFigure(this.snapshot));
    if (this.history.length > HISTORY_LENGTH) this.history.shift();
  }

  #unreachable(reason: string): InstanceSnapshot {
    const { name, role, host, group } = this.identity;
    return {
      target: name,
      condition: "unreachable",
      reasons: [reason],
      name: name.split("/").at(-1) ?? name,
      ...{ role, host, group, state: undefined, version: undefined, commit: undefined },
      ...{ uptimeSeconds: undefined, ports: {}, keyFigure: "" },
      ...{ rssBytes: undefined, cpuPercent: undefined, throughput: undefined },
    };
  }
}

function cpuOf({ process }: Answer): number {
  return process.cpuUserSeconds + process.cpuSystemSeconds;
}
