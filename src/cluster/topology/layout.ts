/**
 * Where things are on a host. One place for the paths, so that agent, units and supervisor cannot disagree.
 *
 *   <working directory>/               relative paths of configurations start here
 *     .node-x/<prefix>/                the deployment of one prefix; another prefix has another directory
 *       releases/<id>/                 node-x, configs/; files/<instance>/ with its keys and tokens, private
 *       current -> releases/<id>       what the host was last deployed with
 *       active/<instance> -> ../releases/<id>
 *                                      what this instance starts with: swapped one by one in a rollout
 *       run/                           pid files, the supervisor's socket and its list of programs
 *       log/                           standard output and error of each instance, where no journal takes them
 *       lock/, guards/, audit.jsonl    who may change it, what is undone when an operator is gone, what was done
 *       incoming/, incoming-data/      what is being sent here
 *     .node-x/.bin/node-x              the agent: what an operator's ssh runs here, of the newest release
 *     <prefix>.<role><n>/              data directory of an instance, unless its configuration names another
 *
 * Both links are replaced by rename, so a crash leaves the old target or the new one.
 */
import { dirname, join } from "node:path";

export interface DeploymentPaths {
  root: string;
  releases: string;
  current: string;
  /** Holds one link per instance. */
  active: string;
  run: string;
  log: string;
  lock: string;
  guards: string;
  audit: string;
  incoming: string;
  incomingData: string;
}

export function deploymentPaths(workingDirectory: string, prefix: string): DeploymentPaths {
  const root = join(workingDirectory, ".node-x", prefix);
  return {
    root,
    releases: join(root, "releases"),
    current: join(root, "current"),
    active: join(root, "active"),
    run: join(root, "run"),
    log: join(root, "log"),
    lock: join(root, "lock"),
    guards: join(root, "guards"),
    audit: join(root, "audit.jsonl"),
    incoming: join(root, "incoming"),
    incomingData: join(root, "incoming-data"),
  };
}

/**
 * What only the deployment itself writes. The rest of its directory may be somebody's data: a configuration can name a
 * data directory beside these.
 */
export function ownPaths({ root: _, ...own }: DeploymentPaths): string[] {
  return Object.values(own);
}

/** Shared by all deployments of the working directory. No prefix begins with a dot. */
export function agentExecutable(workingDirectory: string): string {
  return join(workingDirectory, ".node-x/.bin/node-x");
}

/** Inside a release, or behind a link to one. */
export function releasePaths(release: string): { executable: string; configs: string } {
  return { executable: join(release, "node-x"), configs: join(release, "configs") };
}

/** The name in a release of a file that the configuration of an instance names. */
export function namedFilePath(instance: string, key: string): string {
  return `files/${instance}/${key}`;
}

/** The directory of an instance's named files, through its own link. */
export function namedFilesDirectory(paths: DeploymentPaths, instance: string): string {
  return dirname(join(paths.active, instance, namedFilePath(instance, "any")));
}

/** Stands in an instance's words for the directory of its named files on the host. */
export const NAMED_FILES = "{files}";

/** The command of an instance: through its own link, so that the same words start whatever release it points to. */
export function instanceCommand(
  paths: DeploymentPaths,
  instance: { name: string; words: readonly string[] },
): string[] {
  const { executable, configs } = releasePaths(join(paths.active, instance.name));
  const files = namedFilesDirectory(paths, instance.name);
  return [
    executable,
    "run",
    ...instance.words.map((word) => word.replace("{configs}", configs).replace(NAMED_FILES, files)),
  ];
}
