/**
 * The files of a prefix → one `Cluster`, or every mistake in them.
 *
 * Invariant: no host is asked and nothing is started or written; whatever can be wrong without asking a host is found
 * here, all of it at once, each with file, line and column. Values of the operator's environment do not count: the
 * instances run elsewhere, with the files alone.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import { listConfigDirectory } from "../../core/config/config-directory.ts";
import { parseGroupFile, quorumOf, type GroupFile } from "../../core/config/group-file.ts";
import { configKeys, isPortKey } from "../../core/config/keys.ts";
import {
  readConfigFile,
  tryLoadConfig,
  type LoadedConfig,
  type SchemaCatalog,
} from "../../core/config/load.ts";
import { nearest } from "../../core/config/nearest.ts";
import type { Origin } from "../../core/config/origin.ts";
import { ConfigInvalidError, noticeText, type Notice, type Problem } from "../../core/config/problem.ts";
import { valueAt } from "../../core/config/validate.ts";
import { NxError } from "../../core/errors.ts";
import { wholeProblems, type Member, type PlacedInstance } from "./clashes.ts";
import { emptyClusterFile, readClusterFile, type ClusterFile, type ReadClusterFile } from "./cluster-file.ts";
import { Hosts, type HostSurroundings } from "./hosts.ts";
import { namedFileProblems, namedFilesOf, strayFileNotices, wordsFor } from "./named-files.ts";
import { filesOfPrefix, isPrefix, type MemberName, type PrefixFiles } from "./names.ts";
import { inStartOrder, startOrders, type StartOrder } from "./order.ts";
import { groupWords, outputFileOf } from "./original-names.ts";
import { isOnItsOwn, peersOf } from "./peers.ts";
import { privilegesOf } from "./privileges.ts";
import { programFilesOf, wordsForPrograms, type ProgramFiles } from "./program-files.ts";
import { rolloutOf } from "./rollout-policy.ts";
import type { Cluster, ConfigFile, Host, Instance, PortUse, RolloutPolicy } from "./types.ts";

export interface TopologySources extends HostSurroundings {
  /** As the operator wrote it: `configs/local`. */
  prefix: string;
  catalog: SchemaCatalog;
  orders?: readonly StartOrder[];
  /** Nobody wants to start anything: secrets and certificates are not looked for. */
  ignoresNamedFiles?: boolean;
}

export interface TopologyResult {
  /** Undefined when there are problems. */
  cluster: Cluster | undefined;
  /** What could be read in spite of the problems: enough to end things, not to start them. */
  partial: Cluster;
  problems: Problem[];
  notices: Notice[];
  /** All files of the prefix, as the operator would write them. */
  files: string[];
}

/** The cluster of a prefix. Throws ConfigInvalidError with every mistake, NX_CONFIG_UNREADABLE when there are no files. */
export async function readCluster(sources: TopologySources): Promise<Cluster> {
  const { cluster, problems } = await tryReadCluster(sources);
  if (cluster === undefined)
    throw new ConfigInvalidError(problems, `\`node-x check ${sources.prefix}\` checks again`);
  return cluster;
}

/** Like `readCluster`, but returns the problems. Throws NX_CONFIG_UNREADABLE when there are no files or one cannot be read. */
export async function tryReadCluster(sources: TopologySources): Promise<TopologyResult> {
  return await new Reading(sources).result();
}

/** True when the word is a prefix with files, whatever is in them. */
export function isClusterPrefix(sources: TopologySources): boolean {
  const reading = new Reading(sources);
  const { members, contested } = reading.names();
  return members.length + contested.length > 0;
}

const noPrograms: ProgramFiles = { names: [], entries: new Map(), problems: [], notices: [] };

class Reading {
  readonly #sources: TopologySources;
  readonly #prefix: string;
  readonly #directory: string;
  readonly #problems: Problem[] = [];
  readonly #notices: Notice[] = [];
  readonly #members: Member[] = [];
  readonly #files = new Map<string, ConfigFile>();
  /** By instance, where its configuration says it. */
  readonly #shutdownTimeouts = new Map<string, number>();
  #clusterFile: ClusterFile = emptyClusterFile;
  #hosts: Hosts;

  constructor(sources: TopologySources) {
    this.#sources = sources;
    const path = resolve(sources.workingDirectory, sources.prefix);
    this.#prefix = basename(path);
    this.#directory = dirname(path);
    this.#hosts = new Hosts(emptyClusterFile, sources);
  }

  names(): PrefixFiles {
    const names = isPrefix(this.#prefix) ? listConfigDirectory(this.#directory) : [];
    return filesOfPrefix(this.#prefix, names, this.#sources.catalog.names);
  }

  async result(): Promise<TopologyResult> {
    const names = this.names();
    const { members, clusterFile, contested, unclear } = names;
    if (members.length + contested.length === 0) throw this.#nothing();
    for (const { name, prefixes } of contested)
      this.#problem(
        this.#startOf(name),
        "a file of one prefix",
        `one that ${prefixes.join(" and ")} both claim`,
      );
    for (const { name, role } of unclear) {
      const suggestion = nearest(role, this.#sources.catalog.names);
      const hint = suggestion === undefined ? "" : ` (did you mean ${suggestion}?)`;
      this.#notices.push({
        level: "warn",
        origin: this.#startOf(name),
        text: `there is no role ${role}${hint}; not read`,
      });
    }
    const read = clusterFile === undefined ? undefined : this.#readClusterFile(clusterFile);
    this.#doubles(members);
    for (const member of members) await this.#read(member, members);
    this.#placementProblems(read);
    const { orders = startOrders } = this.#sources;
    this.#problems.push(
      ...wholeProblems({
        prefix: this.#prefix,
        names: members,
        members: this.#members,
        orders,
        startOf: (name) => this.#startOf(name),
      }),
    );
    const files = [...members, ...contested].map(({ name }) => this.#shown(name));
    if (clusterFile !== undefined) files.push(this.#shown(clusterFile));
    const partial = this.#cluster(orders);
    const cluster = this.#problems.length === 0 ? partial : undefined;
    return { cluster, partial, problems: this.#problems, notices: this.#notices, files: files.sort() };
  }

  #cluster(orders: readonly StartOrder[]): Cluster {
    const all = this.#members.map(({ instance }) => instance);
    const sorted = inStartOrder(all, this.#sources.catalog.names, orders);
    const hostsByName = new Map(this.#members.map(({ host }) => [host.name, host]));
    const instances = withRollout(this.#clusterFile, sorted, this.#shutdownTimeouts);
    const hosts = [...new Set(instances.map(({ host }) => hostsByName.get(host)))];
    return {
      prefix: this.#prefix,
      directory: this.#directory,
      instances,
      hosts: hosts.filter((host): host is Host => host !== undefined),
      notices: this.#notices.map(noticeText),
    };
  }

  #readClusterFile(name: string): ReadClusterFile {
    const read = readClusterFile(this.#shown(name), this.#bytes(name));
    this.#problems.push(...read.problems);
    if (read.value !== undefined) this.#clusterFile = read.value;
    this.#hosts = new Hosts(this.#clusterFile, this.#sources);
    return read;
  }

  /** Two files of one instance: `p0.config` and `p.shard0.json`, `p.dht0.json` and `p.dht0.jsonc`. */
  #doubles(members: readonly MemberName[]): void {
    const seen = new Map<string, string>();
    for (const { role, index = 0, name } of members) {
      const identity = `${role}${index}`;
      const first = seen.get(identity);
      if (first === undefined) seen.set(identity, name);
      else
        this.#problem(
          this.#startOf(name),
          `one file for ${identity}`,
          `another beside ${this.#shown(first)}`,
        );
    }
  }

  async #read(member: MemberName, all: readonly MemberName[]): Promise<void> {
    if (member.kind === "json") return await this.#readJson(member, all);
    if (!this.#sources.catalog.names.includes(member.role))
      this.#problem(
        this.#startOf(member.name),
        "a file of a role that this executable has",
        `one of ${member.role}`,
      );
    const group = parseGroupFile(this.#shown(member.name), this.#bytes(member.name), member.kind);
    this.#problems.push(...group.problems);
    this.#notices.push(...group.notices);
    for (const replica of group.members.keys()) this.#addReplica(member, group, replica, all);
  }

  #addReplica(member: MemberName, group: GroupFile, replica: number, all: readonly MemberName[]): void {
    const { role, index = 0, kind } = member;
    const address = group.members[replica] as GroupFile["members"][number];
    const isGroup = kind === "group";
    const base = role === "tss" ? "tss" : `${role}${index}`;
    const shortName = isGroup ? `${base}.${replica}` : base;
    const files = [
      member,
      ...(role === "frontend" ? all.filter(({ kind: other }) => other === "group") : []),
    ];
    const ports = [{ key: "address", host: address.host, port: address.port }];
    this.#add(shortName, address.host, "", () => address.origin, {
      role,
      index,
      replica: isGroup ? replica : undefined,
      group: isGroup ? { size: group.members.length, quorum: group.quorum } : undefined,
      files: files.map(({ name }) => this.#fileOf(name)),
      namedFiles: [],
      privileges: privilegesOf(ports),
      words: groupWords(
        member,
        `${this.#prefix}.${shortName}`,
        isGroup ? replica : undefined,
        this.#prefix,
        all,
      ),
      dataDir: `${this.#prefix}.${shortName}`,
      ports,
    });
  }

  async #readJson(member: MemberName, all: readonly MemberName[]): Promise<void> {
    const { workingDirectory, catalog } = this.#sources;
    const file = this.#shown(member.name);
    const { config, problems, notices } = await tryLoadConfig(
      { file, workingDirectory, environment: {}, sets: [], isForOtherHost: true },
      catalog,
    );
    this.#problems.push(...problems);
    this.#notices.push(...notices);
    if (config === undefined) return;
    const { role, index = 0 } = member;
    const nameless = member.index === undefined ? role : `${role}${index}`;
    const start = this.#startOf(member.name);
    const originOf = (key: string): Origin => {
      const origin = key === "" ? start : config.origins.exact(key.split("."));
      return origin.kind === "file" ? origin : start;
    };
    if (config.instance !== `${this.#prefix}.${nameless}`)
      this.#problem(
        originOf("instance"),
        `"${this.#prefix}.${nameless}", as the file's name says`,
        `"${config.instance}"`,
        "instance",
      );
    const address = String(config.config.host);
    this.#shutdownTimeouts.set(config.instance, Number(config.config.shutdownTimeoutMs));
    const isLooking = this.#sources.ignoresNamedFiles !== true;
    const namedFiles = isLooking ? namedFilesOf(config, this.#directory) : [];
    const programs = isLooking ? programFilesOf(config, this.#directory) : noPrograms;
    this.#problems.push(...programs.problems);
    const others = this.#alsoReadBy(role, member, all).map(({ name }) => name);
    const host = this.#add(nameless, address, "host", originOf, {
      role: config.role,
      index,
      replica: undefined,
      group: groupOfJson(config),
      files: [member.name, ...others, ...programs.names].map((name) => this.#fileOf(name)),
      namedFiles,
      privileges: privilegesOf(portsOf(config), config),
      words: [role, "--config", `{configs}/${member.name}`, ...wordsFor(namedFiles), ...wordsForPrograms(programs)],
      dataDir: config.dataDirAsWritten,
      ports: portsOf(config),
    }, peersOf(config), isOnItsOwn(config)); // prettier-ignore
    if (host === undefined || !isLooking) return;
    this.#problems.push(...namedFileProblems(config, namedFiles, host));
    this.#notices.push(...strayFileNotices(config, namedFiles, this.#directory, host));
    if (host.access.kind !== "local") this.#notices.push(...programs.notices);
  }

  /** The hub shows every instance of its prefix: it finds them in their files. */
  #alsoReadBy(role: string, member: MemberName, all: readonly MemberName[]): { name: string }[] {
    if (role !== "hub") return [];
    const others: { name: string }[] = all.filter(({ name }) => name !== member.name);
    const { clusterFile } = this.names();
    return clusterFile === undefined ? others : [...others, { name: clusterFile }];
  }

  #add(
    shortName: string,
    address: string,
    addressKey: string,
    originOf: Member["originOf"],
    about: Omit<PlacedInstance, "name" | "host" | "outputFile" | "environment">,
    peers: Member["peers"] = [],
    isOnItsOwn = false,
  ): Host | undefined {
    const host = this.#hosts.hostOf(shortName, address);
    if ("wanted" in host) {
      if (!host.isPlacement) this.#problem(originOf(addressKey), host.wanted, address, addressKey);
      return undefined;
    }
    const instance: PlacedInstance = {
      ...about,
      name: `${this.#prefix}.${shortName}`,
      host: host.name,
      dataDir: resolve(host.workingDirectory, about.dataDir),
      environment: {},
      outputFile: outputFileOf(about),
    };
    this.#members.push({ instance, host, originOf, peers, isOnItsOwn });
    return host;
  }

  /** Placements of instances that are not there, or on hosts that are not. */
  #placementProblems(read: ReadClusterFile | undefined): void {
    if (read?.value === undefined) return;
    const names = this.#members.map(({ instance }) => instance.name.slice(this.#prefix.length + 1));
    for (const [shortName, host] of Object.entries(read.value.placement)) {
      const path = ["placement", shortName];
      const at = (offset: number) => read.text.originAt(offset);
      if (!Object.hasOwn(read.value.hosts, host)) {
        const suggestion = nearest(host, Object.keys(read.value.hosts));
        this.#problems.push({
          origin: at(read.text.valueOffset(path)),
          path,
          wanted: "a host of this file",
          got: JSON.stringify(host),
          ...(suggestion !== undefined && { nearest: suggestion }),
        });
      } else if (!names.includes(shortName) && this.#problems.length === 0) {
        const suggestion = nearest(shortName, names);
        this.#problems.push({
          origin: at(read.text.keyOffset(path)),
          path,
          wanted: "an instance of this prefix",
          got: JSON.stringify(shortName),
          ...(suggestion !== undefined && { nearest: suggestion }),
        });
      }
    }
  }

  #fileOf(name: string): ConfigFile {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const bytes = this.#bytes(name);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const file = { path: join(this.#directory, name), name, sha256, bytes: bytes.byteLength };
    this.#files.set(name, file);
    return file;
  }

  #bytes(name: string): Uint8Array {
    return readConfigFile(join(this.#directory, name));
  }

  /** As the operator would write it. */
  #shown(name: string): string {
    return join(dirname(this.#sources.prefix), name);
  }

  #startOf(name: string): Origin & { kind: "file" } {
    return { kind: "file", file: this.#shown(name), line: 1, column: 1 };
  }

  #problem(origin: Origin, wanted: string, got: string, key = ""): void {
    this.#problems.push({ origin, path: key === "" ? [] : key.split("."), wanted, got });
  }

  #nothing(): NxError {
    const prefix = this.#prefix;
    const cluster = /^(.+?)(?:\.[a-z]+\d*\.(?:json|config)|\d*\.config)$/.exec(prefix)?.[1];
    return new NxError(
      "NX_CONFIG_UNREADABLE",
      `${join(this.#directory, prefix)}: no file matches ${prefix}.<role><n>.json, ${prefix}<n>.config, ${prefix}.tss.config or ${prefix}.frontend<n>.config`,
      {
        hint:
          cluster === undefined
            ? "give a cluster's prefix such as configs/local; `node-x init ROLE` writes a commented sample"
            : `that is one of its files: give the cluster's prefix, ${this.#shown(cluster)}`,
      },
    );
  }
}

function withRollout(
  file: ClusterFile,
  instances: readonly PlacedInstance[],
  shutdownTimeouts: ReadonlyMap<string, number>,
): Instance[] {
  const policies = rolloutOf(
    file,
    instances.map((instance) => {
      const shutdownTimeoutMs = shutdownTimeouts.get(instance.name);
      return { ...instance, ...(shutdownTimeoutMs !== undefined && { shutdownTimeoutMs }) };
    }),
  );
  return instances.map((instance, index) => ({ ...instance, rollout: policies[index] as RolloutPolicy }));
}

/** A replica with a file of its own: the key `replicas` lists its whole group. */
function groupOfJson({ config: { replicas } }: LoadedConfig): Instance["group"] {
  return Array.isArray(replicas) && replicas.length > 1
    ? { size: replicas.length, quorum: quorumOf(replicas.length) }
    : undefined;
}

function portsOf(config: LoadedConfig): PortUse[] {
  return configKeys(config.schema).flatMap(({ name, path }) => {
    const port = valueAt(config.config, path);
    if (!isPortKey(name) || typeof port !== "number" || port === 0) return [];
    return [{ key: name, host: String(config.config[name === "adminPort" ? "adminHost" : "host"]), port }];
  });
}
