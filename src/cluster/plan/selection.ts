/**
 * Which instances of a cluster a command is about.
 *
 * `--only` takes instances (`dht0`, `shard0.1`, `p.dht0`), roles, hosts and `@tag`s; `--role` a role; `--shards N` and
 * `--frontends N` the first N of these, as in Diamond's scripts, and leave the other roles alone. They narrow each other.
 * Invariant: a word that means nothing is an error with the nearest word, never an empty selection.
 */
import { nearest } from "../../core/config/nearest.ts";
import { NxError } from "../../core/errors.ts";
import type { Cluster, Instance } from "../topology/types.ts";

export interface Selection {
  only: readonly string[];
  role?: string;
  shards?: number;
  frontends?: number;
}

export function isWhole({ only, role, shards, frontends }: Selection): boolean {
  return only.length === 0 && role === undefined && shards === undefined && frontends === undefined;
}

/** In start order. Throws NX_USAGE. */
export function select(cluster: Cluster, selection: Selection): Instance[] {
  const { only, role, shards, frontends } = selection;
  const wanted = only.map((word) => matcher(cluster, word));
  if (role !== undefined) wantRole(cluster, role);
  atMost(cluster, "shard", shards);
  atMost(cluster, "frontend", frontends);
  return cluster.instances.filter(
    (instance) =>
      (wanted.length === 0 || wanted.some((matches) => matches(instance))) &&
      (role === undefined || instance.role === role) &&
      (shards === undefined || instance.role !== "shard" || instance.index < shards) &&
      (frontends === undefined || instance.role !== "frontend" || instance.index < frontends),
  );
}

function matcher({ prefix, instances, hosts }: Cluster, word: string): (instance: Instance) => boolean {
  if (word.startsWith("@")) {
    const tagged = new Set(hosts.filter(({ tags }) => tags.includes(word.slice(1))).map(({ name }) => name));
    if (tagged.size > 0) return ({ host }) => tagged.has(host);
  }
  const shortOf = ({ name }: Instance) => name.slice(prefix.length + 1);
  const tests: ((instance: Instance) => boolean)[] = [
    (instance) => instance.name === word || shortOf(instance) === word,
    // `shard0` means all its replicas.
    (instance) => instance.replica !== undefined && shortOf(instance).startsWith(`${word}.`),
    ({ role }) => role === word,
    ({ host }) => host === word,
  ];
  const matches = tests.find((test) => instances.some(test));
  if (matches !== undefined) return matches;
  const known = [
    ...instances.map(shortOf),
    ...instances.map(({ role }) => role),
    ...hosts.map(({ name }) => name),
    ...hosts.flatMap(({ tags }) => tags.map((tag) => `@${tag}`)),
  ];
  throw unknown(`--only ${word}: no instance, role, host or @tag of ${prefix} is called so`, word, known);
}

function wantRole({ prefix, instances }: Cluster, role: string): void {
  const known = instances.map((instance) => instance.role);
  if (!known.includes(role))
    throw unknown(`--role ${role}: ${prefix} has no instance of this role`, role, known);
}

function atMost({ prefix, instances }: Cluster, role: string, wanted: number | undefined): void {
  if (wanted === undefined) return;
  const count = new Set(instances.filter((instance) => instance.role === role).map(({ index }) => index))
    .size;
  if (wanted <= count) return;
  throw new NxError("NX_USAGE", `--${role}s ${wanted}: ${prefix} has ${count} of them`, {
    hint: `\`node-x check\` lists the instances of the prefix`,
  });
}

function unknown(message: string, word: string, known: readonly string[]): NxError {
  const suggestion = nearest(word, new Set(known));
  const hint =
    suggestion === undefined
      ? `there are ${[...new Set(known)].slice(0, 20).join(", ")}`
      : `did you mean "${suggestion}"?`;
  return new NxError("NX_USAGE", message, { hint });
}
