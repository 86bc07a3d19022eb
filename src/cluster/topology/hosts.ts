/**
 * Which host an instance runs on, and how that host is reached.
 *
 * In this order: the placement of `prefix.cluster.json`; the host there whose name or address the instance's own
 * address is; this machine for a loopback address; else the address itself is the host. Loopback hosts need no ssh, so a
 * prefix of `localhost` files runs here without an ssh server. Hosts without an entry of their own that are this machine are
 * one host, whatever their loopback address: they share one working directory.
 */
import { join } from "node:path";
import { isLoopback } from "../../core/config/schema.ts";
import type { ClusterFile, HostEntry } from "./cluster-file.ts";
import type { Access, Host } from "./types.ts";

export interface HostSurroundings {
  /** DIAMOND_WORKING_DIR, HOME. */
  environment: Record<string, string | undefined>;
  /** The operator's, absolute. */
  workingDirectory: string;
}

/** Why no host was found; completes "wanted …". */
export interface NoHost {
  wanted: string;
  /** The placement names a host that does not exist. */
  isPlacement: boolean;
}

/** Where releases and data go on hosts reached by ssh, unless somebody says otherwise; without ssh it is where we are. */
const DEFAULT_DIRECTORY = "/var/lib/node-x";
const LOCAL_NAME = "localhost";

export class Hosts {
  readonly #file: ClusterFile;
  readonly #surroundings: HostSurroundings;
  readonly #known = new Map<string, Host>();

  constructor(file: ClusterFile, surroundings: HostSurroundings) {
    this.#file = file;
    this.#surroundings = surroundings;
  }

  /** The host of an instance: `shortName` is `dht0` or `shard0.1`, `address` what it listens on. */
  hostOf(shortName: string, address: string): Host | NoHost {
    const { placement, hosts } = this.#file;
    const placed = placement[shortName];
    if (placed !== undefined) {
      if (Object.hasOwn(hosts, placed)) return this.#entry(placed);
      return {
        wanted: `one of the hosts ${Object.keys(hosts).join(", ") || "(there are none)"}`,
        isPlacement: true,
      };
    }
    const name = Object.keys(hosts).find((host) => isAddressOf(host, hosts[host] as HostEntry, address));
    if (name !== undefined) return this.#entry(name);
    if (isLoopback(address)) return this.#implicit(LOCAL_NAME, { kind: "local" });
    if (address === "0.0.0.0" || address === "::")
      return {
        wanted: `an address of one host, or "placement": { "${shortName}": HOST } in the cluster file`,
        isPlacement: false,
      };
    return this.#implicit(address, { kind: "ssh", destination: address });
  }

  #entry(name: string): Host {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const entry = this.#file.hosts[name] as HostEntry;
    const access = this.#accessOf(name, entry);
    const host: Host = {
      name,
      access,
      address: { ...entry.address },
      workingDirectory: entry.workingDirectory ?? this.#defaultDirectory(access),
      tags: entry.tags ?? [],
      hostKeys: entry.hostKeys ?? [],
    };
    this.#known.set(name, host);
    return host;
  }

  #implicit(name: string, access: Access): Host {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const host: Host = {
      name,
      access,
      address: {},
      workingDirectory: this.#defaultDirectory(access),
      tags: [],
      hostKeys: [],
    };
    this.#known.set(name, host);
    return host;
  }

  #accessOf(name: string, { ssh, address }: HostEntry): Access {
    const destination = ssh?.host ?? address?.public ?? address?.private ?? name;
    if (ssh === undefined && isLoopback(destination)) return { kind: "local" };
    const home = this.#surroundings.environment.HOME ?? "/";
    return {
      kind: "ssh",
      destination,
      ...(ssh?.user !== undefined && { user: ssh.user }),
      ...(ssh?.port !== undefined && { port: ssh.port }),
      ...(ssh?.key !== undefined && {
        keyFile: absoluteKey(ssh.key, home, this.#surroundings.workingDirectory),
      }),
      ...(ssh?.jump !== undefined && { jump: ssh.jump }),
    };
  }

  #defaultDirectory(access: Access): string {
    const { environment, workingDirectory } = this.#surroundings;
    const given = this.#file.workingDirectory ?? environment.DIAMOND_WORKING_DIR;
    if (given !== undefined) return given;
    return access.kind === "local" ? workingDirectory : DEFAULT_DIRECTORY;
  }
}

export function isAddressOf(name: string, entry: Pick<HostEntry, "address">, address: string): boolean {
  return [name, entry.address?.private, entry.address?.public].some(
    (known) => known?.toLowerCase() === address.toLowerCase(),
  );
}

function absoluteKey(path: string, home: string, workingDirectory: string): string {
  if (path === "~" || path.startsWith("~/")) return join(home, path.slice(1));
  return path.startsWith("/") ? path : join(workingDirectory, path);
}

/** Hosts of which this is equal are one machine: their ports and directories are shared. */
export function machineOf({ access }: Host): string {
  return access.kind === "local" ? "local" : `${access.destination.toLowerCase()}:${access.port ?? 22}`;
}
