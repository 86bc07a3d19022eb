/** Which build each instance runs, and which of them differ from what most run. */
import type { InstanceSnapshot } from "./snapshot.ts";
import type { Watched } from "./watched.ts";

/** `0.1.0 cfc5e75…`; undefined while the instance does not answer. */
export function buildOf({ version, commit }: InstanceSnapshot): string | undefined {
  return version === undefined ? undefined : `${version} ${commit ?? ""}`.trim();
}

/** With seven digits of the commit. */
export function shortBuild(build: string): string {
  return build.replace(/^(\S+ \S{7})\S*$/, "$1");
}

/** Builds that most do not run. */
export function oddBuilds(watched: readonly Watched[]): Set<string> {
  const builds = watched.flatMap(({ snapshot }) => buildOf(snapshot) ?? []);
  const counts = [...Map.groupBy(builds, (build) => build)].toSorted(([, a], [, b]) => b.length - a.length);
  return new Set(counts.slice(1).map(([build]) => build));
}
