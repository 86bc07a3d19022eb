/** `node-x up`: a whole cluster on this host, in the foreground, from one command. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ownCommand } from "../core/own-command.ts";
import type { LoadedConfig } from "../core/config/load.ts";
import { Exit } from "../core/errors.ts";
import { alignColumns, colorsFor, type Colors } from "./print.ts";
import { defineVerb, type Surroundings } from "./verb.ts";

const DEFAULT_PREFIX = "configs/local";
/** Where the sample cluster is written when the directory has no configs of its own. */
const SAMPLE_DIRECTORY = ".node-x/configs";

export const upVerb = defineVerb({
  name: "up",
  summary: "Run a whole cluster on this host",
  description:
    `Starts every instance of a prefix (${DEFAULT_PREFIX} when none is given), waits until all are ready and says where to look. ` +
    `Without a prefix and without ${DEFAULT_PREFIX}.* it writes a small sample cluster into ${SAMPLE_DIRECTORY} and starts that. ` +
    "Instances that crash are restarted. Ctrl-C stops all in reverse order; a second one ends them at once.",
  args: {
    prefix: {
      type: "positional",
      required: false,
      description:
        "The cluster's prefix: configs/local means configs/local.<role><n>.json, and Diamond's configs/local0.config and its like",
    },
  },
  examples: [
    { command: "node-x up", shows: "Start the local cluster" },
    { command: "node-x up configs/staging", shows: "Start the instances of configs/staging.<role><n>.json" },
  ],
  async run(call) {
    const { args, stdout, stderr, environment, workingDirectory } = call;
    const members = await loadMembers(args.prefix, call);
    const [{ LocalCluster }, { realClock }] = await Promise.all([
      import("../cluster/local.ts"),
      import("../core/seams/clock.ts"),
    ]);
    const colors = colorsFor(stderr, environment);
    const paint = painter(members, colors);
    const cluster = new LocalCluster({
      clock: realClock,
      members,
      commandOf: (member) => [
        ...ownCommand(),
        "run",
        member.role,
        "--config",
        member.file,
        ...replicaWords(member),
      ],
      workingDirectory,
      environment,
      onLine: (name, line) => stderr.write(`${paint(name)} ${line}\n`),
      onEvent: (text) => stderr.write(`${colors.bold("up")}: ${text}\n`),
    });
    const stopped = stopOnSignal(cluster, (text) => stderr.write(`${colors.bold("up")}: ${text}\n`));
    try {
      const startedAtMs = realClock.monotonicMs();
      await Promise.race([cluster.start(), stopped.done]);
      if (!stopped.isStopping()) {
        const seconds = ((realClock.monotonicMs() - startedAtMs) / 1000).toFixed(1);
        const reach = await Promise.all(
          members.map(
            async (member) => ({ member, ...(await waysTo(member, await cluster.portsOf(member))) }),
          ),
        );
        stdout.write(whereToLook(reach, seconds, call));
      }
      return await stopped.done;
    } finally {
      stopped.close();
      cluster.kill(); // nobody may be left, whatever went wrong above
    }
  },
});

/** All instances of the prefix, checked together. Throws ConfigInvalidError with every mistake. */
async function loadMembers(prefix: string | undefined, surroundings: Surroundings): Promise<LoadedConfig[]> {
  const { environment, workingDirectory } = surroundings;
  const { instancesOf } = await import("./config-files.ts");
  const { checkConfigs } = await import("../core/config/check.ts");
  const { ConfigInvalidError } = await import("../core/config/problem.ts");
  const { schemaCatalog } = await import("../roles.ts");
  const word = prefix ?? (await defaultPrefix(surroundings));
  const result = await checkConfigs(
    instancesOf(word, workingDirectory),
    { environment, workingDirectory, sets: [] },
    schemaCatalog,
  );
  if (result.problems.length > 0)
    throw new ConfigInvalidError(result.problems, `\`node-x check ${word}\` checks again`);
  return startOrder(result.loaded, schemaCatalog.names);
}

/** A text file is a whole group's: which of its replicas an instance is has to be said. */
function replicaWords({ file, config: { replica } }: LoadedConfig): string[] {
  return file.endsWith(".config") && typeof replica === "number" ? ["--replica", String(replica)] : [];
}

/** The order of the table of roles: what others look at starts first. */
function startOrder(members: readonly LoadedConfig[], roleNames: readonly string[]): LoadedConfig[] {
  return members.toSorted(
    (a, b) => roleNames.indexOf(a.role) - roleNames.indexOf(b.role) || a.instance.localeCompare(b.instance),
  );
}

async function defaultPrefix({ workingDirectory, stderr }: Surroundings): Promise<string> {
  const { hasMembers } = await import("./config-files.ts");
  if (hasMembers(DEFAULT_PREFIX, workingDirectory)) return DEFAULT_PREFIX;
  const { clusterSample } = await import("./samples.ts");
  for (const [name, text] of await clusterSample("local")) {
    const path = join(workingDirectory, SAMPLE_DIRECTORY, name);
    if (existsSync(path)) continue; // the operator may have changed it
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  stderr.write(`no ${DEFAULT_PREFIX}.* here: using the sample cluster in ${SAMPLE_DIRECTORY}\n`);
  return `${SAMPLE_DIRECTORY}/local`;
}

/** Names in one column, each in a colour of its own. */
function painter(members: readonly LoadedConfig[], colors: Colors): (name: string) => string {
  const palette = [colors.cyan, colors.magenta, colors.yellow, colors.blue, colors.green];
  const width = Math.max(...members.map(({ instance }) => instance.length));
  const index = new Map(members.map(({ instance }, position) => [instance, position]));
  return (name) =>
    (palette[(index.get(name) ?? 0) % palette.length] as Colors["cyan"])(`${name.padEnd(width)} |`);
}

interface Ways {
  /** How a person reaches each port, in the words of the role. */
  ways: string[];
  /** The one of them that shows the whole cluster. */
  overview: string | undefined;
}

async function waysTo(member: LoadedConfig, ports: Record<string, number>): Promise<Ways> {
  const { roleEntry } = await import("../roles.ts");
  const { reach = {}, overviewPort } = await roleEntry(member.role).about();
  const host = String(member.config.host);
  const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const way = (key: string) =>
    reach[key]?.replace("{host}", shown).replace("{port}", String(ports[key])) ?? `${key} ${ports[key]}`;
  return {
    ways: Object.keys(ports).map(way),
    overview: overviewPort !== undefined && overviewPort in ports ? way(overviewPort) : undefined,
  };
}

function whereToLook(
  reach: readonly ({ member: LoadedConfig } & Ways)[],
  seconds: string,
  call: Surroundings,
): string {
  const colors = colorsFor(call.stdout, call.environment);
  const shownPath = (path: string) =>
    path.startsWith(`${call.workingDirectory}/`) ? relative(call.workingDirectory, path) : path;
  const rows = reach.map(({ member: { instance, dataDir }, ways }) => [
    `  ${instance}`,
    colors.bold(ways.join(", ")),
    colors.dim(`logs in ${shownPath(join(dataDir, "log"))}`),
  ]);
  const [count, them] =
    reach.length === 1 ? ["1 instance is", "it"] : [`${reach.length} instances are`, "them"];
  const page = reach.find(({ overview }) => overview !== undefined)?.overview;
  const look = page === undefined ? "" : `All of it on one page: ${colors.bold(page)}\n`;
  const table = alignColumns(rows, "   ").join("\n");
  return `\n${colors.green(`${count} ready`)} after ${seconds} s:\n\n${table}\n\n${look}Ctrl-C stops ${them}.\n\n`;
}

interface Stoppable {
  stop(): Promise<void>;
  kill(): void;
}

function stopOnSignal(cluster: Stoppable, say: (text: string) => void) {
  let isStopping = false;
  let finish: (code: number) => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const done = new Promise<number>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  const onSignal = () => {
    if (isStopping) {
      say("ending all at once");
      cluster.kill();
      finish(Exit.failed);
      return;
    }
    isStopping = true;
    cluster.stop().then(() => finish(Exit.ok), fail);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    done,
    isStopping: () => isStopping,
    close: () => signals.forEach((signal) => process.off(signal, onSignal)),
  };
}
