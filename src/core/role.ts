/**
 * What a role is: a value. `run`, `up`, `check`, `hub`, the docs and deploy all read this one shape.
 *
 * Invariant: a role gets its whole world through `RoleContext` and keeps nothing at module level, so any
 * number of instances can live in one process (tests, simulations) without knowing of each other.
 */
import type { Hono } from "hono";
import type { z } from "zod";
import type { IniDialect } from "./config/ini/dialect.ts";
import type { JsonDialect } from "./config/json-dialect.ts";
import type { Clock } from "./seams/clock.ts";
import type { RunCommand } from "./kernel/run-command.ts";
import type { Disk } from "./seams/disk.ts";
import type { Log } from "./logging/log.ts";
import type { Metrics } from "./metrics.ts";
import type { Net, TlsMaterial } from "./seams/net.ts";
import type { OpenObjectStore } from "./seams/object-store.ts";
import type { Random } from "./seams/random.ts";
import type { Terminal } from "./terminal.ts";

/** The seams. Everything that can differ between a real host and a simulation. */
export interface World {
  clock: Clock;
  random: Random;
  disk: Disk;
  net: Net;
  /** Programs of the host; absent where a role runs none, and then the real ones are meant. */
  run?: RunCommand;
  /** Object stores; absent where a role uses none, and then S3 is meant. */
  openObjects?: OpenObjectStore;
}

/** An instance of a cluster, as the cluster's files describe it. */
export interface ClusterMember {
  name: string;
  role: string;
  /** The host's name. */
  host: string;
  /** It runs on the machine of the instance that asks: its admin socket can be reached. */
  isHere: boolean;
  /** Absolute, on its host. */
  dataDir: string;
  /** Where its ports are reached. */
  address: string;
  /** The configured ones by key; those that are chosen at the start are missing. */
  ports: Record<string, number>;
  /** Its admin endpoint over TCP, if it has one. */
  admin?: { host: string; port: number };
  /** The name that all replicas of its group share, where the files tell. */
  group?: string;
}

export interface ClusterMembers {
  /** Undefined when the asking instance belongs to no cluster. */
  prefix: string | undefined;
  /** In start order. */
  members: ClusterMember[];
  /** Mistakes in the files, each with its place. */
  problems: string[];
}

/** A file that can be opened again at its path, after another program has renamed it. */
export interface ReopenableFile {
  readonly path: string;
  reopen(): void;
}

export interface RoleContext<Config> extends World {
  /** Unique in the cluster, e.g. `local.dht0`. */
  instance: string;
  config: Config;
  /** Absolute, exists, locked by this process. */
  dataDir: string;
  log: Log;
  metrics: Metrics;
  /** Absolute path of the INI file that the value of this key came from, for roles that rewrite it in place. */
  iniFileOf?(key: string): string | undefined;
  /**
   * Reads who else there is in the cluster of this instance's file, or of another prefix. Missing where nobody can tell.
   * Throws NX_CONFIG_UNREADABLE.
   */
  clusterMembers?: (prefix?: string) => Promise<ClusterMembers>;
  /** Begin as if the data directory were empty: what an earlier life kept there goes. Only where `canStartFresh`. */
  isFresh?: boolean;
  /** The files that the process writes its logs to; absent where it is not an instance's own. */
  logFiles?: readonly ReopenableFile[];
  /** From the key `tls`, read and checked; undefined when listeners are plain. */
  tls: TlsMaterial | undefined;
  /** What `start` is doing, e.g. `loading snapshot-4.nxl: 37 %`; `/readyz` and the service manager show it. */
  progress(text: string): void;
  /** Tell the kernel that a listener is up: it goes to `ports.json`, `/stats` and the log. */
  announcePort(key: string, port: number): void;
  /** The role has done what it was started for: the kernel shuts the instance down, exit code 0. */
  done?(): void;
  /**
   * Report a fatal failure from outside `start` (a failed sync, say): the kernel writes last words and
   * stops the process with the error's exit code.
   */
  fatal(error: Error): void;
}

/** Why an instance is not ready, each a short sentence. Empty means ready. */
export type NotReadyReasons = string[];

/** One figure or a nested group of figures; `/stats` serves it as JSON, the hub draws it. */
export type StatsValue =
  number | string | boolean | null | undefined | StatsValue[] | { [key: string]: StatsValue };
export type Stats = { [key: string]: StatsValue };

export interface RunningRole<Config> {
  /** Evaluated at each `/readyz`. */
  notReady(): NotReadyReasons;
  /** Cheap: called each second by the console line and the hub. */
  stats(): Stats;
  /** The figure a one-line overview shows, e.g. `99,357 records`. */
  keyFigure(): string;
  /** What the role has done since its start, in its own unit (`requests`): the hub draws it per second. */
  throughput?(): { total: number; unit: string };
  /** One line of `name:value` pairs for stats.log; counters are since the previous call. */
  statsLine?(): string;
  /** The live line on a terminal (without line end), if the role has one. */
  consoleLine?(): string;
  /** Applies a configuration in which only reloadable keys differ. */
  reload?(config: Config): void | Promise<void>;
  /** First step of shutdown: refuse new work, finish what was begun. */
  drain?(): Promise<void>;
  /** Second step: close everything. Nothing may be running afterwards. */
  stop(): Promise<void>;
  /** Extra routes on the admin endpoint. */
  admin?(app: Hono): void;
}

export interface RoleDefinition<Schema extends z.ZodObject> {
  name: string;
  /** One line for `node-x roles`. */
  summary: string;
  /** What an acknowledged write survives, one line for `node-x roles`. */
  durability: string;
  /** The whole configuration, built with `roleSchema` (config/). */
  config: Schema;
  /** Keys (dotted) that a running instance can change on SIGHUP. */
  reloadable: string[];
  /** How people reach it, by port key: `{ respPort: "redis-cli -h {host} -p {port}" }`. `node-x up` prints it. */
  reach?: Record<string, string>;
  /** The key of a port whose page shows the whole cluster: `node-x up` names it last. */
  overviewPort?: string;
  /** How it reads the INI files of the original program that it replaces. */
  ini?: IniDialect;
  /** How it reads the JSON files of such a program. */
  json?: JsonDialect;
  /**
   * The command line of such a program (`node-x run ROLE --config FILE -- OPTION…`) as `KEY=VALUE` texts, which win over
   * the file. Throws NX_USAGE. Absent: words behind `--` are refused.
   */
  originalFlags?(words: readonly string[]): string[];
  /** It heeds `isFresh` of its context. `node-x run ROLE --fresh` is refused for all others. */
  canStartFresh?: boolean;
  /** Resolves when the instance serves. Throws NxError when it cannot. */
  start(context: RoleContext<z.output<Schema>>): Promise<RunningRole<z.output<Schema>>>;
  /** The role's load generator, run by `node-x bench <role>`. */
  bench?: () => Promise<{ default: BenchCommand }>;
}

/** What a role says of itself without its code: enough for `check`, `init`, `roles` and the docs. */
export type RoleAbout<Schema extends z.ZodObject = z.ZodObject> = Pick<
  RoleDefinition<Schema>,
  | "name"
  | "summary"
  | "durability"
  | "config"
  | "reloadable"
  | "reach"
  | "overviewPort"
  | "ini"
  | "json"
  | "originalFlags"
  | "canStartFresh"
>;

/** Takes the words after `node-x bench <role>`; returns an exit code. Throws NxError for wrong words or no server. */
export type BenchCommand = (argv: string[], terminal: Terminal) => Promise<number>;

/** A role with its schema forgotten, as the table in roles.ts holds it. */
export type Role = RoleDefinition<z.ZodObject>;

/**
 * Declares a role: checks its types against its own schema, then forgets the schema. Safe, because the configuration
 * that a role is started with has always been parsed by `role.config`.
 */
export function defineRole<Schema extends z.ZodObject>(role: RoleDefinition<Schema>): Role {
  return role as unknown as Role;
}
