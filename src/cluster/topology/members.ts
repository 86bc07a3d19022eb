/**
 * The instances of a prefix as one of them sees the others: who there is, where, and how to ask them.
 *
 * Invariant: files with mistakes keep nobody from seeing the instances that the other files describe.
 */
import { basename, dirname, join } from "node:path";
import { claimOfFileName } from "../../core/config/instance-name.ts";
import type { SchemaCatalog } from "../../core/config/load.ts";
import { problemText } from "../../core/config/problem.ts";
import type { ClusterMember, ClusterMembers } from "../../core/role.ts";
import { tryReadCluster } from "./read.ts";
import { machineOf, type HostSurroundings } from "./hosts.ts";
import type { Host, Instance } from "./types.ts";

export interface MemberSources extends HostSurroundings {
  /** The asking instance's file, absolute, and its name. */
  file: string;
  instance: string;
  catalog: SchemaCatalog;
}

/** The prefix of a file's name, with its directory; undefined when the file belongs to no cluster. */
export function prefixOfFile(file: string, roleNames: readonly string[]): string | undefined {
  const prefix = claimOfFileName(file, roleNames)?.prefix;
  return prefix === undefined ? undefined : join(dirname(file), prefix);
}

/** The instances of `prefix`, or of the prefix that the asking instance's own file has. None where there is no prefix. */
export async function readMembers(sources: MemberSources, prefix?: string): Promise<ClusterMembers> {
  const of = prefix ?? prefixOfFile(sources.file, sources.catalog.names);
  if (of === undefined) return { prefix: undefined, members: [], problems: [] };
  const { partial, problems } = await tryReadCluster({ ...sources, prefix: of, ignoresNamedFiles: true });
  const hosts = new Map(partial.hosts.map((host) => [host.name, host]));
  const own = partial.instances.find(({ name }) => name === sources.instance)?.host;
  const here = own === undefined ? undefined : hosts.get(own);
  const members = partial.instances.map((instance) =>
    memberOf(instance, hosts.get(instance.host) as Host, here),
  );
  return { prefix: basename(of), members, problems: problems.map(problemText) };
}

const anywhere = ["0.0.0.0", "::"];

function memberOf(instance: Instance, host: Host, here: Host | undefined): ClusterMember {
  const { name, role, index, replica, group, dataDir, ports } = instance;
  const isHere = here === undefined ? host.access.kind === "local" : machineOf(here) === machineOf(host);
  const { private: inside, public: outside } = host.address;
  const hostAddress =
    inside ?? outside ?? (host.access.kind === "ssh" ? host.access.destination : "127.0.0.1");
  const reached = (address: string) =>
    anywhere.includes(address) ? (isHere ? "127.0.0.1" : hostAddress) : address;
  const admin = ports.find(({ key }) => key === "adminPort");
  const others = ports.filter(({ key }) => key !== "adminPort");
  return {
    name,
    role,
    host: host.name,
    isHere,
    dataDir,
    address: reached(others[0]?.host ?? hostAddress),
    ports: Object.fromEntries(others.map(({ key, port }) => [key, port])),
    ...(admin !== undefined && { admin: { host: reached(admin.host), port: admin.port } }),
    ...(group !== undefined && replica !== undefined && { group: role === "tss" ? role : `${role}${index}` }),
  };
}
