/** `node-x run`: one role in the foreground. A service manager runs exactly this. */
import { resolve } from "node:path";
import type { ConfigSources } from "../core/config/load.ts";
import { NxError } from "../core/errors.ts";
import { defineVerb } from "./verb.ts";

export const runVerb = defineVerb({
  name: "run",
  summary: "Run a role in the foreground",
  description:
    "Starts one instance and serves until SIGTERM or SIGINT (a second one ends it at once). SIGHUP reads the configuration " +
    "again and reopens the log files; SIGUSR1 only reopens them. Ports that are 0 are told in <dataDir>/ports.json.",
  args: {
    role: { type: "positional", required: true, description: "The role; `node-x roles` lists them" },
    config: {
      type: "string",
      alias: "c",
      valueHint: "FILE",
      required: true,
      description: "The instance's configuration file",
    },
    replica: {
      type: "string",
      alias: "i",
      valueHint: "N",
      description:
        "Which replica of its group the instance is, from 0: the line of a group's file of addresses",
    },
    base: {
      type: "string",
      alias: "b",
      valueHint: "PREFIX",
      description: "For a frontend's text file: the prefix of the groups' files, with its path",
    },
    shards: {
      type: "string",
      alias: "N",
      valueHint: "N",
      description: "How many shards there are: for a frontend's text file, or the keys that a shard loads",
    },
    batch: { type: "string", alias: "B", valueHint: "N", description: "Sets the key batch" },
    numkeys: { type: "string", alias: "k", valueHint: "N", description: "Sets the key preloadKeys" },
    keys: { type: "string", alias: "f", valueHint: "FILE", description: "Sets the key preloadFile" },
    fresh: {
      type: "boolean",
      description: "For a worker: begin anew, without what an earlier life kept in its data directory",
    },
    set: {
      type: "string",
      valueHint: "KEY=VALUE",
      description: "Set a key; wins over the file and the environment; may be repeated",
    },
  },
  repeatable: ["set"],
  variadic: "OPTION",
  examples: [
    { command: "node-x run dht --config configs/dht.json", shows: "Start a key/value node" },
    {
      command: "node-x run dht -c dht.json --set port=0 --set respPort=0 --set dataDir=/tmp/try",
      shows: "Take a free port and another directory",
    },
    {
      command: "node-x run worker -c worker.json --fresh",
      shows: "Begin a stream anew: what the worker kept is removed",
    },
    {
      command: "node-x run tss -c local.tss.config -i 0",
      shows: "Start the first replica of the timestamp servers that this file lists",
    },
    {
      command: "NODE_X_DHT_DURABILITY=memory node-x run dht -c dht.json",
      shows: "Set a key through the environment",
    },
    {
      command: "node-x run sender -c sender.json -- --host 127.0.0.1:7000 --messages 1000 --u64",
      shows: "Take the options of the program that the role replaces, behind --",
    },
  ],
  async run(call) {
    const { args, environment, workingDirectory } = call;
    const sets = [
      ...call.all("set"),
      ...originalSets(args.role, args),
      ...(await flagsOf(args.role, call.rest)),
    ];
    const replica = numberOf(args.replica, "--replica");
    const shardCount = numberOf(args.shards, "--shards");
    const { base } = args;
    return runConfigured({
      file: args.config,
      role: args.role,
      environment,
      sets,
      workingDirectory,
      ...(replica !== undefined && { replica }),
      groups: { ...(base !== undefined && { base }), ...(shardCount !== undefined && { shardCount }) },
      isFresh: args.fresh === true,
    });
  },
});

/** Keys that Diamond's servers have as flags. */
function originalSets(
  role: string,
  args: { batch?: string; numkeys?: string; keys?: string; shards?: string },
): string[] {
  const pairs = {
    batch: args.batch,
    preloadKeys: args.numkeys,
    preloadFile: args.keys,
    preloadShards: role === "shard" ? args.shards : undefined,
  };
  return Object.entries(pairs).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
}

/** What the words behind `--` set, for a role that understands its original's command line. */
async function flagsOf(role: string, words: readonly string[]): Promise<string[]> {
  if (words.length === 0) return [];
  const { roleEntry } = await import("../roles.ts");
  const about = await roleEntry(role).about();
  if (about.originalFlags !== undefined) return about.originalFlags(words);
  throw new NxError("NX_USAGE", `unexpected word ${JSON.stringify(words[0])}: the role ${role} takes none`);
}

function numberOf(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new NxError("NX_USAGE", `${option} wants a number from 0, not ${JSON.stringify(text)}`);
}

export interface RunSources extends ConfigSources {
  role: string;
  /** `--fresh`. */
  isFresh?: boolean;
}

/** Runs the role of these sources until it has stopped; resolves with the exit code. */
export async function runConfigured({ isFresh = false, ...sources }: RunSources): Promise<number> {
  const { roleEntry, schemaCatalog } = await import("../roles.ts");
  const entry = roleEntry(sources.role);
  if (entry.collectsRarely === true) {
    const { restartWithRareCollections } = await import("../core/kernel/runtime-settings.ts");
    restartWithRareCollections(sources.environment);
  }
  if (isFresh && (await entry.about()).canStartFresh !== true)
    throw new NxError("NX_USAGE", `--fresh is not for the role ${sources.role}`, {
      hint: "nothing was changed; to begin anew, start it with another dataDir",
    });
  const { loadConfig } = await import("../core/config/load.ts");
  const readConfig = () => loadConfig(sources, schemaCatalog);
  const loaded = await readConfig();
  const [role, { runRole }] = await Promise.all([entry.load(), import("../core/kernel/process-mode.ts")]);
  const { environment, workingDirectory } = sources;
  return runRole(role, loaded, {
    reloadConfig: readConfig,
    environment,
    isFresh,
    clusterMembers: async (prefix) => {
      const { readMembers } = await import("../cluster/topology/members.ts");
      const { instance } = loaded;
      const file = resolve(workingDirectory, loaded.file);
      return readMembers({ file, instance, environment, workingDirectory, catalog: schemaCatalog }, prefix);
    },
  });
}
