/**
 * What is right in each file and wrong in all of them together: ports and directories that two instances share, numbers
 * that are missing, roles that nobody plays, peers that nobody is.
 *
 * Hosts that are one machine are looked at as one. Nothing is bound and no host is asked.
 */
import { join } from "node:path";
import type { Origin } from "../../core/config/origin.ts";
import type { Problem } from "../../core/config/problem.ts";
import { SOCKET_PATH_BYTES_MAX } from "../../core/seams/socket-file.ts";
import { machineOf } from "./hosts.ts";
import { deploymentPaths, ownPaths } from "./layout.ts";
import type { MemberName } from "./names.ts";
import { missingRoles, type StartOrder } from "./order.ts";
import type { Host, Instance, PortUse } from "./types.ts";

/** How it is replaced needs all instances, and is decided last. */
export type PlacedInstance = Omit<Instance, "rollout">;

/** An instance with the places of what it says. */
export interface Member {
  instance: PlacedInstance;
  host: Host;
  /** Where its file says this key; the file's first line when it does not. */
  originOf(key: string): Origin;
  /** Addresses of others that its configuration names. */
  peers: Peer[];
  /** It needs no instance of another role. */
  isOnItsOwn: boolean;
}

export interface Peer {
  key: string;
  /** Roles that it may be. */
  roles: readonly string[];
  host: string;
  port: number;
}

const SOCKET_NAME = "admin.sock";

export interface Whole {
  prefix: string;
  /** Every file by its name, also those with mistakes: a number is missing only when its file is. */
  names: readonly Pick<MemberName, "role" | "index" | "name">[];
  members: readonly Member[];
  orders: readonly StartOrder[];
  /** The first line of a file. */
  startOf(name: string): Origin;
}

export function wholeProblems(whole: Whole): Problem[] {
  return [
    ...gaps(whole),
    ...roleProblems(whole),
    ...portProblems(whole.members),
    ...directoryProblems(whole),
    ...peerProblems(whole.members),
  ];
}

/** Numbers are 0, 1, 2 …: `p.dht2.json` without `p.dht1.json` is a file forgotten or misnamed. */
function gaps({ names, startOf }: Whole): Problem[] {
  const byRole = Map.groupBy(names, ({ role }) => role);
  return [...byRole].flatMap(([role, ofRole]) => {
    const sorted = ofRole.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
    const indexes = [...new Set(sorted.map(({ index = 0 }) => index))];
    const gap = indexes.findIndex((index, position) => index !== position);
    const after = sorted.find(({ index }) => index === indexes[gap]);
    if (gap === -1 || after === undefined) return [];
    const wanted = `${role} ${gap} before it: numbers start at 0 and have no gaps`;
    return [problem(startOf(after.name), wanted, `${role} ${after.index}`)];
  });
}

function roleProblems({ names: all, members, orders, startOf }: Whole): Problem[] {
  const alone = members.filter(({ isOnItsOwn }) => isOnItsOwn).flatMap(({ instance }) => instance.files);
  const names = all.filter(({ name }) => alone.every((file) => file.name !== name));
  const present = new Set(names.map(({ role }) => role));
  return missingRoles(present, orders).map(({ role, neededBy }) => {
    const needing = names.find((name) => name.role === neededBy);
    const wanted = `a ${role} in this prefix: a ${neededBy} needs one`;
    return problem(startOf(needing?.name ?? ""), wanted, "none");
  });
}

function portProblems(members: readonly Member[]): Problem[] {
  const claimed = new Map<string, { owner: Member; use: PortUse }[]>();
  const problems: Problem[] = [];
  for (const member of members) {
    for (const use of member.instance.ports) {
      const resource = `${machineOf(member.host)} ${use.port}`;
      const earlier = claimed.get(resource) ?? [];
      claimed.set(resource, [...earlier, { owner: member, use }]);
      const rival = earlier.find((other) => sharesAddress(use, other.use));
      if (rival === undefined) continue;
      const got = `${use.port}, which ${placeText(rival.owner, rival.use.key)} uses on the same host (${member.host.name})`;
      problems.push(problem(member.originOf(use.key), "a port of its own", got, use.key));
    }
  }
  return problems;
}

/** A wildcard address takes its port on every address. */
function sharesAddress(one: PortUse, other: PortUse): boolean {
  const isWildcard = (host: string) => host === "0.0.0.0" || host === "::";
  const plain = (host: string) => (host === "localhost" ? "127.0.0.1" : host.toLowerCase());
  return plain(one.host) === plain(other.host) || isWildcard(one.host) || isWildcard(other.host);
}

function directoryProblems({ prefix, members }: Whole): Problem[] {
  const problems: Problem[] = [];
  for (const [index, member] of members.entries()) {
    const { dataDir } = member.instance;
    const at = (wanted: string, got: string) =>
      problems.push(problem(member.originOf("dataDir"), wanted, got, "dataDir"));
    if (Buffer.byteLength(join(dataDir, SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX)
      at(
        `a path of at most ${SOCKET_PATH_BYTES_MAX - SOCKET_NAME.length - 1} bytes`,
        JSON.stringify(dataDir),
      );
    const own = ownPaths(deploymentPaths(member.host.workingDirectory, prefix));
    const taken = own.find((directory) => overlap(dataDir, directory));
    if (taken !== undefined)
      at(`a directory apart from ${taken}, which deploying uses`, JSON.stringify(dataDir));
    const rival = members
      .slice(0, index)
      .find((other) => isOneMachine(member, other) && overlap(dataDir, other.instance.dataDir));
    if (rival === undefined) continue;
    const relation = rival.instance.dataDir === dataDir ? "which" : "which overlaps with the one that";
    at(
      "a directory of its own",
      `${JSON.stringify(dataDir)}, ${relation} ${placeText(rival, "dataDir")} uses`,
    );
  }
  return [...problems, ...workingDirectoryProblems(members)];
}

/** Two hosts of one machine (127.0.0.2, 127.0.0.3) keep their releases and data apart. */
function workingDirectoryProblems(members: readonly Member[]): Problem[] {
  const hosts = [...new Map(members.map((member) => [member.host, member])).values()];
  return hosts.flatMap((member, index) => {
    const rival = hosts
      .slice(0, index)
      .find(
        (other) =>
          isOneMachine(member, other) && overlap(member.host.workingDirectory, other.host.workingDirectory),
      );
    if (rival === undefined) return [];
    const got = `${member.host.workingDirectory}, which overlaps with that of ${rival.host.name} on the same machine`;
    return [
      problem(member.originOf("host"), `a working directory of its own for host ${member.host.name}`, got),
    ];
  });
}

function peerProblems(members: readonly Member[]): Problem[] {
  const hosts = new Set(members.map(({ host }) => host));
  return members.flatMap((member) =>
    member.peers.flatMap((peer) => {
      const isKnownHost = [...hosts].some((host) => isNameOf(host, peer.host)) || isUsed(members, peer.host);
      const isThere = members.some(
        (other) => peer.roles.includes(other.instance.role) && listensAt(other, peer),
      );
      if (isThere || !isKnownHost) return [];
      const wanted = `the address of a ${peer.roles.join(" or ")} of this prefix`;
      return [
        problem(member.originOf(peer.key), wanted, `${peer.host}:${peer.port}, where none listens`, peer.key),
      ];
    }),
  );
}

function listensAt({ instance, host }: Member, peer: Peer): boolean {
  return instance.ports.some(
    (use) =>
      use.port === peer.port &&
      (use.host.toLowerCase() === peer.host.toLowerCase() || isNameOf(host, peer.host)),
  );
}

function isUsed(members: readonly Member[], address: string): boolean {
  return members.some(({ instance }) =>
    instance.ports.some(({ host }) => host.toLowerCase() === address.toLowerCase()),
  );
}

function isNameOf({ name, address }: Host, text: string): boolean {
  return [name, address.private, address.public].some((known) => known?.toLowerCase() === text.toLowerCase());
}

function isOneMachine(one: Member, other: Member): boolean {
  return machineOf(one.host) === machineOf(other.host);
}

/** Equal, or one inside the other. */
function overlap(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}

function placeText(member: Member, key: string): string {
  const origin = member.originOf(key);
  return origin.kind === "file"
    ? `${member.instance.name} (${origin.file}:${origin.line})`
    : member.instance.name;
}

function problem(origin: Origin, wanted: string, got: string, key = ""): Problem {
  return { origin, path: key === "" || key === "address" ? [] : key.split("."), wanted, got };
}
