/**
 * `node-x agent`: the host's end of deploy, start, status and their kin. Operators do not type it; their
 * node-x does, through ssh.
 */
import { Exit } from "../core/errors.ts";
import { usageError } from "./strict.ts";
import { defineVerb, type Surroundings } from "./verb.ts";

export const agentVerb = defineVerb({
  name: "agent",
  summary: "Serve an operator's node-x on this host (started by deploy, start, status … over ssh)",
  description:
    "With --stdio it answers framed messages on standard input and output until its input ends. With --watch-guards it waits beside " +
    "a rollout and undoes what was swapped when the operator falls silent; it ends with the last guard.",
  args: {
    stdio: { type: "boolean", description: "Talk on standard input and output" },
    "watch-guards": { type: "boolean", description: "Watch the guards of one deployment" },
    "working-directory": {
      type: "string",
      valueHint: "DIR",
      description: "With --watch-guards: where the deployment is",
    },
    prefix: {
      type: "string",
      valueHint: "PREFIX",
      description: "With --watch-guards: the deployment's name",
    },
  },
  examples: [{ command: "node-x agent --stdio", shows: "What ssh runs on a host" }],
  async run({ args, environment, stdin }) {
    const world = await hostWorld(environment);
    if (args["watch-guards"] === true) {
      const { "working-directory": directory, prefix } = args;
      if (directory === undefined || prefix === undefined) {
        throw usageError("--watch-guards needs --working-directory and --prefix", ["agent"]);
      }
      const { Deployment } = await import("../cluster/agent/deployment.ts");
      // It outlives the session that started it.
      process.on("SIGHUP", () => {});
      await (await Deployment.open(world, directory, prefix, { startsWatcher: false })).watchGuards();
      return Exit.ok;
    }
    if (args.stdio !== true) throw usageError("give --stdio or --watch-guards", ["agent"]);
    const [{ createHandlers }, { serveAgent }, { execProgram }] = await Promise.all([
      import("../cluster/agent/handlers.ts"),
      import("../cluster/agent/server.ts"),
      import("../cluster/agent/host-real.ts"),
    ]);
    const handlers = createHandlers({ world, exec: execProgram, pid: process.pid });
    await serveAgent({ incoming: stdin?.() ?? nothing(), write: writeOut, close: () => undefined }, handlers);
    return Exit.ok;
  },
});

async function hostWorld(environment: Surroundings["environment"]) {
  const [{ realHostWorld, runProgram }, { servicesOfHost }, { ownCommand }] = await Promise.all([
    import("../cluster/agent/host-real.ts"),
    import("../cluster/services/of-host.ts"),
    import("../core/own-command.ts"),
  ]);
  return realHostWorld(ownCommand(), (directory, prefix) =>
    servicesOfHost(directory, prefix, environment, runProgram),
  );
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Resolves when the kernel has it. */
function writeOut(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    );
  });
}
