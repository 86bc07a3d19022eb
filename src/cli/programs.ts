/**
 * Called by the name of an original program, the executable takes that program's options and does what it did.
 *
 * A symbolic link or a copy with the name is enough: `ln -s node-x dhtnode`. The table has one line for each name.
 */
import { buildInfo } from "../core/build-info.ts";
import { Exit, NxError } from "../core/errors.ts";
import { asNxError, colorsFor, printError } from "./print.ts";
import type { RunSources } from "./run.ts";
import { resolveVerb, runVerb } from "./strict.ts";
import { defineVerb, type Surroundings, type Verb } from "./verb.ts";

/**
 * A program whose command line is not of our kind: its words are taken by the family that replaces it. It fails with exit
 * code 1, whatever the reason, because scripts for the originals know no other.
 */
const ownCommandLines: Record<
  string,
  () => Promise<(words: readonly string[], call: Surroundings, run: typeof runConfigured) => Promise<number>>
> = {
  walbc: async () => (await import("../backup/cli/original-programs.ts")).runWalbc,
  "walb-storage": async () => (await import("../backup/cli/original-programs.ts")).runWalbStorage,
  "walb-archive": async () => (await import("../backup/cli/original-programs.ts")).runWalbArchive,
  "walb-worker": async () => (await import("../backup/cli/worker.ts")).runWalbWorker,
  "walb-proxy": async () => (await import("../backup/cli/original-programs.ts")).runWalbProxy,
};

interface Program {
  /** The role that it runs in the foreground. */
  role: string;
  /** The configuration that it reads without `--config`. */
  configFile: string;
  /** What it is, for `--help`. */
  summary: string;
  /** Switches of its own: what each sets. */
  switches?: Record<string, { alias?: string; description: string; set: string }>;
}

const programs: Record<string, Program> = {
  dhtnode: { role: "dht", configFile: "etc/config.ini", summary: "Key/value node in memory" },
  logfilesnode: { role: "logfiles", configFile: "etc/config.ini", summary: "Log store by time" },
  queuenode: { role: "queue", configFile: "etc/config.ini", summary: "Bounded queues in memory" },
  dmqnode: { role: "queue", configFile: "etc/config.ini", summary: "Bounded queues in memory" },
  dlsnode: { role: "logfiles", configFile: "etc/config.ini", summary: "Log store by time" },
  dhtdump: {
    role: "dhtdump",
    configFile: "etc/config.ini",
    summary: "Writes the records of a dht node to dump files, again and again",
    switches: {
      oneshot: {
        alias: "o",
        description: "Dump once, repeated until it succeeds, then end",
        set: "isOneshot=true",
      },
    },
  },
};

/** Names that mean something, for tests and docs. */
export const programNames: readonly string[] = [...Object.keys(programs), ...Object.keys(ownCommandLines)];

export function isProgram(name: string): boolean {
  return Object.hasOwn(programs, name) || Object.hasOwn(ownCommandLines, name);
}

async function runConfigured(sources: RunSources): Promise<number> {
  return (await import("./run.ts")).runConfigured(sources);
}

/** Runs the words of one command line as the program `name`. Never throws; errors are printed. */
export async function runProgram(
  name: string,
  words: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { stdout, environment } = surroundings;
  const own = Object.hasOwn(ownCommandLines, name) ? ownCommandLines[name] : undefined;
  try {
    if (own !== undefined) return await (await own())(words, surroundings, runConfigured);
    const verb = programVerb(name, programs[name] as Program);
    const resolved = await resolveVerb(verb, words);
    if (!resolved.wantsHelp) return await runVerb(resolved, surroundings);
    const { helpText } = await import("./help.ts");
    stdout.write(await helpText(verb, [], colorsFor(stdout, environment), stdout.columns));
    return Exit.ok;
  } catch (thrown) {
    const error = asNxError(thrown);
    const isUsage = error.code === "NX_USAGE";
    const hint = `\`${name} --help\` shows what is accepted`;
    printError(surroundings, isUsage ? new NxError("NX_USAGE", error.message, { hint }) : error, false);
    return own === undefined ? error.exit : Exit.failed;
  }
}

function programVerb(name: string, program: Program): Verb {
  const switches = Object.entries(program.switches ?? {});
  return defineVerb({
    name,
    summary: `${program.summary} (this is node-x under the name ${name})`,
    description:
      `Runs one instance in the foreground until SIGTERM, SIGINT or SIGQUIT, with the INI file of ${name}. ` +
      "SIGHUP reads the configuration again and reopens the log files. Relative paths are relative to the working directory.",
    args: {
      config: {
        type: "string",
        alias: "c",
        valueHint: "FILE",
        description: `The configuration (${program.configFile} when none is given); of several files a later one wins`,
      },
      ...Object.fromEntries(
        switches.map(([word, { alias, description }]) => [
          word,
          { type: "boolean" as const, description, ...(alias !== undefined && { alias }) },
        ]),
      ),
      version: { type: "boolean", description: "Show the version" },
      "build-info": { type: "boolean", description: "Show version, commit, formats and protocols" },
    },
    repeatable: ["config"],
    examples: [{ command: `${name} --config etc/config.ini`, shows: "Run with this configuration" }],
    async run(call) {
      const { args, stdout, environment, workingDirectory } = call;
      if (args.version) {
        stdout.write(`${name} (node-x ${buildInfo.version}, ${buildInfo.commit})\n`);
        return Exit.ok;
      }
      if (args["build-info"]) {
        const { versionVerb } = await import("./version.ts");
        return runVerb({ verb: versionVerb, path: ["version"], words: [], wantsHelp: false }, call);
      }
      const [file = program.configFile, ...furtherFiles] = call.all("config");
      return runConfigured({
        file,
        furtherFiles,
        role: program.role,
        environment,
        sets: switches
          .filter(([word]) => (args as Record<string, unknown>)[word] === true)
          .map(([, { set }]) => set),
        workingDirectory,
      });
    },
  });
}
