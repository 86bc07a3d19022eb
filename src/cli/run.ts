/** `node-x run`: one role in the foreground. A service manager runs exactly this. */
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
    set: {
      type: "string",
      valueHint: "KEY=VALUE",
      description: "Set a key; wins over the file and the environment; may be repeated",
    },
  },
  repeatable: ["set"],
  examples: [
    { command: "node-x run dht --config configs/dht.json", shows: "Start a key/value node" },
    {
      command: "node-x run dht -c dht.json --set port=0 --set respPort=0 --set dataDir=/tmp/try",
      shows: "Take a free port and another directory",
    },
    {
      command: "node-x run tss -c local.tss.config -i 0",
      shows: "Start the first replica of the timestamp servers that this file lists",
    },
    {
      command: "NODE_X_DHT_DURABILITY=memory node-x run dht -c dht.json",
      shows: "Set a key through the environment",
    },
  ],
  async run(call) {
    const { args, environment, workingDirectory } = call;
    const sets = call.all("set");
    const replica = replicaOf(args.replica);
    return runConfigured({
      file: args.config,
      role: args.role,
      environment,
      sets,
      workingDirectory,
      ...(replica !== undefined && { replica }),
    });
  },
});

function replicaOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new NxError("NX_USAGE", `--replica wants a number from 0, not ${JSON.stringify(text)}`);
}

/** Runs the role of these sources until it has stopped; resolves with the exit code. */
export async function runConfigured(sources: ConfigSources & { role: string }): Promise<number> {
  const { roleEntry, schemaCatalog } = await import("../roles.ts");
  const entry = roleEntry(sources.role);
  const { loadConfig } = await import("../core/config/load.ts");
  const readConfig = () => loadConfig(sources, schemaCatalog);
  const loaded = await readConfig();
  const [role, { runRole }] = await Promise.all([entry.load(), import("../core/kernel/process-mode.ts")]);
  return runRole(role, loaded, { reloadConfig: readConfig, environment: sources.environment });
}
