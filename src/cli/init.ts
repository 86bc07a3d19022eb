/** `node-x init`: writes commented sample configurations; never overwrites a file that differs. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { NxError } from "../core/errors.ts";
import { outputFailed } from "../core/output-failed.ts";
import { roleNames } from "../roles.ts";
import { colorsFor, printJson } from "./print.ts";
import type { Files } from "./samples.ts";
import { didYouMean, usageError } from "./strict.ts";
import { defineVerb } from "./verb.ts";

export const initVerb = defineVerb({
  name: "init",
  summary: "Write a commented sample configuration for a role, or a small cluster on this host",
  description:
    "The samples hold every key with its description and default, and a JSON Schema beside them lets an editor complete " +
    "and check them. A file that exists with other contents is never overwritten: then nothing is written at all.",
  args: {
    what: { type: "positional", required: true, description: "A role (`node-x roles`), or `cluster`" },
    directory: {
      type: "positional",
      required: false,
      description: "Where to write; created when missing (default: here)",
    },
    prefix: { type: "string", valueHint: "NAME", default: "local", description: "The cluster's name" },
    json: { type: "boolean", description: "Print JSON" },
  },
  examples: [
    { command: "node-x init dht", shows: "Write dht.json here" },
    {
      command: "node-x init cluster configs --prefix demo",
      shows: "Write configs/demo.dht0.json and its companions",
    },
  ],
  async run({ args, stdout, stderr, environment, workingDirectory }) {
    const { roleSample, clusterSample } = await import("./samples.ts");
    const known = [...roleNames, "cluster"];
    if (!known.includes(args.what)) {
      throw usageError(
        `nothing is called "${args.what}"${didYouMean(args.what, known)}; wanted one of ${known.join(", ")}`,
        ["init"],
      );
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(args.prefix)) {
      throw usageError(`--prefix: wanted letters, digits, dashes and underscores, got "${args.prefix}"`, [
        "init",
      ]);
    }
    const files = args.what === "cluster" ? await clusterSample(args.prefix) : await roleSample(args.what);
    const directory = args.directory ?? ".";
    const written = writeNew(files, resolve(workingDirectory, directory)).map((path) =>
      join(directory, path),
    );
    if (args.json) {
      printJson(stdout, { written });
      return 0;
    }
    for (const path of written) stdout.write(`${path}\n`);
    if (written.length === 0) stderr.write("nothing to write: all of it is there already\n");
    const target = join(directory, args.what === "cluster" ? args.prefix : `${args.what}.json`);
    const next =
      args.what === "cluster" ? `node-x check ${target}` : `node-x run ${args.what} --config ${target}`;
    if (stdout.isTty) stdout.write(colorsFor(stdout, environment).dim(`next: ${next}\n`));
    return 0;
  },
});

/** Writes all files or none; returns the paths that were written, leaving identical ones alone. */
function writeNew(files: Files, directory: string): string[] {
  const fresh = [...files].filter(([path, text]) => {
    const target = join(directory, path);
    if (!existsSync(target)) return true;
    if (readFileSync(target, "utf8") === text) return false;
    throw new NxError("NX_FILE_EXISTS", `${target} exists and differs from the sample`, {
      hint: "give another directory, or move the file away",
    });
  });
  for (const [path, text] of fresh) {
    const target = join(directory, path);
    try {
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, text, { flag: "wx" });
    } catch (error) {
      throw outputFailed(target, error);
    }
  }
  return fresh.map(([path]) => path);
}
