/** `node-x run`: one role in the foreground. A service manager runs exactly this. */
import type { ConfigSources } from "../core/config/load.ts";
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
      command: "NODE_X_DHT_DURABILITY=memory node-x run dht -c dht.json",
      shows: "Set a key through the environment",
    },
  ],
  async run(call) {
    const { args, environment, workingDirectory } = call;
    const sets = call.all("set");
    return runConfigured({ file: args.config, role: args.role, environment, sets, workingDirectory });
  },
});

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
