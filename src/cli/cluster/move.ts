/** `move`: one instance with its data to another host. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { LiveLines } from "../../core/live-lines.ts";
import { mebibytesText } from "../../cluster/release/upload.ts";
import { moveFiles, type FileEdit } from "../../cluster/topology/move-files.ts";
import type { Cluster, Host } from "../../cluster/topology/types.ts";
import { defineVerb } from "../verb.ts";
import { confirm } from "./confirm.ts";
import { printJson } from "../print.ts";
import { jsonArg, openCluster, prefixArg, withAgents } from "./context.ts";
import { bring } from "./deploy.ts";

export const moveVerb = defineVerb({
  name: "move",
  summary: "Move an instance and its data to another host of the cluster",
  description:
    "Stops the instance, copies its data directory (a checked tar archive, through this machine), writes the new place into prefix.cluster.json (and the instance's own `host`, where it names the " +
    "old one), then deploys and starts it there. If anything fails before it is healthy there, the files are put back and it is started where it was. The old host keeps its copy of the data under another name, so that nothing starts with it. " +
    "Instances that name the moved one by its address have to be deployed afterwards.",
  args: {
    prefix: prefixArg,
    instance: { type: "positional", required: true, description: "The instance, such as worker2" },
    to: { type: "string", valueHint: "HOST", required: true, description: "A host of prefix.cluster.json" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
    json: jsonArg,
    executable: {
      type: "string",
      valueHint: "PATH",
      description: "The executable to send [DIAMOND_SRC_DIR/dist/node-x, else this one]",
    },
  },
  examples: [
    { command: "node-x move configs/prod worker2 --to server4", shows: "From wherever it is to server4" },
  ],
  async run(call) {
    const { args, stdout, stderr } = call;
    const context = await openCluster("move", args.prefix, {}, [args.instance], call);
    const { cluster, selected, place, operator } = context;
    const [instance] = selected;
    if (instance === undefined || selected.length > 1)
      throw new NxError("NX_USAGE", `${args.instance} means ${selected.length} instances; move takes one`);
    const from = hostNamed(cluster, instance.host);
    const textOf = (name: string) => {
      const path = join(cluster.directory, name);
      return existsSync(path) ? readFileSync(path, "utf8") : undefined;
    };
    const edits = moveFiles(cluster, instance, from, args.to, textOf);
    const before = edits.map(({ name }) => ({ name, text: textOf(name) }));
    const after = await withEdits(
      cluster,
      edits,
      before,
      async () => (await openCluster("move", args.prefix, {}, [args.instance], call)).cluster,
    );
    const target = after.instances.find(({ name }) => name === instance.name);
    const to = hostNamed(after, target?.host ?? "");
    if (target === undefined || to.name === from.name)
      throw new NxError("NX_USAGE", `${instance.name} is on ${from.name} already`);
    if (args.yes !== true && !(await confirm(`Move ${instance.name} from ${from.name} to ${to.name}?`, call)))
      throw new NxError("NX_USAGE", "nothing was moved", { hint: "-y does it without asking" });

    const [{ underLock }, { moveData }, { Executable }, { executablePath }] = await Promise.all([
      import("../../cluster/operator/perform.ts"),
      import("../../cluster/operator/move-data.ts"),
      import("../../cluster/release/executable.ts"),
      import("../../cluster/operator/place.ts"),
    ]);
    const executable = await Executable.read(place.disk, await executablePath(place, args.executable));
    return await withAgents({ cluster, place }, [from, to], call, executable, async (agents) => {
      const [source, sink] = [agents.get(from.name), agents.get(to.name)];
      if (source === undefined || sink === undefined) throw new NxError("NX_INTERNAL", "a host has no agent");
      const names = { instances: [instance.name] };
      const isDeployed = (await source.call("status", names)).result.instances.length > 0;
      if (!isDeployed)
        throw new NxError("NX_NOT_RUNNING", `${instance.name} is not deployed on ${from.name}`);
      await underLock(place, agents, operator, async ({ fence }) => {
        await source.call("stop", { ...fence, ...names });
        const copying = new LiveLines(stderr, place.clock);
        try {
          const bytes = await moveData({
            instance: instance.name,
            from: { agent: source, dataDir: instance.dataDir },
            to: { agent: sink, dataDir: target.dataDir },
            fence,
            onProgress: (sent) =>
              copying.set(instance.name, `copying to ${to.name}`, stderr.isTty ? mebibytesText(sent) : ""),
          });
          copying.end();
          stderr.write(`${instance.name}: ${mebibytesText(bytes)} are on ${to.name}\n`);
        } catch (error) {
          copying.end();
          await source.call("start", { ...fence, ...names });
          throw error;
        }
      });
      write(cluster, edits);
      try {
        const words = {
          prefix: args.prefix,
          yes: true,
          executable: args.executable,
          role: undefined,
          shards: undefined,
          frontends: undefined,
        };
        const code = await bring("deploy", "deploy", {
          ...call,
          // One command, one result: what the deploy says of itself is not ours.
          ...(args.json === true && { stdout: { ...stdout, write: () => undefined } }),
          args: words,
          all: () => [instance.name],
        } as never);
        if (code !== Exit.ok)
          throw new NxError("NX_ROLLOUT_FAILED", `${instance.name} is not healthy on ${to.name}`);
      } catch (error) {
        restore(cluster, before);
        await underLock(place, agents, operator, ({ fence }) => source.call("start", { ...fence, ...names }));
        stderr.write(`${instance.name}: back on ${from.name}; the files are as they were\n`);
        throw error;
      }
      const aside = await underLock(place, agents, operator, async ({ fence }) => {
        await source.call("forget", { ...fence, ...names });
        const { name, dataDir } = instance;
        return (await source.call("retire-data", { ...fence, instance: name, dataDir })).result.path;
      });
      if (args.json === true)
        printJson(stdout, { instance: instance.name, from: from.name, to: to.name, copy: aside });
      else stdout.write(`${instance.name} is on ${to.name}; ${from.name} keeps its copy in ${aside}\n`);
      return Exit.ok;
    });
  },
});

function hostNamed({ hosts }: Cluster, name: string): Host {
  const host = hosts.find((one) => one.name === name);
  if (host !== undefined) return host;
  throw new NxError("NX_USAGE", `${name} is no host of this cluster`);
}

interface FileBefore {
  name: string;
  text: string | undefined;
}

/** Reads what the files will say, and puts them back: nothing is moved yet. */
async function withEdits<Result>(
  cluster: Cluster,
  edits: readonly FileEdit[],
  before: readonly FileBefore[],
  read: () => Promise<Result>,
): Promise<Result> {
  write(cluster, edits);
  try {
    return await read();
  } finally {
    restore(cluster, before);
  }
}

function write({ directory }: Cluster, edits: readonly FileEdit[]): void {
  for (const { name, text } of edits) {
    writeFileSync(join(directory, `${name}.tmp`), text);
    renameSync(join(directory, `${name}.tmp`), join(directory, name));
  }
}

function restore(cluster: Cluster, before: readonly FileBefore[]): void {
  write(
    cluster,
    before.flatMap(({ name, text }) => (text === undefined ? [] : [{ name, text }])),
  );
}
