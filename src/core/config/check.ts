/**
 * Several configurations checked together: each by itself, then whether their instances can live side by
 * side.
 *
 * Two instances must not share a name or a data directory, and on one host not a port. Nothing is bound.
 */
import { tryLoadConfig, type ConfigSources, type LoadedConfig, type SchemaCatalog } from "./load.ts";
import { configKeys, isPortKey } from "./keys.ts";
import { originText, type KeyPath } from "./origin.ts";
import type { Notice, Problem } from "./problem.ts";
import { valueAt } from "./validate.ts";

export interface CheckResult {
  loaded: LoadedConfig[];
  problems: Problem[];
  notices: Notice[];
}

/** One replica of a group whose file lists all of them. */
export interface ReplicaOfFile {
  file: string;
  replica: number;
}

/** Checks all files; throws only when one cannot be read. */
export async function checkConfigs(
  files: readonly (string | ReplicaOfFile)[],
  shared: Omit<ConfigSources, "file" | "role">,
  catalog: SchemaCatalog,
): Promise<CheckResult> {
  const outcomes = await Promise.all(
    files.map((each) =>
      tryLoadConfig({ ...shared, ...(typeof each === "string" ? { file: each } : each) }, catalog),
    ),
  );
  const loaded = outcomes.flatMap((outcome) => outcome.config ?? []);
  const problems = outcomes.flatMap((outcome) => outcome.problems);
  const notices = outcomes.flatMap((outcome) => outcome.notices);
  return { loaded, problems: [...problems, ...clashes(loaded)], notices };
}

/** Something that only one instance can have. */
interface Claim {
  path: KeyPath;
  resource: string;
  /** The address, for ports: two addresses can both have the same port. */
  host?: string;
  wanted: string;
  shown: string;
}

function clashes(loaded: readonly LoadedConfig[]): Problem[] {
  const claimed = new Map<string, { owner: LoadedConfig; claim: Claim }[]>();
  const problems: Problem[] = [];
  for (const config of loaded) {
    for (const claim of claimsOf(config)) {
      const earlier = claimed.get(claim.resource) ?? [];
      claimed.set(claim.resource, [...earlier, { owner: config, claim }]);
      const rival = earlier.find((other) => overlaps(claim, other.claim));
      if (rival === undefined) continue;
      const rivalOrigin = rival.owner.origins.exact(rival.claim.path);
      const holder = rivalOrigin.kind === "default" ? rival.owner.file : originText(rivalOrigin);
      const got = `${claim.shown}, which ${holder} uses too`;
      problems.push({ origin: placeOf(config, claim.path), path: claim.path, wanted: claim.wanted, got });
    }
  }
  return problems;
}

/** A wildcard address takes its port on every address. */
function overlaps(one: Claim, other: Claim): boolean {
  const isWildcard = (host: string | undefined) => host === "0.0.0.0" || host === "::";
  return one.host === other.host || isWildcard(one.host) || isWildcard(other.host);
}

/** A default has no place in the file: point at its first line. */
function placeOf(config: LoadedConfig, path: KeyPath): Problem["origin"] {
  const origin = config.origins.exact(path);
  const isNowhere = origin.kind === "default" || origin.kind === "fileName";
  return isNowhere ? { kind: "file", file: config.file, line: 1, column: 1 } : origin;
}

function claimsOf(config: LoadedConfig): Claim[] {
  const { instance, dataDir } = config;
  const claims: Claim[] = [
    {
      path: ["instance"],
      resource: `instance ${instance}`,
      wanted: "a name of its own",
      shown: JSON.stringify(instance),
    },
    {
      path: ["dataDir"],
      resource: `directory ${dataDir}`,
      wanted: "a directory of its own",
      shown: JSON.stringify(dataDir),
    },
  ];
  for (const key of configKeys(config.schema)) {
    const port = valueAt(config.config, key.path);
    if (!isPortKey(key.name) || typeof port !== "number" || port === 0) continue;
    const { config: values } = config;
    const ownHost = key.name.endsWith("Port") ? values[key.name.replace(/Port$/, "Host")] : undefined;
    const host = String(ownHost ?? values.host);
    claims.push({
      path: key.path,
      resource: `port ${port}`,
      host,
      wanted: "a port of its own",
      shown: String(port),
    });
  }
  return claims;
}
