/**
 * `node-x check`: reads configurations and everything they name, binds nothing, lists every mistake at once.
 */
import { Exit } from "../core/errors.ts";
import type { Cluster } from "../cluster/topology/types.ts";
import { colorsFor, printJson, printTable } from "./print.ts";
import { usageError } from "./strict.ts";
import { defineVerb, type Surroundings } from "./verb.ts";

export const checkVerb = defineVerb({
  name: "check",
  summary: "Check configuration files without starting anything",
  description:
    "Reads each file with the environment and --set applied, as `run` would, and the secrets and certificates it names. " +
    "Of several files it also checks that they do not use the same port, data directory or instance name. " +
    "Of a prefix it checks everything that `deploy` needs before any host is touched: the files of both kinds " +
    "(prefix.<role><n>.json, and prefix<n>.config, prefix.tss.config, prefix.frontend<n>.config of Diamond), prefix.cluster.json, " +
    "gaps in the numbers, ports and directories on each host, missing roles and peers. " +
    "Every mistake is listed with file, line and column.",
  args: {
    file: {
      type: "positional",
      required: true,
      description: "A configuration file, or a cluster's prefix such as configs/local",
    },
    set: { type: "string", valueHint: "KEY=VALUE", description: "Set a key, as for `run`; may be repeated" },
    json: { type: "boolean", description: "Print JSON" },
  },
  repeatable: ["set"],
  variadic: "FILE",
  examples: [
    { command: "node-x check configs/dht.json", shows: "Check one file" },
    {
      command: "node-x check configs/local",
      shows: "Check a whole cluster: every file of the prefix, and that they fit together",
    },
    {
      command: "node-x check dht.json --set respPort=7000 --json",
      shows: "Check with a changed key, for programs",
    },
  ],
  async run(call) {
    const { args, rest, stdout, environment, workingDirectory } = call;
    const { checkConfigs } = await import("../core/config/check.ts");
    const { schemaCatalog } = await import("../roles.ts");
    const { noticeText, problemText } = await import("../core/config/problem.ts");
    const { files, prefixes } = await sortWords([args.file, ...rest], call);
    const result = await checkConfigs(
      files,
      { environment, workingDirectory, sets: call.all("set") },
      schemaCatalog,
    );
    const { tryReadCluster } = await import("../cluster/topology/read.ts");
    const clusters = await Promise.all(
      prefixes.map((prefix) =>
        tryReadCluster({ prefix, workingDirectory, environment, catalog: schemaCatalog }),
      ),
    );
    const problems = [...clusters, result].flatMap((each) => each.problems);
    const notices = [...clusters, result].flatMap((each) => each.notices);
    const fileCount = new Set([...files, ...clusters.flatMap((cluster) => cluster.files)]).size;
    const exit = problems.length === 0 ? Exit.ok : Exit.config;
    const deployed = clusters.flatMap(({ cluster }) => cluster?.instances ?? []);
    if (args.json) {
      const alone = result.loaded.map(({ file, role, instance, dataDir }) => ({
        file,
        role,
        instance,
        dataDir,
      }));
      const instances = [...deployed.map((instance) => ({ ...instance, instance: instance.name })), ...alone];
      printJson(stdout, {
        ok: exit === Exit.ok,
        instances,
        hosts: clusters.flatMap(({ cluster }) => cluster?.hosts ?? []),
        problems: problems.map((problem) => ({ ...problem, text: problemText(problem) })),
        notices: notices.map((notice) => ({ ...notice, text: noticeText(notice) })),
      });
      return exit;
    }
    const colors = colorsFor(stdout, environment);
    for (const notice of notices) stdout.write(`${noticeText(notice)}\n`);
    for (const problem of problems) stdout.write(`${problemText(problem)}\n`);
    if (exit === Exit.ok) {
      for (const { cluster } of clusters)
        if (cluster !== undefined) printTable(stdout, INSTANCE_HEADER, instanceRows(cluster), colors);
      for (const loaded of result.loaded)
        stdout.write(
          `${loaded.file}: ${colors.green("ok")} (${loaded.instance}, data in ${loaded.dataDir})\n`,
        );
    } else {
      const count = problems.length;
      stdout.write(
        colors.red(
          `${count} ${count === 1 ? "mistake" : "mistakes"} in ${fileCount} ${fileCount === 1 ? "file" : "files"}\n`,
        ),
      );
    }
    return exit;
  },
});

/** A word is a file, as `run` would read it, or a prefix, as `deploy` would. Throws NX_CONFIG_UNREADABLE for neither. */
async function sortWords(
  words: readonly string[],
  call: Pick<Surroundings, "environment" | "workingDirectory"> & { all(option: "set"): string[] },
): Promise<{ files: string[]; prefixes: string[] }> {
  const { filesOf, isFile } = await import("./config-files.ts");
  const { isClusterPrefix } = await import("../cluster/topology/read.ts");
  const { schemaCatalog: catalog } = await import("../roles.ts");
  const files = new Set<string>();
  const prefixes = new Set<string>();
  for (const word of words) {
    const isPrefix =
      !isFile(word, call.workingDirectory) && isClusterPrefix({ ...call, prefix: word, catalog });
    if (!isPrefix) for (const file of filesOf(word, call.workingDirectory)) files.add(file);
    else if (call.all("set").length === 0) prefixes.add(word);
    else
      throw usageError(
        `--set is for files: the instances of the prefix ${word} run with what its files say`,
        ["check"],
      );
  }
  return { files: [...files], prefixes: [...prefixes] };
}

const INSTANCE_HEADER = ["instance", "host", "ports", "group", "data directory"];

function instanceRows({ instances, hosts }: Cluster): string[][] {
  const reach = new Map(
    hosts.map(({ name, access }) => [name, access.kind === "local" ? name : `${name} (ssh)`]),
  );
  return instances.map(({ name, host, ports, group, dataDir }) => [
    name,
    reach.get(host) ?? host,
    ports.map(({ port }) => port).join(" "),
    group === undefined ? "" : `${group.quorum} of ${group.size} decide`,
    dataDir,
  ]);
}
