/**
 * `node-x check`: reads configurations and everything they name, binds nothing, lists every mistake at once.
 */
import { Exit } from "../core/errors.ts";
import { colorsFor, printJson } from "./print.ts";
import { defineVerb } from "./verb.ts";

export const checkVerb = defineVerb({
  name: "check",
  summary: "Check configuration files without starting anything",
  description:
    "Reads each file with the environment and --set applied, as `run` would, and the secrets and certificates it names. " +
    "Of several files it also checks that they do not use the same port, data directory or instance name. " +
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
      shows: "Check every configs/local.<role><n>.json and that they fit together",
    },
    {
      command: "node-x check dht.json --set respPort=7000 --json",
      shows: "Check with a changed key, for programs",
    },
  ],
  async run(call) {
    const { args, rest, stdout, environment, workingDirectory } = call;
    const { filesOf } = await import("./config-files.ts");
    const { checkConfigs } = await import("../core/config/check.ts");
    const { schemaCatalog } = await import("../roles.ts");
    const { noticeText, problemText } = await import("../core/config/problem.ts");
    const files = [...new Set([args.file, ...rest].flatMap((word) => filesOf(word, workingDirectory)))];
    const result = await checkConfigs(
      files,
      { environment, workingDirectory, sets: call.all("set") },
      schemaCatalog,
    );
    const exit = result.problems.length === 0 ? Exit.ok : Exit.config;
    if (args.json) {
      const instances = result.loaded.map(({ file, role, instance, dataDir }) => ({
        file,
        role,
        instance,
        dataDir,
      }));
      const problems = result.problems.map((problem) => ({ ...problem, text: problemText(problem) }));
      const notices = result.notices.map((notice) => ({ ...notice, text: noticeText(notice) }));
      printJson(stdout, { ok: exit === Exit.ok, instances, problems, notices });
      return exit;
    }
    const colors = colorsFor(stdout, environment);
    for (const notice of result.notices) stdout.write(`${noticeText(notice)}\n`);
    for (const problem of result.problems) stdout.write(`${problemText(problem)}\n`);
    if (exit === Exit.ok) {
      for (const loaded of result.loaded)
        stdout.write(
          `${loaded.file}: ${colors.green("ok")} (${loaded.instance}, data in ${loaded.dataDir})\n`,
        );
    } else {
      const count = result.problems.length;
      stdout.write(
        colors.red(
          `${count} ${count === 1 ? "mistake" : "mistakes"} in ${files.length} ${files.length === 1 ? "file" : "files"}\n`,
        ),
      );
    }
    return exit;
  },
});
